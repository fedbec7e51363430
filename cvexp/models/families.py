"""Libraries of classifiers, whose models are `FAMILY:NAME`; to add one: a module here, and its name in FAMILIES."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from cvexp.models.pretrained import Preprocessing
    from cvexp.models.registry import Factory


class Family(Protocol):
    """What a family's module has; its functions import the library."""

    def names(self) -> Sequence[str]:
        """Every model by name; ModelError where the library is not installed."""
        ...

    def factory(self, name: str) -> Factory:
        """The factory of one model; ModelError if there is none, the nearest name is suggested."""
        ...

    def preprocessing(self, name: str) -> Preprocessing | None:
        """What the published weights of a model take their images to be; None where none are published."""
        ...

    def default_state(self, name: str) -> tuple[Mapping[str, Tensor], str]:
        """The published weights, downloaded where they are not on this machine, and what the library calls them.

        Raises:
            WeightsError: None are published, or they cannot be downloaded.
        """
        ...


def family_of(prefix: str) -> Family:
    """The family called `prefix`, one of FAMILIES."""
    return cast("Family", import_module(f"cvexp.models.{prefix}"))
