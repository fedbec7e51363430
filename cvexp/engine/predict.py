"""Logits of images, without labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from cvexp.data.batches import scaled
from cvexp.engine.evaluate import BATCH_SIZE

if TYPE_CHECKING:
    from torch import nn


def predict(model: nn.Module, images: torch.Tensor, *, batch_size: int = BATCH_SIZE) -> torch.Tensor:
    """Logits float32 (N, K), on the CPU, of images uint8 (N, C, H, W) on the model's device."""
    model.eval()
    with torch.inference_mode():
        return torch.cat([model(scaled(batch)) for batch in torch.split(images, batch_size)]).cpu()
