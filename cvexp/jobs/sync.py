"""Tell the tracking store what the journals of ended runs still hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cvexp.settings import StoreSettings
    from cvexp.tracking.pending import SyncResult

SECONDS = 60.0
"""How long someone who asks for it waits."""


def run(settings: StoreSettings) -> SyncResult:
    """Deliver every record that was not delivered when it was made.

    Raises:
        StoreError: The store cannot be used.
    """
    from cvexp.tracking.pending import sync

    return sync(settings, seconds=SECONDS)
