from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance

from cvexp.data.dataset import load
from cvexp.data.duplicates import exact_duplicates, look_at, near_duplicates
from cvexp.data.registry import find_spec
from cvexp.data.split import Split


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return load(find_spec("mnist-5k"), tmp_path_factory.mktemp("data"), limit=300)


def split_of(images):
    stacked = torch.from_numpy(np.stack([np.asarray(one, np.uint8)[None] for one in images]))
    return Split(images=stacked, labels=torch.zeros(len(images), dtype=torch.int64))


def test_equal_pixels_are_found_within_and_across_splits(digits):
    images = list(digits.train.images[:, 0].numpy())
    splits = {"train": split_of([*images, images[7]]), "test": split_of([images[3], images[7]])}
    look = look_at(splits, thumbnails=False)
    assert exact_duplicates(look) == [((3, 301), "exact"), ((7, 300, 302), "exact")]


def compressed(image):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=75)
    return Image.open(buffer)


CHANGES = {
    "compressed": compressed,
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(0.8),
    "resized": lambda image: image.resize((40, 40), Image.Resampling.BICUBIC).resize(
        (28, 28), Image.Resampling.BILINEAR
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_copies_are_found_and_different_digits_are_not(digits, change):
    images = [Image.fromarray(one) for one in digits.train.images[:, 0].numpy()]
    copies = [CHANGES[change](image) for image in images[:50]]
    found = near_duplicates(look_at({"train": split_of(images), "test": split_of(copies)}, thumbnails=True))
    pairs = {one.images for one in found}
    assert sum((k, 300 + k) in pairs for k in range(50)) >= 48
    assert all(len(one.images) == 2 and one.images[1] - one.images[0] == 300 for one in found)


def test_images_of_one_colour_are_like_no_other():
    plain = split_of([np.full((8, 8), level) for level in (0, 100, 101, 255)])
    assert near_duplicates(look_at({"train": plain}, thumbnails=True)) == []


def test_of_exact_duplicates_one_takes_part_in_near_ones(digits):
    image = Image.fromarray(digits.train.images[0, 0].numpy())
    look = look_at({"train": split_of([image, image, compressed(image)])}, thumbnails=True)
    assert [one.images for one in near_duplicates(look)] == [(0, 2)]
