"""What a dataset's source reads is checked before it is trained on, whoever wrote the source."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cvexp.data.dataset import load
from cvexp.data.registry import DatasetSpec
from cvexp.data.sources import Arrays
from cvexp.errors import DatasetError

SOUND = Arrays(
    train_images=np.arange(12 * 4, dtype=np.uint8).reshape(12, 1, 2, 2),
    train_labels=np.arange(12) % 3,
    test_images=np.arange(6 * 4, dtype=np.uint8).reshape(6, 1, 2, 2),
    test_labels=np.arange(6) % 3,
)


class InMemory:
    def __init__(self, arrays):
        self.arrays = arrays

    def find(self, _data_dir):
        return ["memory"]

    def fetch(self, _data_dir):
        pytest.fail("nothing to fetch")

    def read(self, _place):
        return self.arrays


def loaded(arrays):
    spec = DatasetSpec(
        name="own",
        title="",
        class_names=("a", "b", "c"),
        image_shape=(1, 2, 2),
        n_train=12,
        n_test=6,
        source=InMemory(arrays),
    )
    return load(spec, None)


def changed(**arrays):
    return replace(SOUND, **arrays)


UNSOUND = {
    "images as fractions": (changed(train_images=SOUND.train_images / np.float32(255)), "float32", "uint8"),
    "images of another dtype": (changed(test_images=SOUND.test_images.astype(np.int64)), "int64", "uint8"),
    "images without channels": (changed(train_images=SOUND.train_images[:, 0]), "12x2x2", "Nx1x2x2"),
    "images of another size": (changed(test_images=SOUND.test_images.reshape(6, 1, 1, 4)), "6x1x1x4", "Nx1x2x2"),
    "channels last": (changed(train_images=SOUND.train_images.reshape(12, 2, 2, 1)), "12x2x2x1", "Nx1x2x2"),
    "no images": (changed(train_images=SOUND.train_images[:0], train_labels=SOUND.train_labels[:0]), "no training", ""),
    "no test images": (changed(test_images=SOUND.test_images[:0], test_labels=SOUND.test_labels[:0]), "no test", ""),
    "too few labels": (changed(train_labels=SOUND.train_labels[:-1]), "11", "12"),
    "labels from 1": (changed(test_labels=SOUND.test_labels + 1), "3", "0 to 2"),
    "negative labels": (changed(train_labels=SOUND.train_labels - 1), "-1", "0 to 2"),
    "labels as numbers with a point": (changed(train_labels=SOUND.train_labels.astype(float)), "float64", "integer"),
    "labels one-hot": (changed(train_labels=np.eye(3, dtype=np.int64)[SOUND.train_labels]), "12x3", "N"),
    "lists": (changed(train_images=SOUND.train_images.tolist()), "list", "uint8"),
    "a tuple": ((SOUND.train_images, SOUND.train_labels), "tuple", "Arrays"),
}


@pytest.mark.parametrize(("arrays", "seen", "wanted"), UNSOUND.values(), ids=UNSOUND)
def test_what_cannot_be_a_dataset_is_refused_with_what_was_seen_and_what_is_wanted(arrays, seen, wanted):
    with pytest.raises(DatasetError) as caught:
        loaded(arrays)
    message = " ".join(caught.value.lines())
    assert "own" in message
    assert seen in message
    assert wanted in message


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_labels_of_any_integer_dtype_become_int64_and_keep_the_digest(dtype):
    dataset = loaded(changed(train_labels=SOUND.train_labels.astype(dtype)))
    assert str(dataset.train.labels.dtype) == "torch.int64"
    assert dataset.digest == loaded(SOUND).digest


def test_other_pixels_have_another_digest():
    inverted = changed(train_images=255 - SOUND.train_images)
    assert loaded(inverted).digest != loaded(SOUND).digest


def test_fractions_and_their_inversion_never_get_a_digest_at_all():
    """As bytes both would be zeros: they would share one."""
    images = np.random.default_rng(0).random(SOUND.train_images.shape) * 0.9 + 0.05
    for fractions in (images, 1 - images):
        with pytest.raises(DatasetError):
            loaded(changed(train_images=fractions))
