"""What is trained on."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le, Lt, MinLen

from cvexp.config.option import MAX_COUNT, Component, Option

SamplerName = Literal["shuffle", "balanced"]

_VAL_SPLIT = "Share of the training images for validation."
_SPLIT_SEED = "Seeds which images are set aside, and which ones --limit keeps."
_SAMPLER = "How an epoch's images are drawn; balanced: with replacement, every class as often."
_LIMIT = "At most so many images of each split."
_AUGMENT = "Change training images at random; flip-crop also mirrors. See: cvexp data NAME --augment trivial --samples FILE."


@dataclass(frozen=True, kw_only=True)
class DataConfig(Component):
    """The dataset by name, and which of its images are used; runs that differ in `seed` only use the same."""

    PANEL = "Data"

    dataset: Annotated[str, MinLen(1), Option("The dataset (see: cvexp data).", complete="datasets")] = "fashion-mnist"
    val_split: Annotated[float, Ge(0), Lt(1), Option(_VAL_SPLIT)] = 0.0
    split_seed: Annotated[int, Ge(0), Lt(2**32), Option(_SPLIT_SEED, advanced=True)] = 42
    sampler: Annotated[SamplerName, Option(_SAMPLER, advanced=True)] = "shuffle"
    limit: Annotated[int | None, Ge(1), Le(MAX_COUNT), Option(_LIMIT)] = None
    augment: Annotated[Literal["none", "flip-crop", "trivial", "randaugment", "mixup", "cutmix"], Option(_AUGMENT)] = (
        "none"
    )
