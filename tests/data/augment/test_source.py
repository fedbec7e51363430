from __future__ import annotations

import pytest
import torch

from cvexp.config.data import DataConfig
from cvexp.config.option import settings_of
from cvexp.data.augment.policies import TRIVIAL, FlipCrop
from cvexp.data.augment.source import MIXINGS, POLICIES, AugmentedSource, augmentation, training_source
from cvexp.data.batches import ResidentSource
from cvexp.data.dataset import Dataset, Split
from cvexp.data.transforms import Transform

N = 53
PRESETS = (*POLICIES, *MIXINGS)
TOGETHER = ("flip-crop,mixup", "trivial,cutmix", "flip-crop,randaugment,cutmix")
SPLIT = Split(
    images=torch.randint(0, 256, (N, 1, 9, 9), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)),
    labels=torch.arange(N) % 3,
)
ORDER = torch.randperm(N, generator=torch.Generator().manual_seed(1))


def source_of(name, *, seed=7, transform=None):
    return AugmentedSource(ResidentSource(SPLIT, transform or Transform()), augmentation(name), seed=seed, n_classes=3)


def epoch(source, number, *, size=N, start=0, order=ORDER, prefetch=False):
    source.start_epoch(number)
    chunks = list(source.chunks(order, size, start=start, stop=N + 100, prefetch=prefetch))
    return [torch.cat(parts) for parts in zip(*chunks, strict=True)]


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_every_preset_of_the_option_is_one_here():
    assert settings_of(DataConfig)["augment"].choices == ("none", *PRESETS)


@pytest.mark.parametrize("name", [*PRESETS, *TOGETHER])
def test_neither_the_batch_size_nor_a_resumption_nor_another_thread_changes_an_epoch(name):
    whole = epoch(source_of(name), 4)
    assert len(whole[0]) == N
    assert whole[0].dtype == torch.float32
    for size in (1, 8, 50):
        assert same(epoch(source_of(name), 4, size=size), whole)
    assert same(epoch(source_of(name), 4, size=16, prefetch=True), whole)
    resumed = source_of(name)
    epoch(resumed, 9)
    torch.rand(5)
    assert same(epoch(resumed, 4, size=8, start=24), [part[24:] for part in whole])


@pytest.mark.parametrize("name", [*PRESETS, *TOGETHER])
def test_epochs_and_seeds_differ_and_the_default_generator_is_left_alone(name):
    before = torch.get_rng_state()
    first = epoch(source_of(name), 1)
    assert torch.equal(torch.get_rng_state(), before)
    assert not same(epoch(source_of(name), 2), first)
    assert not same(epoch(source_of(name, seed=8), 1), first)
    assert not torch.equal(first[0], SPLIT.images[ORDER] / 255)


def test_presets_together_change_single_images_in_turn_and_mix_what_comes_out():
    source = source_of("flip-crop,trivial,cutmix")
    found, labels = epoch(source, 3)
    alone = source_of("flip-crop")
    alone.start_epoch(3)
    assert all(torch.equal(source.drawn[name], values) for name, values in alone.drawn.items())
    changed = TRIVIAL.apply(FlipCrop().apply(SPLIT.images[ORDER], source.drawn), source.drawn) / 255
    mixed = MIXINGS["cutmix"].mix(changed, changed[source.drawn["partner"]], source.drawn)
    assert torch.equal(found, mixed)
    assert labels.shape == (N, 3)
    assert len(source.described(0)) >= 2


def test_an_image_that_comes_twice_in_an_epoch_is_augmented_in_two_ways():
    images, _ = epoch(source_of("trivial"), 1, order=torch.zeros(N, dtype=torch.int64))
    assert len(images.unique(dim=0)) > N // 2


def test_draws_have_nothing_to_do_with_those_of_the_balanced_sampler():
    import numpy as np

    source = source_of("trivial")
    source.start_epoch(2)
    drawn_for_the_order = np.random.default_rng([7, 2]).integers(14, size=(N, 1))
    assert source.drawn["operations"].tolist() != drawn_for_the_order.tolist()


@pytest.mark.parametrize("name", POLICIES)
def test_images_are_augmented_before_they_are_transformed(name):
    transform = Transform(mean=(0.3,), std=(0.5,))
    plain, _ = epoch(source_of(name), 1)
    standardized, labels = epoch(source_of(name, transform=transform), 1)
    assert torch.allclose(standardized, (plain - 0.3) / 0.5, atol=1e-6)
    assert torch.equal(labels, SPLIT.labels[ORDER])


@pytest.mark.parametrize("name", PRESETS)
def test_a_gather_of_a_few_images_is_a_batch_as_training_has_them(name):
    source = source_of(name)
    images, labels = source.gather(torch.tensor([3, 8]))
    assert images.shape == (2, 1, 9, 9)
    assert labels.shape == ((2, 3) if name in MIXINGS else (2,))
    assert not source.is_resident


def test_without_augmentation_training_has_the_resident_images():
    dataset = Dataset(
        name="noise", class_names=("a", "b", "c"), train=SPLIT, val=None, test=SPLIT, digest="0", place="memory"
    )
    assert isinstance(training_source(dataset, DataConfig(), seed=1), ResidentSource)
    assert isinstance(training_source(dataset, DataConfig(augment="cutmix"), seed=1), AugmentedSource)


def test_the_images_in_memory_stay_as_they_are():
    before = SPLIT.images.clone()
    for name in PRESETS:
        epoch(source_of(name), 1)
    assert torch.equal(SPLIT.images, before)
