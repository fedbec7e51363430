"""What a training asks of the processes that take part in it, where it is the only one. Needs no torch."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from torch import Tensor

    from cvexp.device import Device


class Stop(Protocol):
    """A request to stop, by signal; see `training.signals.StopSignals`."""

    signum: int | None


class Alone:
    """One process: everything is as it has it. `Ranks` has the same methods for several.

    Attributes:
        world: How many processes there are.
        rank: Which one this is, from 0.
        backend: What the processes exchange tensors with; empty for one.
        device: This process's, where that was settled already.
    """

    world = 1
    rank = 0
    backend = ""
    device: Device | None = None

    def agreed(self, number: int) -> int:
        """The number that process 0 has."""
        return number

    def same_order(self, order: Tensor) -> Tensor:
        """The order that process 0 has drawn, int64 (N,) on the device."""
        return order

    def share_state(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        """The state that process 0 has, of tensors on the CPU and plain values."""
        return state

    def logits_by_class(self, *arguments: Any, **how: Any) -> Tensor:
        """See `inference.predictor.logits_by_class`; each image is evaluated once."""
        from cvexp.inference.predictor import logits_by_class

        return logits_by_class(*arguments, **how)

    def check_equal(self, tensors: Mapping[str, Tensor]) -> None:
        """Make sure that these tensors are equal, bit for bit, in all processes."""

    def check_same(self, what: str, value: str) -> None:
        """Make sure that all processes have the same value of `what`."""

    def advise(self, command: str) -> None:
        """Know what to type next when one of several processes is lost."""

    def in_turn(self) -> AbstractContextManager[None]:
        """Within the block, the first process of a machine is done before the others begin."""
        return contextlib.nullcontext()

    def relay(self, stop: Stop) -> None:
        """Let a stop that one process was asked for reach process 0."""

    def notes(self, *, draws: bool) -> tuple[str, ...]:  # noqa: ARG002 - see Ranks
        """What a run says of its processes, a line each; `draws` is whether the model's layers draw random numbers."""
        return ()


ALONE = Alone()
