"""Formats whose libraries come with an extra of cvexp."""

from __future__ import annotations

from importlib.util import find_spec

from cvexp.errors import ConfigError


class MissingExtraError(ConfigError):
    """A format whose library is not installed; `extra` brings it."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"the format {extra} needs the package {package}, which is not installed", f"pip install 'cvexp[{extra}]'"
        )
        self.extra = extra


def require(*packages: str, extra: str) -> None:
    """Raise MissingExtraError for the first of `packages` that is not installed; nothing is imported."""
    for package in packages:
        if find_spec(package) is None:
            raise MissingExtraError(package, extra)
