"""Small real images, scikit-learn's digits, written as files of several kinds."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from cvexp.data.named import locate

CLASSES = ("one", "two", "zero")


@pytest.fixture(scope="session")
def pictures():
    """A hundred digits of each of three classes, grey, 8x8 made 24x20."""
    digits = load_digits()
    chosen = {name: digits.images[digits.target == k] for name, k in (("zero", 0), ("one", 1), ("two", 2))}
    scaled = {name: np.rint(images[:100] * (255 / 16)).astype(np.uint8) for name, images in chosen.items()}
    return {name: [Image.fromarray(one).resize((20, 24)) for one in images] for name, images in scaled.items()}


@pytest.fixture
def write(pictures, tmp_path, monkeypatch):
    """Write `counts` images of each class below the folder of each split; `.` has no splits."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    def writing(splits, *, root="own", suffix=".png", mode="L"):
        start = 0
        for split, count in splits.items():
            for name, images in pictures.items():
                folder = tmp_path / root / split / name
                folder.mkdir(parents=True, exist_ok=True)
                for k in range(start, start + count):
                    images[k].convert(mode).save(folder / f"{k:03}{suffix}")
            start += count
        return tmp_path / root

    return writing


@pytest.fixture
def own():
    """Load a dataset of the user's own, by name."""
    from cvexp.data.fitting import Fitting
    from cvexp.data.own.loading import load_own

    def load(name="own", *, resize="crop", **how):
        located = locate(name)
        assert located is not None
        return load_own(located, Fitting(resize=resize), **how)

    return load
