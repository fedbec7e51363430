"""How every verb hands over its result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

R_contra = TypeVar("R_contra", contravariant=True)


class Report(Protocol[R_contra]):
    """A module of `report`: one result for people, and for programs."""

    def show(self, result: R_contra, /) -> None:
        """Print it on stdout, and hints on stderr."""
        ...

    def document(self, result: R_contra, /) -> Mapping[str, Any]:
        """Make it a JSON object."""
        ...


def present(result: R_contra, report: Report[R_contra], *, as_json: bool) -> None:
    """Print a result: as one JSON object on stdout, or for people."""
    if as_json:
        from cvexp.report.terminal import print_json

        print_json(report.document(result))
    else:
        report.show(result)
