"""Show the runs in MLflow's own pages."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cvexp.settings import StoreSettings


@contextlib.contextmanager
def serving(settings: StoreSettings, *, port: int) -> Iterator[str]:
    """Serve the store's pages for as long as the block lasts, and give the address of the experiment's charts.

    A store that is a server already shows its own pages; then nothing is started.

    Raises:
        StoreError: The store does not exist, the port is taken, or the server does not come up.
    """
    from cvexp.tracking.server import HOST, charts_link, start, stop
    from cvexp.tracking.store import open_store

    store = open_store(settings, create=False)
    if settings.tracking_uri.startswith("http"):
        yield charts_link(settings.tracking_uri.rstrip("/"), store.experiment_id)
        return
    server = start(settings, port=port)
    try:
        yield charts_link(f"http://{HOST}:{port}", store.experiment_id)
    finally:
        stop(server)
