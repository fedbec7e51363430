"""What is decoded once is opened again, and never mistaken for something else."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from cvexp.data.fitting import Fitting
from cvexp.data.images import read_image
from cvexp.data.own import cache, scan
from cvexp.errors import DatasetError, StorageError
from cvexp.settings import image_cache_dir


@pytest.fixture
def decoded(monkeypatch):
    """The names of the files that are decoded, as they are."""
    seen = []
    decode = cache.decode
    monkeypatch.setattr(cache, "decode", lambda *a: (seen.append(1), decode(*a))[1])
    return seen


@pytest.fixture
def settled(monkeypatch):
    """Files count as settled however young they are."""
    monkeypatch.setattr(scan, "SETTLED_NS", -(10**12))


def test_the_images_are_those_that_predict_reads(write, own):
    root = write({"train": 3, "test": 1}, mode="RGB", suffix=".jpg")
    found = own(side=16)
    for row, name in enumerate(found.listing.names):
        pixels, _ = read_image(root / name, (3, 16, 16), Fitting(resize="crop"))
        assert np.array_equal(found.cached.images[row].numpy(), pixels)


def test_a_second_start_reads_and_decodes_nothing(write, own, decoded, settled):
    write({"train": 3, "test": 1})
    first, n_decoded = own(), len(decoded)
    second = own()
    assert (n_decoded, len(decoded), second.scan.n_read, second.cached.was_there) == (12, 12, 0, True)
    assert torch.equal(first.dataset.train.images, second.dataset.train.images)
    assert first.dataset.digest == second.dataset.digest


def test_a_file_that_may_have_changed_within_the_clocks_tick_is_read_again(write, own):
    write({"train": 3, "test": 1})
    own()
    assert own().scan.n_read == 12


@pytest.mark.parametrize("how", ["content", "touched", "renamed", "removed", "size", "resize", "channels"])
def test_only_what_changes_the_images_decodes_again(write, own, decoded, settled, how):
    root = write({"train": 3, "test": 1})
    before = own(side=16)
    file, changes = root / "train/one/001.png", {"side": 16}
    if how == "content":
        shutil.copy(root / "train/two/001.png", file)
    elif how == "touched":
        os.utime(file, ns=(1, 1))
    elif how == "renamed":
        (root / "train/one").rename(root / "train/once")
        (root / "test/one").rename(root / "test/once")
    elif how == "removed":
        file.unlink()
    else:
        changes |= {"size": {"side": 17}, "resize": {"resize": "pad"}, "channels": {"channels": 3}}[how]
    after, again = own(**changes), len(decoded) > 12
    assert again == (how not in ("touched", "renamed"))
    assert (after.dataset.digest != before.dataset.digest) == (how in ("content", "removed"))


def test_unreadable_images_are_left_out_and_the_others_stay_in_their_splits(write, own):
    root = write({"train": 4, "test": 2})
    sound = own(side=16).dataset
    whole = (root / "train/one/002.png").read_bytes()
    (root / "train/one/002.png").write_bytes(whole[: len(whole) // 2])  # a sound header
    (root / "test/two/004.png").write_bytes(b"no image")
    found = own(side=16).dataset
    assert [one.path for one in found.left_out] == ["train/one/002.png", "test/two/004.png"]
    keep = [k for k, name in enumerate(sound.train.names) if name != "train/one/002.png"]
    assert torch.equal(found.train.images, sound.train.images[keep])
    assert torch.equal(found.train.labels, sound.train.labels[keep])
    assert list(found.train.names) == [sound.train.names[k] for k in keep]
    assert torch.equal(found.test.images, sound.test.images[[0, 1, 3, 4, 5]])
    again = own(side=16).dataset
    assert (again.left_out, again.digest) == (found.left_out, found.digest)


def test_a_dataset_of_unreadable_images_is_refused_with_the_first_of_them(write, own):
    root = write({"train": 1, "test": 1})
    for file in root.rglob("*.png"):
        file.write_bytes(b"")
    with pytest.raises(DatasetError, match="none of its 6 image files can be read") as refused:
        own()
    assert "train/one/000.png: not an image" in refused.value.hints[0]


def test_a_class_whose_every_training_image_is_unreadable_is_named_with_a_file(write, own):
    root = write({"train": 1, "test": 1})
    (root / "train/two/000.png").write_bytes(b"x")
    with pytest.raises(DatasetError, match="class two has no training image, only in test") as refused:
        own()
    assert refused.value.hints == ("unreadable: train/two/000.png",)


@pytest.mark.parametrize("damage", ["no manifest", "manifest", "short", "another shape", "index"])
def test_a_damaged_cache_is_made_again(write, own, decoded, settled, damage):
    write({"train": 3, "test": 1})
    before = own(side=16)
    folder, (index,) = before.cached.folder, (image_cache_dir() / "index").iterdir()
    images = before.dataset.train.images.clone()
    if damage == "no manifest":
        (folder / "manifest.json").unlink()
    elif damage == "manifest":
        (folder / "manifest.json").write_text("[]")
    elif damage == "short":
        os.truncate(folder / "images.npy", 1000)
    elif damage == "another shape":
        np.save(folder / "images.npy", np.zeros((12, 1, 8, 8), np.uint8))
    else:
        content = json.loads(index.read_bytes())
        content["images"]["train/one/000.png"][2:] = ["zz", -1, None]
        index.write_text(json.dumps(content))
    assert torch.equal(own(side=16).dataset.train.images, images)
    assert (len(decoded) == 12) == (damage == "index")


def test_what_a_killed_process_left_is_removed_and_an_exception_leaves_nothing(write, own, monkeypatch):
    write({"train": 3, "test": 1})
    found = own(side=16).cached.folder
    left = found.with_name(f".{found.name}.0a0a0a0a")
    shutil.move(found, left)
    with monkeypatch.context() as patched:
        patched.setattr(cache, "_close_gaps", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            own(side=16)
        assert sorted(one.name for one in found.parent.glob(".*")) == []
        assert not found.exists()
    own(side=16)
    assert found.is_dir()


def test_a_full_disk_is_told_before_anything_is_decoded(write, own, decoded, monkeypatch):
    write({"train": 3, "test": 1})
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 10))
    with pytest.raises(StorageError, match="GiB are needed") as refused:
        own()
    assert "--image-size" in refused.value.hints[0]
    assert decoded == []


def _load(barrier, name):
    from cvexp.data.named import locate
    from cvexp.data.own.loading import load_own

    barrier.wait()
    load_own(locate(name), Fitting(resize="crop"), side=16)


@pytest.mark.slow
def test_two_processes_at_once_make_one_cache(write, own):
    write({"train": 30, "test": 10})
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(2)
    both = [context.Process(target=_load, args=(barrier, "own")) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
    assert [process.exitcode for process in both] == [0, 0]
    assert own(side=16).cached.was_there
    assert len([one for one in image_cache_dir().iterdir() if (one / "manifest.json").exists()]) == 1


def test_modes_that_have_no_colours_are_grey_together_and_one_coloured_image_makes_all_coloured(write, own):
    root = write({"train": 3, "test": 1})
    Image.fromarray(np.full((9, 9), 300, np.uint16)).save(root / "train/one/000.png")
    Image.open(root / "train/one/001.png").convert("LA").save(root / "train/one/001.png")
    assert own().dataset.image_shape == (1, 64, 64)
    Image.open(root / "train/one/002.png").convert("RGB").save(root / "train/one/002.png")
    found = own()
    assert found.dataset.image_shape == (3, 64, 64)
    assert [found.scan.modes[row] for row in range(3)] == ["I;16", "LA", "RGB"]
