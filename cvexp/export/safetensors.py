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


def _encode(state: Mapping[str, torch.Tensor]) -> bytes:
    from safetensors.torch import save

    return save({name: tensor.contiguous() for name, tensor in state.items()})


def _decode(content: bytes, path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return dict(load(content))
    except (SafetensorError, ValueError, KeyError) as error:  # a key: of a type that torch does not have
        raise WeightsError(f"{path} is no safetensors file", checkpoint.REMEDY) from error


EXPORTER = WeightsExporter(encode=_encode, decode=_decode)
