"""The address of the tracking store that a run belongs to, without a password."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cvexp.redaction import without_credentials
from cvexp.settings import sqlite_uri

if TYPE_CHECKING:
    from pathlib import Path

    from cvexp.settings import StoreSettings

_PORTS = {"http": 80, "https": 443}


def address_of(settings: StoreSettings, *, state_dir: Path) -> str:
    """The store's address: equal for two settings of one store, and free of credentials.

    A database beside `state_dir`, where the address is written, is named relative to it: both may be moved together.
    """
    file = settings.sqlite_file
    if file is not None:
        file, beside = file.absolute(), state_dir.absolute().parent
        return f"sqlite:///{file.relative_to(beside) if file.parent == beside else file}"
    plain = without_credentials(settings.tracking_uri)
    parts = urlsplit(plain)
    if not parts.hostname:
        return plain
    scheme = parts.scheme.lower().partition("+")[0]
    try:
        port = parts.port or _PORTS.get(scheme)
    except ValueError:
        return plain
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{scheme}://{host}{f':{port}' if port else ''}{parts.path.rstrip('/')}"


def uri_of(address: str, *, state_dir: Path) -> str:
    """What to type as `--tracking-uri` for an address from `address_of`."""
    kind, _, path = address.partition(":///")
    return sqlite_uri(state_dir.parent / path) if kind == "sqlite" else address
