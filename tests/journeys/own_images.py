"""Real images as people have them: files of several kinds, sizes and modes, some damaged, some there twice."""

from __future__ import annotations

from itertools import cycle, islice
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from cvexp.data.dataset import load
from cvexp.data.registry import find_spec
from cvexp.settings import data_dir

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ARTICLES = {"bag": 8, "sneaker": 7, "trouser": 1}
DIGITS = {"digit one": 1, "digit zero": 0}
CLASSES = (*ARTICLES, *DIGITS)
N_TRAIN, N_TEST = 60, 20
"""Of each class."""

KINDS = (
    ("L", (28, 28), ".png"),
    ("RGB", (64, 48), ".jpg"),
    ("P", (50, 70), ".png"),
    ("RGBA", (40, 40), ".png"),
    ("I;16", (28, 28), ".png"),
    ("CMYK", (90, 60), ".jpg"),
    ("LA", (33, 64), ".png"),
    ("1", (128, 128), ".png"),
    ("L", (200, 150), ".jpeg"),
)
ORIENTATION, TURNED = 0x0112, 6
DAMAGED = ("cut.jpg", "empty.png", "text.png")


def write_images(root: Path) -> None:
    """Write `train/CLASS/*` and `test/CLASS/*`.

    In `train/bag` are three files that cannot be read. The first test images of `sneaker` are training images too:
    one the same file, one written again as JPEG; and one training image of `trouser` is there twice.
    """
    for name, images in _classes():
        kinds = cycle(KINDS)
        for split, count in (("train", N_TRAIN), ("test", N_TEST)):
            folder = root / split / name
            folder.mkdir(parents=True)
            for k in range(count):
                mode, size, suffix = next(kinds)
                _save(next(images).resize(size), mode, folder / f"{k:03}{suffix}", turned=k % 10 == 1)
    bag, sneaker, trouser = (root / "train" / name for name in ARTICLES)
    whole = (bag / "001.jpg").read_bytes()
    for name, content in zip(DAMAGED, (whole[: len(whole) // 2], b"", b"no image"), strict=True):
        (bag / name).write_bytes(content)
    test = root / "test/sneaker"
    (test / "copied.png").write_bytes((sneaker / "000.png").read_bytes())
    with Image.open(sneaker / "008.jpeg") as image:
        image.save(test / "again.jpg", quality=80)
    (trouser / "copied.png").write_bytes((trouser / "002.png").read_bytes())


def _classes() -> Iterator[tuple[str, Iterator[Image.Image]]]:
    fashion, digits, n = load(find_spec("fashion-mnist"), data_dir()).train, load_digits(), N_TRAIN + N_TEST
    for name, label in ARTICLES.items():
        chosen = fashion.images[fashion.labels == label][:n, 0].numpy()
        yield name, islice(map(Image.fromarray, chosen), n)
    for name, label in DIGITS.items():
        chosen = np.rint(digits.images[digits.target == label][:n] * (255 / 16)).astype(np.uint8)
        yield name, islice(map(Image.fromarray, chosen), n)


def _save(image: Image.Image, mode: str, path: Path, *, turned: bool) -> None:
    if mode == "I;16":
        Image.fromarray(np.asarray(image).astype(np.uint16) * 257).save(path)
        return
    exif = Image.Exif()
    if turned and mode == "RGB":
        exif[ORIENTATION] = TURNED
        image = image.transpose(Image.Transpose.ROTATE_90)
    image.convert(mode).save(path, exif=exif)
