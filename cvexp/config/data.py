"""What is trained on."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le, Lt, MinLen

from cvexp.config.option import MAX_COUNT, NONE, Component, Option

SamplerName = Literal["shuffle", "balanced"]

MAX_SIZE = 2048
"""Of a side, in pixels: one colour image then takes 12 MB in the cache, and 50 MB as floats in a batch."""

_DATASET = "A name (see: cvexp data), a folder (train/CLASS and test/CLASS, or CLASS), csv:FILE, npz:FILE or hf:FOLDER."
_IMAGE_SIZE = "Pixels of a side. Without it, 64 for image files, and the images' own size for others."
_RESIZE = "How images become squares: crop (shorter side to size, then the centre), squeeze, or pad with black."
_VAL_SPLIT = "Share of the training images for validation."
_SPLIT_SEED = "Seeds which images are set aside, and which ones --limit keeps."
_SAMPLER = "How an epoch's images are drawn; balanced: with replacement, every class as often."
_LIMIT = "At most so many images of each split."
_AUGMENT = "Change training images at random (flip-crop also mirrors)."
AUGMENTATIONS = (("flip-crop",), ("trivial", "randaugment"), ("mixup", "cutmix"))
"""In the order they are applied; one of each group at most."""


@dataclass(frozen=True, kw_only=True)
class DataConfig(Component):
    """The dataset by name or path, and which of its images are used; runs that differ in `seed` only use the same."""

    PANEL = "Data"

    dataset: Annotated[str, MinLen(1), Option(_DATASET, complete="datasets")] = "fashion-mnist"
    image_size: Annotated[int | None, Ge(1), Le(MAX_SIZE), Option(_IMAGE_SIZE)] = None
    resize: Annotated[Literal["crop", "squeeze", "pad"], Option(_RESIZE, advanced=True)] = "crop"
    val_split: Annotated[float, Ge(0), Lt(1), Option(_VAL_SPLIT)] = 0.0
    split_seed: Annotated[int, Ge(0), Lt(2**32), Option(_SPLIT_SEED, advanced=True)] = 42
    sampler: Annotated[SamplerName, Option(_SAMPLER, advanced=True)] = "shuffle"
    limit: Annotated[int | None, Ge(1), Le(MAX_COUNT), Option(_LIMIT)] = None
    augment: Annotated[str, Option(_AUGMENT, combines=AUGMENTATIONS)] = NONE

    def check(self) -> None:
        """Refuse names of augmentations that are unknown or do not go together; the others get one order."""
        object.__setattr__(self, "augment", self.combined("augment"))
