from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from cvexp.config.data import DataConfig
from cvexp.data.dataset import load_dataset

DIGITS = load_digits()
IMAGES = np.rint(DIGITS.images[:200] * 15).astype(np.uint8)
LABELS = DIGITS.target[:200]


def loaded(folder, *, config=None, **arrays):
    np.savez(folder / "x.npz", **arrays)
    return load_dataset(DataConfig(dataset=f"npz:{folder / 'x.npz'}", **config or {}), folder)


@pytest.mark.parametrize("images", [IMAGES, IMAGES[:, None], IMAGES[..., None], np.stack([IMAGES] * 3, axis=-1)])
def test_arrays_of_every_usual_shape_are_taken(images, tmp_path):
    dataset = loaded(tmp_path, x_train=images[:150], y_train=LABELS[:150], x_test=images[150:], y_test=LABELS[150:])
    assert dataset.image_shape[1:] == (8, 8)
    assert np.array_equal(dataset.test.images.numpy()[:, 0], IMAGES[150:])
    assert dataset.class_names == tuple("0123456789")


def test_medmnists_names_have_a_validation_part_and_labels_of_one_column(tmp_path):
    parts = {"train": slice(0, 120), "val": slice(120, 160), "test": slice(160, 200)}
    arrays = {
        f"{name}_{what}": of[part]
        for name, part in parts.items()
        for what, of in (("images", IMAGES), ("labels", LABELS[:, None]))
    }
    dataset = loaded(tmp_path, config={"val_split": 0.5}, **arrays, class_names=np.array(list("abcdefghij")))
    assert [len(split) for split in (dataset.train, dataset.val, dataset.test)] == [120, 40, 40]
    assert dataset.class_names == tuple("abcdefghij")
    arrays["val_images"] = arrays["val_images"][::-1]
    assert loaded(tmp_path, **arrays).digest != dataset.digest


def test_without_a_test_part_a_fifth_of_each_class_is_one(tmp_path):
    dataset = loaded(tmp_path, images=IMAGES, labels=LABELS, config={"image_size": 12})
    assert np.bincount(dataset.test.labels.numpy()).min() >= 3
    assert len(dataset.train) + len(dataset.test) == 200
    assert dataset.image_shape == (1, 12, 12)
