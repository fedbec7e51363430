"""Three classes of Fashion-MNIST as JPEG files, in the folders of the course's chapters 4 and 6.

    python -m tests.image_folder FOLDER

It stands in for the course's pizza, steak and sushi where they cannot be had: as many images, of like sizes, in colour.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from cvexp.data.dataset import load
from cvexp.data.registry import find_spec
from cvexp.settings import data_dir

CLASSES = ("Coat", "Pullover", "Shirt")
PER_CLASS = {"train": 75, "test": 25}
SIDES = 380, 512


def write(folder: Path) -> None:
    """Write `train/CLASS/*.jpg` and `test/CLASS/*.jpg`, 75 and 25 of each class, enlarged to photographs' sizes."""
    dataset, draw = load(find_spec("fashion-mnist"), data_dir(None)), np.random.default_rng(0)
    for split, count in PER_CLASS.items():
        part = getattr(dataset, split)
        for name in CLASSES:
            target = folder / split / name
            target.mkdir(parents=True)
            of_class = np.flatnonzero(part.labels.numpy() == dataset.class_names.index(name))[:count]
            for k in of_class:
                size = tuple(int(side) for side in draw.integers(*SIDES, 2))
                article = Image.fromarray(part.images[k, 0].numpy()).resize(size, Image.Resampling.BICUBIC)
                article.convert("RGB").save(target / f"{k:05}.jpg")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
