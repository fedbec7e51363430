"""Formats whose library comes with an extra of cvexp; format, package and extra have the same name."""

from __future__ import annotations

from importlib.util import find_spec

from cvexp.errors import ConfigError


class MissingExtraError(ConfigError):
    """A format whose library, `extra`, is not installed."""

    def __init__(self, extra: str) -> None:
        super().__init__(
            f"the format {extra} needs the package {extra}, which is not installed", f"pip install 'cvexp[{extra}]'"
        )
        self.extra = extra


def require(extra: str) -> None:
    """Raise MissingExtraError where the library is not installed; nothing is imported."""
    if find_spec(extra) is None:
        raise MissingExtraError(extra)
