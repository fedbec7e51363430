"""Logits of images, without labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from cvexp.data.batches import scaled
from cvexp.device import default_threads, threads
from cvexp.inference.evaluate import images_per_batch

if TYPE_CHECKING:
    from torch import nn


def predict(model: nn.Module, images: torch.Tensor, *, batch_size: int | None = None) -> torch.Tensor:
    """Logits float32 (N, K), on the CPU, of images uint8 (N, C, H, W) on the model's device."""
    model.eval()
    size = batch_size or images_per_batch(model, images.shape[1:], images.device)
    with torch.inference_mode(), threads(default_threads()):
        return torch.cat([model(scaled(batch)) for batch in torch.split(images, size)]).cpu()
