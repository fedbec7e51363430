"""What an exported program takes and answers. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Signature:
    """The input and outputs of a program, for any number N of images.

    Attributes:
        raw: Whether it takes float32 images that were transformed, and answers logits alone; else it takes uint8 images,
            and answers logits and probabilities.
        image_shape: (C, H, W).
        n_classes: K of the outputs (N, K).
    """

    raw: bool
    image_shape: tuple[int, ...]
    n_classes: int
