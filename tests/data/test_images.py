from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, ImageOps
from sklearn.datasets import load_sample_images

from cvexp.data.fitting import Fitting
from cvexp.data.images import _tensor, read_image
from cvexp.errors import DatasetError

GREY = (1, 28, 28)
COLOUR = (3, 32, 32)
SRGB, LAB = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")


def gradient(height=28, width=28):
    return np.linspace(0, 255, height * width).reshape(height, width).round().astype(np.uint8)


def test_a_grey_image_of_the_right_size_comes_through_untouched(tmp_path):
    Image.fromarray(gradient()).save(tmp_path / "x.png")
    pixels, notes = read_image(tmp_path / "x.png", GREY)
    assert np.array_equal(pixels[0], gradient())
    assert (pixels.dtype, pixels.shape, notes) == (np.uint8, GREY, ())


@pytest.mark.parametrize("shape", [GREY, COLOUR])
@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "gif", "tiff", "webp"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_every_common_format_is_read(mode, suffix, shape, tmp_path):
    Image.fromarray(gradient(40, 30)).convert(mode).save(tmp_path / f"x.{suffix}")
    pixels, notes = read_image(tmp_path / f"x.{suffix}", shape)
    assert (pixels.dtype, pixels.shape) == (np.uint8, shape)
    assert notes == (f"resized from 30x40 to {shape[2]}x{shape[1]} pixels",)


def test_sixteen_bits_keep_their_brightness(tmp_path):
    Image.fromarray(gradient().astype(np.uint16) * 257).save(tmp_path / "x.png")
    pixels, notes = read_image(tmp_path / "x.png", GREY)
    assert np.array_equal(pixels[0], gradient())
    assert notes == ("16-bit values scaled to 8 bits",)


@pytest.mark.parametrize("shape", [GREY, COLOUR])
@pytest.mark.parametrize(
    ("mode", "suffix"),
    [
        *(("1", "png"), ("LA", "png"), ("P", "png"), ("RGBA", "png"), ("I;16", "png"), ("I;16B", "tiff")),
        *(("CMYK", "jpg"), ("YCbCr", "tiff"), ("LAB", "tiff"), ("F", "tiff"), ("I", "tiff"), ("PA", "tiff")),
    ],
)
def test_every_mode_of_a_file_is_brought_to_grey_and_to_colour(mode, suffix, shape, tmp_path):
    grey = Image.fromarray(gradient())
    if mode in ("I;16", "I;16B"):
        image = Image.fromarray((gradient().astype(np.uint16) * 257).astype(">u2" if mode == "I;16B" else "<u2"))
    elif mode in ("LAB", "PA"):
        image = grey.convert("RGB") if mode == "LAB" else grey.convert("P").convert("PA")
        image = ImageCms.profileToProfile(image, SRGB, LAB, outputMode="LAB") if mode == "LAB" else image
    else:
        image = grey.convert("RGB" if mode in ("CMYK", "YCbCr", "P") else "L").convert(mode)
    try:
        image.save(tmp_path / f"x.{suffix}")
    except OSError:
        pytest.skip("Pillow writes no such file")
    pixels, _ = read_image(tmp_path / f"x.{suffix}", shape)
    assert (pixels.dtype, pixels.shape) == (np.uint8, shape)
    assert pixels[:, -1].mean() > pixels[:, 0].mean() + 100 or mode == "I"


def test_what_is_transparent_becomes_black(tmp_path):
    layered = np.full((28, 28, 4), 200, np.uint8)
    layered[:14, :, 3] = 0
    layered[14:, :, 3] = 255
    Image.fromarray(layered, "RGBA").save(tmp_path / "x.png")
    pixels, notes = read_image(tmp_path / "x.png", GREY)
    assert (pixels[0, :14].max(), pixels[0, 14:].min()) == (0, 200)
    assert notes == ("transparent parts became black",)


def test_an_opaque_alpha_channel_is_not_worth_a_word(tmp_path):
    Image.fromarray(gradient()).convert("RGBA").save(tmp_path / "x.png")
    assert read_image(tmp_path / "x.png", GREY)[1] == ()


@pytest.mark.parametrize("transparency", [None, 0])
def test_a_palette_is_looked_up(transparency, tmp_path):
    image = Image.fromarray((gradient() > 127).astype(np.uint8), "L").convert("P")
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.save(tmp_path / "x.png", **({} if transparency is None else {"transparency": transparency}))
    pixels, _ = read_image(tmp_path / "x.png", (3, 28, 28))
    first = [0, 0, 0] if transparency == 0 else [255, 0, 0]
    assert (pixels[:, 0, 0].tolist(), pixels[:, -1, -1].tolist()) == (first, [0, 0, 255])


def test_a_photo_is_turned_as_its_camera_was_held(tmp_path):
    image = Image.fromarray(gradient(20, 40))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "x.jpg", exif=exif)
    _, notes = read_image(tmp_path / "x.jpg", GREY)
    assert notes == ("resized from 20x40 to 28x28 pixels",)


@pytest.mark.parametrize(
    "size", [(20, 30), (2500, 2000)], ids=["in one piece", "in pieces, as Pillow holds large ones"]
)
def test_the_pixels_that_go_to_torch_are_those_of_the_image(size):
    pixels = np.arange(3 * size[0] * size[1], dtype=np.uint32).astype(np.uint8).reshape(*size, 3)
    seen = _tensor(Image.fromarray(pixels))
    assert np.array_equal(seen[0, :3].permute(1, 2, 0).numpy(), pixels)


def test_a_large_photo_is_resized(tmp_path):
    Image.fromarray(np.zeros((3000, 4000, 3), np.uint8)).save(tmp_path / "x.jpg")
    pixels, notes = read_image(tmp_path / "x.jpg", GREY)
    assert pixels.shape == GREY
    assert notes == ("resized from 4000x3000 to 28x28 pixels",)


@pytest.mark.parametrize(
    ("content", "complaint"), [(b"", "not an image"), (b"hello", "not an image"), (None, "unreadable image")]
)
def test_what_cannot_be_read_is_named(content, complaint, tmp_path):
    path = tmp_path / "x.png"
    if content is None:
        Image.fromarray(gradient(200, 200)).save(path)
        content = path.read_bytes()[:150]
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=complaint) as refused:
        read_image(path, GREY)
    assert str(path) in refused.value.what


def test_a_decompression_bomb_is_not_opened(tmp_path, monkeypatch):
    Image.fromarray(gradient(100, 100)).save(tmp_path / "x.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(DatasetError, match="too large"):
        read_image(tmp_path / "x.png", GREY)


def test_a_model_of_five_channels_takes_no_files(tmp_path):
    with pytest.raises(DatasetError, match="5 channels"):
        read_image(tmp_path / "x.png", (5, 8, 8))


PHOTOS = [Image.fromarray(one) for one in load_sample_images().images]


@pytest.mark.parametrize("photo", range(2))
@pytest.mark.parametrize("turned", [1, 6])
def test_a_large_jpeg_that_is_decoded_at_a_fraction_of_its_size_gives_the_same_image(photo, turned, tmp_path):
    large = PHOTOS[photo].resize((1600, 1200), Image.Resampling.LANCZOS)
    exif = large.getexif()
    exif[0x0112] = turned
    large.save(tmp_path / "x.jpg", quality=90, exif=exif)
    drafted, notes = read_image(tmp_path / "x.jpg", (3, 64, 64), Fitting(resize="crop"))
    with Image.open(tmp_path / "x.jpg") as image:
        assert image.draft(None, (256, 256)) is not None
        assert image.size < (800, 600)
    large = Image.open(tmp_path / "x.jpg")
    large.load()
    whole = torch.from_numpy(np.array(ImageOps.exif_transpose(large))).permute(2, 0, 1)[None]
    difference = np.abs(Fitting(resize="crop")(whole, (64, 64))[0].numpy().astype(int) - drafted)
    assert difference.mean() < 0.6
    assert notes == (f"resized from {'1600x1200' if turned == 1 else '1200x1600'} to 64x64 pixels",)
