"""Images fitted without torch have the pixels that they have with it."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from cvexp.data.fitting import Fitting
from cvexp.data.images import decode
from cvexp.data.resize import fitted, fitted_image, resized

SIZES = ((1, 1), (2, 7), (8, 8), (28, 28), (31, 64), (97, 50), (300, 201))


def photo(height, width, channels=4, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (channels, height, width), dtype=np.uint8)


def by_torch(pixels, size, interpolation):
    return Fitting(resize="squeeze", interpolation=interpolation)(torch.from_numpy(pixels)[None], size)[0].numpy()


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("here", SIZES)
def test_every_pixel_is_the_one_of_torch(here, interpolation):
    for channels in (1, 3, 4):
        pixels = photo(*here, channels)
        for size in SIZES:
            if size not in (here, (1, 1)):  # torch fails on four channels of one pixel
                np.testing.assert_array_equal(
                    resized(pixels, size, interpolation), by_torch(pixels, size, interpolation), f"{here} to {size}"
                )


def test_black_and_white_edges_do_not_overflow():
    pixels = np.where(photo(120, 90) > 127, 255, 0).astype(np.uint8)
    for size in ((28, 28), (200, 250)):
        np.testing.assert_array_equal(resized(pixels, size, "bicubic"), by_torch(pixels, size, "bicubic"))


@pytest.mark.parametrize("resize", ["crop", "squeeze", "pad"])
@pytest.mark.parametrize("here", [(60, 100), (100, 60), (28, 90), (28, 28), (5, 3)])
def test_images_are_cropped_and_padded_as_with_torch(here, resize):
    fitting, pixels = Fitting(resize=resize), photo(*here, 3)
    expected = fitting(torch.from_numpy(pixels)[None], (28, 28))[0].numpy()
    np.testing.assert_array_equal(fitted(pixels, (28, 28), fitting), expected)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P"])
@pytest.mark.parametrize("channels", [1, 3])
def test_files_decode_to_the_same_pixels(mode, channels):
    stream = io.BytesIO()
    image = Image.fromarray(photo(70, 45, 4).transpose(1, 2, 0).copy(), "RGBA").convert(mode)
    image.save(stream, "PNG")
    for fitting in (Fitting(), Fitting(resize="crop", interpolation="bicubic"), Fitting(resize="pad")):
        both = [decode(stream, (channels, 28, 28), fitting, **how) for how in ({}, {"fitted": fitted_image})]
        np.testing.assert_array_equal(both[0][0], both[1][0])
        assert both[0][1] == both[1][1]


def test_decoding_leaves_torch_unloaded():
    script = (
        "import io, sys\nfrom PIL import Image\nfrom cvexp.data.fitting import Fitting\n"
        "from cvexp.data.images import decode\nfrom cvexp.data.resize import fitted_image\n"
        "s = io.BytesIO(); Image.new('L', (9, 9)).save(s, 'PNG')\n"
        "assert decode(s, (3, 4, 4), Fitting(), fitted=fitted_image)[0].shape == (3, 4, 4)\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
