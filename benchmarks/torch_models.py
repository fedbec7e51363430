"""The course's three models in plain torch, for contenders that train torch modules."""

from __future__ import annotations

from torch import nn


def course_model(name: str) -> nn.Module:
    """`linear`, `mlp` or `tinyvgg` for 1x28x28 images and ten classes, ten hidden units."""
    if name == "linear":
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 10), nn.Linear(10, 10))
    if name == "mlp":
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 10), nn.ReLU(), nn.Linear(10, 10), nn.ReLU())
    return nn.Sequential(*_block(1), *_block(10), nn.Flatten(), nn.Linear(490, 10))


def _block(channels: int) -> list[nn.Module]:
    return [
        nn.Conv2d(channels, 10, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(10, 10, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
    ]
