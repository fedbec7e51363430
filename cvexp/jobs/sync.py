"""Runs that have a folder here: list them, deliver their left-over records, or discard them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cvexp.settings import StoreSettings
    from cvexp.tracking.local import Leftover
    from cvexp.tracking.recovery import SyncResult

SECONDS = 60.0
"""How long `cvexp sync` waits for a store that makes no progress."""


def run(settings: StoreSettings, *, to: StoreSettings | None = None) -> SyncResult:
    """Deliver every left-over record, each run to the store it belongs to.

    Args:
        settings: The store in use; what belongs to another one is left alone.
        to: Deliver everything that waits here to this store instead.

    Raises:
        StoreError: The store cannot be used.
    """
    from cvexp.tracking.checks import check_settings
    from cvexp.tracking.recovery import send_to, sync

    check_settings(to or settings, create=True)
    return sync(settings, seconds=SECONDS) if to is None else send_to(to, settings, seconds=SECONDS)


def leftovers(settings: StoreSettings) -> list[Leftover]:
    """Every run that has a folder here."""
    from cvexp.tracking.local import leftovers

    return leftovers(settings)


def discard(settings: StoreSettings, selector: str) -> Leftover:
    """Remove the folder of one run; see tracking.local.discard."""
    from cvexp.tracking.local import discard

    return discard(settings, selector)
