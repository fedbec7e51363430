"""Copies of a model's weights."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from cvexp.results import SplitMetrics

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Snapshot:
    """The evaluated weights of an epoch, by name and on the CPU, and the validation figures they gave."""

    epoch: int
    figures: SplitMetrics
    weights: dict[str, Tensor]

    def fits(self, named: Mapping[str, Tensor]) -> bool:
        """Whether the weights are of a model with these tensors."""
        shapes = {name: tensor.shape for name, tensor in self.weights.items()}
        return shapes == {name: tensor.shape for name, tensor in named.items()}

    def to_plain(self) -> dict[str, Any]:
        """As tensors and plain values."""
        return {"epoch": self.epoch, "figures": asdict(self.figures), "weights": dict(self.weights)}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Snapshot:
        """The inverse of `to_plain`."""
        figures = SplitMetrics(**plain["figures"])
        return cls(epoch=int(plain["epoch"]), figures=figures, weights=dict(plain["weights"]))


def named_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers, also those that the model's own state_dict leaves out."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def on_cpu(tensor: Tensor) -> Tensor:
    """A copy."""
    return tensor.detach().to("cpu", copy=True)
