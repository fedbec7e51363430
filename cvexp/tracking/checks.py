"""What is checked of a store before MLflow is asked: its address, the experiment's name, whether anything listens."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from cvexp.errors import StoreError, UnreachableStoreError
from cvexp.redaction import password_needs_encoding, without_credentials
from cvexp.text import shown

if TYPE_CHECKING:
    from pathlib import Path

    from cvexp.settings import StoreSettings

CONNECT_SECONDS = 3
LONGEST_NAME = 500  # characters of an experiment's name that MLflow takes
_SQLITE_MAGIC = b"SQLite format 3\x00"
CHECK_STORE = "check --tracking-uri (or MLFLOW_TRACKING_URI) and that the store is up"
_KINDS = ("sqlite", "postgresql", "mysql", "mssql", "http", "https", "databricks")


def check_settings(settings: StoreSettings, *, create: bool) -> None:
    """Refuse at once what MLflow would refuse after minutes of retries, or with a traceback.

    Raises:
        StoreError: The store cannot be opened; a retry cannot succeed.
    """
    name = settings.experiment
    if not (name.strip() and name.isprintable() and len(name) <= LONGEST_NAME):
        raise StoreError(
            f"not a name for an experiment: {shown(name)}",
            f"1 to {LONGEST_NAME} characters, and no control characters, for example: --experiment first",
        )
    uri = without_credentials(settings.tracking_uri)
    kind = settings.tracking_uri.partition(":")[0].partition("+")[0]
    if "://" not in settings.tracking_uri or kind not in _KINDS:
        raise StoreError(
            f"not a tracking URI cvexp can use: {uri!r}",
            "for example: sqlite:///mlflow.db, postgresql://host/name or http://host:5000",
        )
    if kind in ("http", "https"):
        _check_address(settings.tracking_uri)
    if kind == "sqlite":
        _check_database(settings, create=create)


def _check_database(settings: StoreSettings, *, create: bool) -> None:
    file = settings.sqlite_file
    if file is None:
        uri = without_credentials(settings.tracking_uri)
        raise StoreError(f"not a path to a database: {uri!r}", "three slashes for a relative path: sqlite:///mlflow.db")
    try:
        str(file.absolute()).encode()
    except UnicodeEncodeError as error:
        raise StoreError(
            f"cannot keep runs in {file.absolute().parent}: its name is not valid UTF-8",
            "rename the folder, go to another one, or name another store with --tracking-uri",
        ) from error
    if not file.exists():
        if not create:
            start = settings.command("train", "linear")
            raise StoreError(f"no runs here yet: {file.absolute()} does not exist", f"start one: {start}")
        if not file.parent.is_dir() or not os.access(file.parent, os.W_OK):
            raise StoreError(
                f"cannot create {file}: {file.parent.absolute()} is not a folder one can write to",
                "go to another folder, or name another store with --tracking-uri",
            )
    elif not file.is_file() or not _is_sqlite(file):
        raise StoreError(f"{file} is not an SQLite database", "move it away, or name another store with --tracking-uri")
    elif create and not os.access(file, os.W_OK):
        raise StoreError(f"{file} is not writable", "change its permissions, or name another store with --tracking-uri")


def _check_address(uri: str) -> None:
    if password_needs_encoding(uri):
        raise StoreError(
            f"the password in {without_credentials(uri)!r} holds a character that an address cannot hold",
            "write / as %2F, ? as %3F, # as %23 and @ as %40",
        )
    try:
        parts = urlsplit(uri)
        sound = bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound:
        raise StoreError(f"not an address: {without_credentials(uri)!r}", "for example: http://host:5000")


def check_reachable(settings: StoreSettings) -> None:
    """Raise UnreachableStoreError within seconds where nothing listens at the store's address; MLflow takes minutes."""
    address = urlsplit(settings.tracking_uri)
    if address.scheme not in ("http", "https") or not address.hostname:
        return
    if getproxies().get(address.scheme) and not proxy_bypass(address.hostname):
        return  # only the proxy can be reached from here
    try:
        port = address.port or (443 if address.scheme == "https" else 80)
        socket.create_connection((address.hostname, port), timeout=CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        reason = str(getattr(error, "strerror", None) or error or "no answer in time").lower()
        raise UnreachableStoreError(
            f"the tracking store {without_credentials(settings.tracking_uri)} does not answer: {reason}", CHECK_STORE
        ) from error


def _is_sqlite(file: Path) -> bool:
    with file.open("rb") as stream:  # an empty one is a database that was just begun
        return stream.read(len(_SQLITE_MAGIC)) in (_SQLITE_MAGIC, b"")
