"""The safetensors format, which cannot carry code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cvexp import checkpoint
from cvexp.errors import WeightsError
from cvexp.export.weights import WeightsExporter

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import torch


class Safetensors(WeightsExporter):
    """A state_dict as safetensors."""

    def encode(self, state: Mapping[str, torch.Tensor]) -> bytes:
        """Header and contiguous tensors."""
        from safetensors.torch import save

        return save({name: tensor.contiguous() for name, tensor in state.items()})

    def decode(self, content: bytes, path: Path) -> dict[str, Any]:
        """The tensors."""
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            return dict(load(content))
        except (SafetensorError, ValueError, KeyError) as error:  # a key: of a type that torch does not have
            raise WeightsError(f"{path} is no safetensors file", checkpoint.REMEDY) from error


EXPORTER = Safetensors()
