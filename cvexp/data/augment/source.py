"""Augmented training images, batch by batch: the presets of `--augment`, and the source that applies one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from cvexp.data.augment.mixing import PARTNER, SHARE, CutMix, Mixup
from cvexp.data.augment.policies import RANDAUGMENT, TRIVIAL, FlipCrop
from cvexp.data.batches import source_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import Tensor

    from cvexp.config.data import DataConfig
    from cvexp.data.augment.mixing import Mixing
    from cvexp.data.augment.policies import Draws, Policy
    from cvexp.data.batches import Batch, BatchSource, ResidentSource
    from cvexp.data.dataset import Dataset

POLICIES: Mapping[str, Policy] = {"flip-crop": FlipCrop(), "trivial": TRIVIAL, "randaugment": RANDAUGMENT}
MIXINGS: Mapping[str, Mixing] = {"mixup": Mixup(alpha=0.2), "cutmix": CutMix(alpha=1.0)}
"""With alpha as the papers chose it for ImageNet (mixup) and for all data (CutMix)."""

STREAM = 1
"""Beside the seed and the epoch, so that the draws have nothing to do with those of a sampler."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Augmentation:
    """What is done to an epoch's images; both parts may be empty.

    Attributes:
        policies: Change single images, one after the other, before they are mixed.
        mixing: Mixes pairs of transformed images.
    """

    policies: tuple[Policy, ...] = ()
    mixing: Mixing | None = None


def augmentation(names: str) -> Augmentation:
    """The presets in a value of `--augment`, as `DataConfig` has it."""
    chosen = names.split(",")
    mixing = next((MIXINGS[name] for name in chosen if name in MIXINGS), None)
    return Augmentation(policies=tuple(POLICIES[name] for name in chosen if name in POLICIES), mixing=mixing)


class AugmentedSource:
    """A split whose images are augmented, then transformed, when they are gathered; see BatchSource.

    The parameters of an epoch are drawn at once, from a generator seeded by the run's seed and the epoch: a row for
    each position in the epoch's order. So they depend neither on the batch size nor on where training was resumed, and
    an image that comes twice in an epoch is augmented in two ways. Mixed images have labels float32 (B, K).

    Args:
        source: Gives the images as they are stored.
        how: The augmentation.
        seed: Of the run.
        n_classes: K.
    """

    is_resident = False
    """Draws of another epoch would not reach a `gather` that was captured."""

    def __init__(self, source: ResidentSource, how: Augmentation, *, seed: int, n_classes: int) -> None:
        self._source, self._how, self._seed, self._n_classes = source, how, seed, n_classes
        self.device = source.device
        self.start_epoch(1)

    def __len__(self) -> int:
        return len(self._source)

    def start_epoch(self, epoch: int) -> None:
        """Draw the parameters of an epoch, counted from 1."""
        rng, shape, n_images = np.random.default_rng((self._seed, epoch, STREAM)), self._source.image_shape, len(self)
        self.drawn: Draws = {}
        for policy in self._how.policies:
            self.drawn |= policy.draw(n_images, shape, rng)
        if self._how.mixing is not None:
            self.drawn |= self._how.mixing.draw(n_images, shape, rng)

    def described(self, position: int) -> list[str]:
        """What is done to the image at a position of the epoch, before it is mixed, in a few words each."""
        return [words for policy in self._how.policies for words in policy.described(self.drawn, position)]

    def gather(self, indices: Tensor) -> Batch:
        """The images at `indices`, augmented as if they were the epoch's first."""
        return self._batch(indices, torch.arange(len(indices)))

    def chunks(self, order: Tensor, size: int, *, start: int, stop: int, prefetch: bool) -> Iterator[Batch]:
        """See BatchSource."""
        stop = min(stop, len(order))
        pieces = [(order, torch.arange(first, min(first + size, stop))) for first in range(start, stop, size)]
        return self._source.made(self._batch, pieces, prefetch=prefetch)

    def pieces(self, order: Tensor, positions: Sequence[Tensor]) -> Iterator[Batch]:
        """See BatchSource."""
        return self._source.made(self._batch, [(order, some) for some in positions], prefetch=False)

    def _batch(self, order: Tensor, positions: Tensor) -> Batch:
        """The images at `positions`, int64 (B,) on the CPU."""
        images, labels = self._augmented(order, positions)
        if self._how.mixing is None:
            return images, labels
        drawn = {name: values[positions].to(self.device) for name, values in self.drawn.items()}
        # Positions wrap around in an order that is shorter than an epoch, as in trials.
        partners, their_labels = self._augmented(order, self.drawn[PARTNER][positions] % len(order))
        share = drawn[SHARE][:, None]
        ours, theirs = (functional.one_hot(one, self._n_classes) for one in (labels, their_labels))
        return self._how.mixing.mix(images, partners, drawn), share * ours + (1 - share) * theirs

    def _augmented(self, order: Tensor, positions: Tensor) -> Batch:
        """Single images at `positions`, int64 (B,) on the CPU, transformed."""
        images, labels = self._source.stored(order[positions.to(order.device)])
        drawn = {name: values[positions] for name, values in self.drawn.items()}
        for policy in self._how.policies:
            images = policy.apply(images, drawn)
        return self._source.transform(images), labels


def training_source(dataset: Dataset, config: DataConfig, *, seed: int) -> BatchSource:
    """The training images of `dataset`, which is on its device, augmented as `config` says."""
    source = source_of(dataset.train, dataset.transform)
    if config.augment == "none":
        return source
    return AugmentedSource(source, augmentation(config.augment), seed=seed, n_classes=dataset.n_classes)
