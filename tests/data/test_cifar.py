from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
from torchvision import datasets

from cvexp.data.cifar import FOLDER, Cifar10Source
from cvexp.data.dataset import load
from cvexp.data.registry import find_spec
from cvexp.errors import DatasetError

BATCHES = [f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]
META = "batches.meta"
PER_BATCH = 4


def batch(number):
    draw = np.random.default_rng(number)
    return draw.integers(0, 256, (PER_BATCH, 3 * 32 * 32), np.uint8), draw.integers(0, 10, PER_BATCH)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Six batches of four images each, whose digests torchvision is made to expect."""
    where = tmp_path / FOLDER
    where.mkdir()
    digests = {}
    documents = {
        name: {"data": pixels, "labels": labels.tolist()}
        for name, (pixels, labels) in ((name, batch(number)) for number, name in enumerate(BATCHES))
    }
    for name, document in {**documents, META: {"label_names": list("abcdefghij")}}.items():
        content = pickle.dumps(document)
        (where / name).write_bytes(content)
        digests[name] = hashlib.md5(content, usedforsecurity=False).hexdigest()
    monkeypatch.setattr("cvexp.data.cifar.MD5", digests)
    monkeypatch.setattr(datasets.CIFAR10, "train_list", [[name, digests[name]] for name in BATCHES[:5]])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", [["test_batch", digests["test_batch"]]])
    monkeypatch.setattr(datasets.CIFAR10, "meta", {"filename": META, "key": "label_names", "md5": digests[META]})
    return where


def expected(numbers):
    pixels, labels = zip(*(batch(number) for number in numbers), strict=True)
    return np.concatenate(pixels).reshape(-1, 3, 32, 32), np.concatenate(labels)


@pytest.mark.parametrize("data_dir", ["parent", "itself"])
def test_the_batches_are_found_in_the_data_directory_or_as_it(folder, data_dir):
    given = folder.parent if data_dir == "parent" else folder
    assert Cifar10Source().find(given) == [str(folder)]


def test_a_folder_without_batches_is_no_find(tmp_path):
    assert Cifar10Source().find(tmp_path) == []


@pytest.mark.parametrize("name", [FOLDER, "renamed"])
def test_the_batches_become_images_channel_first_and_labels(folder, name):
    place = folder.rename(folder.with_name(name))
    arrays = Cifar10Source().read(str(place))
    for images, labels, numbers in (
        (arrays.train_images, arrays.train_labels, range(5)),
        (arrays.test_images, arrays.test_labels, [5]),
    ):
        pixels, classes = expected(numbers)
        assert (images.dtype, labels.dtype) == (np.uint8, np.int64)
        assert images.flags.c_contiguous
        np.testing.assert_array_equal(images, pixels)
        np.testing.assert_array_equal(labels, classes)


def test_the_registered_dataset_reads_them(folder):
    dataset = load(find_spec("cifar10"), folder.parent)
    assert dataset.image_shape == find_spec("cifar10").image_shape
    assert (len(dataset.train), len(dataset.test), dataset.place) == (20, 4, str(folder))


@pytest.mark.parametrize("where", [0, 1000, -1])
@pytest.mark.parametrize("name", BATCHES)
def test_one_flipped_bit_is_named(folder, name, where):
    content = bytearray((folder / name).read_bytes())
    content[where] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(DatasetError, match="md5") as caught:
        Cifar10Source().read(str(folder))
    complaint, remedy = caught.value.lines()
    assert complaint.startswith(f"damaged file: {folder / name}: ")
    assert remedy == "delete it, then run: cvexp data cifar10"


@pytest.mark.parametrize("name", [*BATCHES, META])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(DatasetError) as caught:
        Cifar10Source().read(str(folder))
    assert caught.value.lines() == [
        f"missing file: {folder / name}",
        f"run: cvexp data cifar10 --data-dir {folder.parent}",
    ]


class Live:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("name", [*BATCHES, META])
def test_a_forged_batch_is_refused_before_its_pickle_is_opened(folder, name):
    marker = folder / "ran"
    forged = pickle.dumps(Live(marker))
    (folder / name).write_bytes(forged)
    with pytest.raises(DatasetError, match=f"damaged file: .*{name}"):
        Cifar10Source().read(str(folder))
    assert not marker.exists()
    pickle.loads(forged)
    assert marker.exists(), "the pickle was live"


def test_a_download_that_fails_names_the_ways_out(tmp_path, monkeypatch):
    def broken(**_settings):
        raise RuntimeError("no route to host")

    monkeypatch.setattr(datasets, "CIFAR10", broken)
    with pytest.raises(DatasetError) as caught:
        load(find_spec("cifar10"), tmp_path)
    complaint, ways, start = caught.value.lines()
    assert "no route to host" in complaint
    assert FOLDER in ways
    assert "mnist-5k" in start


def test_the_digests_are_the_ones_torchvision_publishes():
    from cvexp.data.cifar import MD5

    published = [*datasets.CIFAR10.train_list, *datasets.CIFAR10.test_list]
    meta = datasets.CIFAR10.meta
    assert {**dict(published), meta["filename"]: meta["md5"]} == MD5
