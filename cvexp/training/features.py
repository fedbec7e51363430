"""The outputs of a frozen backbone, computed once, and the training of the head alone on them.

The backbone runs without gradients, in evaluation mode: over what is evaluated in the batches of an evaluation, so that
the head has the same inputs then, bit for bit, and over the training split in batches as large as a step's. Those hold
other images than a step's do, so a convolution may sum in another order, and the last digits differ.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import nn

from cvexp.config.loop import LoopConfig
from cvexp.config.loss import LossConfig
from cvexp.config.optimizer import OptimizerConfig
from cvexp.config.option import settings_of
from cvexp.config.schedule import ScheduleConfig
from cvexp.data.progress import tell
from cvexp.data.split import Split
from cvexp.data.transforms import Transform
from cvexp.errors import ConfigError
from cvexp.inference.predictor import images_per_batch, logits_by_class
from cvexp.models.freeze import ALL_BUT_HEAD, head_of

if TYPE_CHECKING:
    from torch import Tensor

    from cvexp.config import RunConfig
    from cvexp.data.dataset import Dataset
    from cvexp.device import Device

N_TRIED = 8
"""Images on which the backbone is compared with itself in training mode."""

TOLERANCE = 1e-4
"""Relative to the largest feature, for batches of another size; dropout changes features by far more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CachedFeatures:
    """What the head is trained on in place of the whole model.

    Attributes:
        head: The model's own head; to train it is to train the model's.
        dataset: The features of the splits that training and its evaluations need.
        train_seconds: How long the training split's took.
        seconds: How long all of them took.
        is_shared: Whether they were computed for an earlier run of this process, whose time that is.
    """

    head: nn.Module
    dataset: Dataset
    train_seconds: float
    seconds: float
    is_shared: bool = False

    @property
    def own_seconds(self) -> float:
        """What the run that has them spent on its training split's, which counts as training."""
        return 0.0 if self.is_shared else self.train_seconds

    @property
    def condition(self) -> str:
        """Where they come from, as a condition of the training time; see comparability.Conditions."""
        return "cached by an earlier run" if self.is_shared else "cached"

    def __str__(self) -> str:
        if self.is_shared:
            return f"taken over from an earlier run, which computed them in {self.seconds:.1f} s"
        return f"computed in {self.seconds:.1f} s, of which {self.train_seconds:.1f} s count as training"


_NOT_OF_FEATURES = {
    *settings_of(LoopConfig),
    *settings_of(LossConfig),
    *settings_of(OptimizerConfig),
    *settings_of(ScheduleConfig),
}
"""Settings of what is done with features; the seed matters only for the weights, which are compared themselves."""


class HeadOnFeatures(nn.Module):
    """The head, for features float32 (N, F, 1, 1), which it gets as (N, *shape)."""

    def __init__(self, head: nn.Module, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.head, self.shape = head, shape

    def forward(self, features: Tensor) -> Tensor:
        """Logits float32 (N, K)."""
        logits: Tensor = self.head(features.reshape(-1, *self.shape))
        return logits


class AsTheyAre(Transform):
    """Leaves features as they are."""

    def __call__(self, images: Tensor, out: Tensor | None = None) -> Tensor:
        """See Transform."""
        return images if out is None else out.copy_(images)


class LastFeatures:
    """Computes a run's features, or gives the ones it computed last, if those are the same; keeps no others."""

    def __init__(self) -> None:
        self._kept: tuple[str, CachedFeatures] | None = None

    def __call__(
        self, model: nn.Module, dataset: Dataset, config: RunConfig, device: Device, *, n_threads: int | None = None
    ) -> CachedFeatures | None:
        """As `cache_features`."""
        if not config.cache_features:
            self._kept = None
            return None
        key = _identity(model, dataset, config, device, n_threads)
        if self._kept is None or self._kept[0] != key:
            self._kept = None  # before others take its memory
            found = cache_features(model, dataset, config, device, n_threads=n_threads)
            assert found is not None  # noqa: S101 - `config` asks for it
            self._kept = key, found
            return found
        name, shape = _checked(model, dataset, config)
        head = HeadOnFeatures(model.get_submodule(name), shape)
        return replace(self._kept[1], head=head, is_shared=True)


def _identity(model: nn.Module, dataset: Dataset, config: RunConfig, device: Device, n_threads: int | None) -> str:
    """A digest of all that features follow from: the frozen weights to the bit, the images, and how they are run."""
    head = head_of(model, dataset.n_classes)
    settings = {name: value for name, value in config.params().items() if name not in _NOT_OF_FEATURES}
    how = (
        settings,
        config.batch_size,
        dataset.pixels,
        dataset.fitting,
        dataset.transform,
        str(device.torch),
        n_threads,
    )
    digest = hashlib.sha256(repr(how).encode())
    for name, tensor in model.state_dict().items():
        if not name.startswith(f"{head}."):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} {tensor.stride()}".encode())
            digest.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def cache_features(
    model: nn.Module, dataset: Dataset, config: RunConfig, device: Device, *, n_threads: int | None = None
) -> CachedFeatures | None:
    """Run the frozen part of `model` over the data once; None where `config` does not ask for it.

    Args:
        model: On the device, frozen as `config` says.
        dataset: On the device. Without a validation split the test split's features are computed too, since it is
            evaluated after every epoch.
        config: Of the run.
        device: Where both are.
        n_threads: CPU threads for one operation, as in evaluations; by default `default_threads()`.

    Raises:
        ConfigError: The features would not be those of each epoch, or they are not all that the head depends on.
    """
    if not config.cache_features:
        return None
    name, shape = _checked(model, dataset, config)
    head = model.get_submodule(name)
    featured = partial(_featured, model, head, transform=dataset.transform, n_threads=n_threads)
    start = device.clock()
    train = featured(dataset.train, batch_size=config.batch_size)
    train_seconds = device.clock() - start
    val = None if dataset.val is None else featured(dataset.val)
    test = dataset.test if val is not None else featured(dataset.test)
    return CachedFeatures(
        head=HeadOnFeatures(head, shape),
        dataset=replace(dataset, train=train, val=val, test=test, transform=AsTheyAre()),
        train_seconds=train_seconds,
        seconds=device.clock() - start,
    )


def _checked(model: nn.Module, dataset: Dataset, config: RunConfig) -> tuple[str, tuple[int, ...]]:
    """The name of the head, and the shape of one image's features; raises what `cache_features` does."""
    name = head_of(model, dataset.n_classes)
    head = model.get_submodule(name)
    _check_frozen(model, head, config)
    return name, _check_repeatable(model, head, dataset)


def _refuse(reason: str) -> ConfigError:
    return ConfigError(f"--cache-features cannot be used: {reason}", "leave --cache-features out")


def _check_frozen(model: nn.Module, head: nn.Module, config: RunConfig) -> None:
    if config.augment != "none":
        raise _refuse(f"with --augment {config.augment} the images differ from epoch to epoch")
    own = {id(parameter) for parameter in head.parameters()}
    trained = [name for name, one in model.named_parameters() if one.requires_grad and id(one) not in own]
    if trained:
        what = f"--freeze {config.freeze} leaves {trained[0]} to be trained, not the head alone"
        raise ConfigError(f"--cache-features cannot be used: {what}", f"use --freeze {ALL_BUT_HEAD}")


def _check_repeatable(model: nn.Module, head: nn.Module, dataset: Dataset) -> tuple[int, ...]:
    """The shape of one image's features.

    Raises:
        ConfigError: They differ in training mode, or something follows the head.
    """
    images = dataset.transform(dataset.train.images[:N_TRIED].to(dataset.train.labels.device))
    found: list[Tensor] = []
    handle = head.register_forward_pre_hook(lambda _, inputs: found.append(inputs[0]))
    try:
        with torch.no_grad():
            logits = model.eval()(images)
            model.train()(images)
    finally:
        handle.remove()
        model.eval()
    evaluated, trained = found
    if len(evaluated) != len(images) or not torch.allclose(
        evaluated, trained, rtol=0, atol=TOLERANCE * float(evaluated.abs().max())
    ):
        raise _refuse("in training mode the inputs of the head differ, as with dropout in front of it")
    with torch.no_grad():
        if not torch.allclose(head(evaluated), logits):
            raise _refuse("the model's logits are not the outputs of its head alone")
    return tuple(evaluated.shape[1:])


def _featured(
    model: nn.Module,
    head: nn.Module,
    split: Split,
    *,
    transform: Transform,
    n_threads: int | None,
    batch_size: int | None = None,
) -> Split:
    """The split with features float32 (N, F, 1, 1) in place of its images; by default in an evaluation's batches."""
    found: list[Tensor] = []
    device = split.labels.device
    size = batch_size or images_per_batch(model, split.images.shape[1:], device)  # before the hook: it runs a copy

    def keep(_: nn.Module, inputs: tuple[Tensor]) -> None:
        found.append(inputs[0].flatten(1))
        tell("computing features", min(len(found) * size, len(split)), len(split))

    handle = head.register_forward_pre_hook(keep)
    try:
        logits_by_class(model, split.images, transform, device=device, batch_size=size, n_threads=n_threads)
    finally:
        handle.remove()
    return Split(images=torch.cat(found)[:, :, None, None], labels=split.labels)  # no inference tensors: autograd
