"""Who may ask: a token where others than this machine can reach the service."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cvexp.addresses import is_loopback
from cvexp.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = "CVEXP_SERVE_TOKEN"  # noqa: S105 - the name of the variable
_LEAST, _MOST = 16, 4096
_MAKE = "make one: python -c 'import secrets; print(secrets.token_urlsafe(24))'"


def token_for(host: str, file: Path | None = None) -> str:
    """The token that requests have to bring: the content of `file`, or CVEXP_SERVE_TOKEN; empty for none.

    Raises:
        InputError: `host` is no address, others can reach it and there is no token, or the token is too short.
    """
    is_private = is_loopback(host)
    given = os.environ.get(TOKEN, "") if file is None else _content(file)
    token, origin = given.strip(), str(file or TOKEN)
    if not token and (file is not None or not is_private):
        what = f"{file} holds no token" if file else f"others can reach {host}, and requests bring no token"
        raise ConfigError(what, f"set {TOKEN}, or name a file with --token-file", _MAKE)
    if token and (len(token) < _LEAST or not token.isascii() or not token.isprintable() or " " in token):
        raise ConfigError(f"{origin} holds no token of {_LEAST} or more printable ASCII characters", _MAKE)
    return token


def hosts_for(host: str) -> frozenset[str] | None:
    """The names by which a service that this machine alone can reach is asked; None for any.

    A page that a browser loaded by another name, which was then made to mean this machine, is refused.
    """
    return frozenset({"localhost", "127.0.0.1", "::1", host.lower()}) if is_loopback(host) else None


def _content(file: Path) -> str:
    try:
        with file.open(encoding="utf-8") as stream:
            return stream.read(_MOST)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "no text"
        raise ConfigError(f"cannot read the token in {file}: {reason}", _MAKE) from error
