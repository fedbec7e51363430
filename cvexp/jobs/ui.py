"""Serve MLflow's own pages for the store."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from cvexp.redaction import without_credentials
from cvexp.settings import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cvexp.settings import StoreSettings
    from cvexp.tracking.store import Store


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """The pages while they are served at `link`; `password_file` holds the name and password they ask for, if any."""

    link: str
    password_file: Path | None


@contextlib.contextmanager
def serving(settings: StoreSettings, *, port: int, host: str = LOOPBACK) -> Iterator[Served]:
    """Serve the store's pages on `host` and `port` for as long as the block lasts.

    Nothing is started for a store that is a server, since it serves the pages itself. The pages can change and delete
    runs, so that they ask for a password unless they listen on loopback.

    Raises:
        StoreError: The store does not exist, the port is taken, or the server does not come up.
    """
    from cvexp.addresses import is_loopback, reachable
    from cvexp.tracking.recovery import recover
    from cvexp.tracking.server import charts_link, password_file, start, stop
    from cvexp.tracking.statistics import refresh_statistics
    from cvexp.tracking.store import open_store

    recover(settings)
    store = open_store(settings, create=False)
    refresh_statistics(settings)
    link = partial(charts_link, experiment_id=store.experiment_id, view_id=_view_id(store))
    if settings.tracking_uri.startswith("http"):
        address = without_credentials(settings.tracking_uri).rstrip("/")
        yield Served(link=link(address), password_file=None)
        return
    secret = None if is_loopback(host) else password_file(settings)
    server = start(settings, host=host, port=port, auth=secret)
    try:
        yield Served(link=link(f"http://{reachable(host)}:{port}"), password_file=secret)
    finally:
        stop(server)


def _view_id(store: Store) -> str:
    """The id of cvexp's saved view, which is written if need be; empty where the experiment cannot have it."""
    from cvexp.errors import StoreError
    from cvexp.tracking.mlflow_errors import translated
    from cvexp.tracking.views import VIEW_ID, has_view, write_view

    with contextlib.suppress(StoreError), translated(store.settings):
        with contextlib.suppress(StoreError), translated(store.settings):  # a user who may only read has what is there
            write_view(store)
        return VIEW_ID if has_view(store) else ""
    return ""
