"""The three models of the course, for images of any shape.

Each factory takes the data's shape. Layers are created in the course's order, so that one seed gives the course's
initial weights.

Logged models contain a copy of this file, so it imports torch and nothing of cvexp.
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
    """Two linear layers without an activation: a baseline that is linear in the pixels.

    Args:
        image_shape: (C, H, W).
        n_classes: K; the logits are float (N, K).
        hidden_units: Width between the two layers.
    """
    return nn.Sequential(
        nn.Flatten(), nn.Linear(math.prod(image_shape), hidden_units), nn.Linear(hidden_units, n_classes)
    )


def mlp(image_shape: Sequence[int], n_classes: int, *, hidden_units: int = 10, output_relu: bool = True) -> nn.Module:
    """Two linear layers, each followed by a ReLU.

    The ReLU after the output layer is the course's. It clips every negative logit to zero, and with it the
    gradient, so a class whose logit stays negative stops learning; `output_relu=false` leaves it out and
    gains about nine points of accuracy on Fashion-MNIST in three epochs.

    Args:
        image_shape: (C, H, W).
        n_classes: K; the logits are float (N, K).
        hidden_units: Width between the two layers.
        output_relu: Whether a ReLU follows the output layer too.
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
    """A small convolutional network: two blocks of conv-ReLU-conv-ReLU-pool and a linear classifier.

    Args:
        image_shape: (C, H, W); H and W at least 4, since each block halves them.
        n_classes: K; the logits are float (N, K).
        hidden_units: Channels of every convolution.

    Raises:
        ValueError: The images are too small to be halved twice.
    """
    _, height, width = image_shape
    if min(height, width) < MIN_TINYVGG_SIDE:
        raise ValueError(f"tinyvgg needs images of at least 4x4 pixels, and these are {height}x{width}")
    return TinyVGG(image_shape, n_classes, hidden_units=hidden_units)
