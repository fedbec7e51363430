"""What is trained on."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le, Lt, MinLen

from cvexp.config.option import MAX_COUNT, Component, Option

MAX_SIZE = 2048
"""Of a side, in pixels: one colour image then takes 12 MB in the cache, and 50 MB as floats in a batch."""

_DATASET = "A name (see: cvexp data), a folder (train/CLASS and test/CLASS, or CLASS), csv:FILE, npz:FILE or hf:FOLDER."
_IMAGE_SIZE = "Make the images squares of so many pixels. Without it, image files become 64; others stay as they are."
_RESIZE = "How they become squares: crop (shorter side to size, then the centre), squeeze, or pad with black."
_VAL_SPLIT = "Fraction of the training images set aside for validation, stratified, unless the dataset has such a part."
_SPLIT_SEED = "Seeds which images are set aside, and which ones --limit keeps."
_LIMIT = "Use at most so many images of each split, for a quick look."
_AUGMENT = (
    "Change training images at random in each epoch. flip-crop mirrors half of them left to right, which digits and "
    "letters do not survive; see what others do: cvexp data NAME --augment trivial --samples FILE."
)


@dataclass(frozen=True, kw_only=True)
class DataConfig(Component):
    """The dataset by name or path, and which of its images are used; runs that differ in `seed` only use the same."""

    PANEL = "Data"

    dataset: Annotated[str, MinLen(1), Option(_DATASET, complete="datasets")] = "fashion-mnist"
    image_size: Annotated[int | None, Ge(1), Le(MAX_SIZE), Option(_IMAGE_SIZE)] = None
    resize: Annotated[Literal["crop", "squeeze", "pad"], Option(_RESIZE)] = "crop"
    val_split: Annotated[float, Ge(0), Lt(1), Option(_VAL_SPLIT)] = 0.0
    split_seed: Annotated[int, Ge(0), Lt(2**32), Option(_SPLIT_SEED, advanced=True)] = 42
    limit: Annotated[int | None, Ge(1), Le(MAX_COUNT), Option(_LIMIT)] = None
    augment: Annotated[Literal["none", "flip-crop", "trivial", "randaugment", "mixup", "cutmix"], Option(_AUGMENT)] = (
        "none"
    )
