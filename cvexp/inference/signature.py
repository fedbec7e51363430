"""What an exported program takes and answers. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cvexp.errors import WeightsError

if TYPE_CHECKING:
    from pathlib import Path

    from cvexp.models.spec import ModelSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class Signature:
    """The input and outputs of a program, for any number N of images.

    Attributes:
        raw: Whether it takes float32 images that were transformed, and answers logits alone; others take uint8 images,
            and answer logits and probabilities.
        image_shape: (C, H, W).
        n_classes: K of the outputs (N, K).
    """

    raw: bool
    image_shape: tuple[int, ...]
    n_classes: int

    def check(self, spec: ModelSpec, path: Path, remedy: str) -> None:
        """Raise WeightsError, with `remedy`, where the file `path` is not of the shapes that its card says."""
        if (self.image_shape, self.n_classes) != (tuple(spec.image_shape), len(spec.class_names)):
            raise WeightsError(f"{path} takes other images, or tells other classes, than its card says", remedy)
