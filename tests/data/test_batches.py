from __future__ import annotations

import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset
from torchvision.transforms import ToTensor

from cvexp.data.batches import InMemory, scaled, training_batches
from cvexp.data.dataset import Split

N = 50


@pytest.fixture
def split():
    draw = torch.Generator().manual_seed(0)
    return Split(
        images=torch.randint(0, 256, (N, 2, 4, 3), dtype=torch.uint8, generator=draw),
        labels=torch.randint(0, 5, (N,), generator=draw),
    )


def as_tensors(split):
    """The course's way to the same data: every image a float tensor by itself."""
    return TensorDataset(split.images.float() / 255, split.labels)


def assert_same(ours, theirs):
    assert len(ours) == len(theirs) > 0
    for (images, labels), (expected_images, expected_labels) in zip(ours, theirs, strict=True):
        assert torch.equal(images, expected_images)
        assert torch.equal(labels, expected_labels)


@pytest.mark.parametrize("batch_size", [1, 7, 25, N, 64])
def test_two_epochs_bring_the_very_batches_of_torchs_own_loader(split, batch_size):
    reference = DataLoader(as_tensors(split), batch_size=batch_size, shuffle=True)
    torch.manual_seed(3)
    theirs = list(reference)
    list(DataLoader(as_tensors(split), batch_size=8))  # the course's pass over the test images
    theirs += list(reference)

    batches = training_batches(split, batch_size=batch_size)
    torch.manual_seed(3)
    ours = list(batches)
    torch.empty((), dtype=torch.int64).random_()  # what our own evaluation draws in its place
    ours += list(batches)

    assert_same(ours, theirs)
    assert len(batches) == len(reference)


def test_each_epoch_has_an_order_of_its_own_and_every_image_once(split):
    numbered = Split(images=split.images, labels=torch.arange(N))
    batches = training_batches(numbered, batch_size=7)
    orders = [torch.cat([labels for _, labels in batches]).tolist() for _ in range(3)]
    assert all(sorted(order) == list(range(N)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3


@pytest.mark.parametrize(("batch_size", "sizes"), [(16, [16, 16, 16, 2]), (49, [49, 1]), (50, [50]), (99, [50])])
def test_the_last_batch_holds_what_is_left(split, batch_size, sizes):
    assert [len(labels) for _, labels in training_batches(split, batch_size=batch_size)] == sizes


def test_every_grey_level_is_scaled_as_torchvision_scales_it():
    levels = torch.arange(256, dtype=torch.uint8).reshape(16, 16)
    ours = scaled(levels)
    assert ours.dtype == torch.float32
    assert torch.equal(ours, ToTensor()(Image.fromarray(levels.numpy()))[0])
    assert (ours[0, 0], ours[-1, -1]) == (0, 1)


def test_scaling_leaves_the_stored_images_as_they_are(split):
    before = split.images.clone()
    scaled(split.images)
    list(training_batches(split, batch_size=8))
    assert torch.equal(split.images, before)


def test_one_item_is_one_image_with_its_label(split):
    image, label = InMemory(split)[17]
    assert torch.equal(image, split.images[17] / 255)
    assert label == split.labels[17]
    assert len(InMemory(split)) == N
