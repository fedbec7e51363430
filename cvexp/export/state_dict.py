"""torch's own file, read with `weights_only`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cvexp import checkpoint
from cvexp.export.weights import WeightsExporter

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import torch


class StateDict(WeightsExporter):
    """A state_dict as `torch.save` writes it."""

    def encode(self, state: Mapping[str, torch.Tensor]) -> bytes:
        """A zip archive of tensors."""
        return checkpoint.serialised(state)

    def decode(self, content: bytes, path: Path) -> dict[str, Any]:
        """The tensors and plain values in the archive."""
        return checkpoint.parsed(content, source=path)


EXPORTER = StateDict()
