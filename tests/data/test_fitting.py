"""Images are fitted as Pillow fits them, to within a level."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from sklearn.datasets import load_sample_images

from cvexp.data.fitting import Fitting

PHOTOS = [Image.fromarray(one) for one in load_sample_images().images]  # 640x427
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def fitted(image, size, **how):
    return Fitting(**how)(torch.from_numpy(np.array(image)).permute(2, 0, 1)[None], size)[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("interpolation", FILTERS)
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("size", [(64, 64), (96, 40), (500, 500)])
def test_squeezing_is_pillows_resizing(size, turned, interpolation):
    photo = PHOTOS[0].transpose(Image.Transpose.ROTATE_90) if turned else PHOTOS[0]
    ours = fitted(photo, size, resize="squeeze", interpolation=interpolation)
    theirs = np.asarray(photo.resize(size[::-1], FILTERS[interpolation]))
    difference = np.abs(ours.astype(int) - theirs)
    # Where bicubic overshoots, torch clips to 255 between its two passes, and Pillow after both.
    assert difference.max() <= (1 if interpolation == "bilinear" else 8)
    assert difference.mean() < 0.2


def test_cropping_resizes_the_shorter_side_and_keeps_the_centre():
    ours = fitted(PHOTOS[1], (64, 64), resize="crop")
    scaled = np.asarray(PHOTOS[1].resize((96, 64), Image.Resampling.BILINEAR))
    assert np.abs(ours.astype(int) - scaled[:, 16:80]).max() <= 1


def test_padding_resizes_the_longer_side_and_adds_black():
    ours = fitted(PHOTOS[1], (65, 64), resize="pad")
    theirs = np.asarray(ImageOps.pad(PHOTOS[1], (64, 65), Image.Resampling.BILINEAR))
    assert (ours[:11].max(), ours[-11:].max()) == (0, 0)
    assert ours[11:54].min(axis=(1, 2)).size == 43
    assert np.abs(ours.astype(int) - theirs).mean() < 1


@pytest.mark.parametrize("resize", ["crop", "squeeze", "pad"])
def test_every_way_gives_the_size_for_every_shape(resize):
    fitting = Fitting(resize=resize)
    for height in (1, 2, 7, 50, 333):
        for width in (1, 3, 8, 200):
            images = torch.zeros((2, 1, height, width), dtype=torch.uint8)
            for size in ((1, 1), (8, 8), (31, 64)):
                assert fitting(images, size).shape == (2, 1, *size)


def test_images_of_the_size_are_returned_as_they_are():
    images = torch.zeros((2, 3, 8, 8), dtype=torch.uint8)
    assert Fitting(resize="pad")(images, (8, 8)) is images
