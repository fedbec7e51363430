"""What a server listens on: whether others can reach it, and how it is named in a link."""

from __future__ import annotations

import ipaddress
import socket

from cvexp.errors import InputError


def is_loopback(host: str) -> bool:
    """Whether what listens on `host` can be reached from this machine alone; raises InputError for no address."""
    return all(ipaddress.ip_address(address).is_loopback for address in _addresses(host))


def reachable(host: str) -> str:
    """`host` as it stands in a link: where every address is listened on, this machine's name."""
    unspecified = any(ipaddress.ip_address(address).is_unspecified for address in _addresses(host))
    return socket.gethostname() if unspecified else in_brackets(host)


def in_brackets(host: str) -> str:
    """`host` as it stands before the port in an address."""
    return f"[{host}]" if ":" in host else host


def _addresses(host: str) -> list[str]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise InputError(f"no address: {host!r}", "for example: --host 0.0.0.0") from error
    return [str(entry[4][0]).partition("%")[0] for entry in found]
