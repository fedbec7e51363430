"""The three models of the course, for images of any shape (C, H, W); their logits are float (N, K).

Layers are created in the course's order, so that one seed gives the course's initial weights. Logged models contain a
copy of this file, so it imports torch and nothing of cvexp.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Sequence

MIN_TINYVGG_SIDE = 4


def linear(image_shape: Sequence[int], n_classes: int, *, hidden_units: int = 10) -> nn.Module:
    """Two linear layers, `hidden_units` wide between them, without an activation: a baseline linear in the pixels."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(math.prod(image_shape), hidden_units), nn.Linear(hidden_units, n_classes)
    )


def mlp(image_shape: Sequence[int], n_classes: int, *, hidden_units: int = 10, output_relu: bool = True) -> nn.Module:
    """Two linear layers, each followed by a ReLU.

    The ReLU after the output layer is the course's. It clips every negative logit to zero, and with it the
    gradient, so a class whose logit stays negative stops learning; `output_relu=false` leaves it out and
    gains about nine points of accuracy on Fashion-MNIST in three epochs.
    """
    layers: list[nn.Module] = [
        nn.Flatten(),
        nn.Linear(math.prod(image_shape), hidden_units),
        nn.ReLU(),
        nn.Linear(hidden_units, n_classes),
    ]
    if output_relu:
        layers.append(nn.ReLU())
    return nn.Sequential(*layers)


class TinyVGG(nn.Module):
    """Two blocks of conv-ReLU-conv-ReLU-pool, then one linear layer.

    The architecture is the one the CNN Explainer (poloclub.github.io/cnn-explainer) shows, with padding 1.
    """

    def __init__(self, image_shape: Sequence[int], n_classes: int, *, hidden_units: int) -> None:
        super().__init__()
        channels, height, width = image_shape
        self.block_1 = _block(channels, hidden_units)
        self.block_2 = _block(hidden_units, hidden_units)
        # Padding keeps the size; each block's pool halves it, rounding down.
        self.classifier = nn.Sequential(
            nn.Flatten(), nn.Linear(hidden_units * (height // 2 // 2) * (width // 2 // 2), n_classes)
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits float (N, K) of images float (N, C, H, W)."""
        logits: torch.Tensor = self.classifier(self.block_2(self.block_1(images)))
        return logits


def _block(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
    )


def tinyvgg(image_shape: Sequence[int], n_classes: int, *, hidden_units: int = 10) -> nn.Module:
    """A small convolutional network; every convolution has `hidden_units` channels.

    Raises:
        ValueError: The images are smaller than 4x4, and each of the two blocks halves them.
    """
    _, height, width = image_shape
    if min(height, width) < MIN_TINYVGG_SIDE:
        raise ValueError(f"tinyvgg needs images of at least 4x4 pixels, and these are {height}x{width}")
    return TinyVGG(image_shape, n_classes, hidden_units=hidden_units)
