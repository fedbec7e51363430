"""What waits in the state folder of a machine where attempts ran is delivered before its workers end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cvexp.settings import StoreSettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def deliver(stores: Sequence[Mapping[str, str]], *, seconds: float) -> int:
    """Deliver this machine's left-over records to the stores of attempts; returns how many still wait.

    `seconds` limits the wait for a store that makes no progress.
    """
    from cvexp.tracking.recovery import sync

    left = 0
    for store in stores:
        settings = StoreSettings(tracking_uri=store["tracking_uri"], experiment=store["experiment"])
        left += sum(sync(settings, seconds=seconds).left.values())
    return left
