"""Images of a file beyond memory are asked for before they are touched, in the order that torch draws anyway."""

from __future__ import annotations

import mmap

import numpy as np
import pytest
import torch

from cvexp.data import read_ahead
from cvexp.data.batches import source_of
from cvexp.data.read_ahead import exceeds_memory
from cvexp.data.split import Split
from cvexp.data.transforms import Transform

N, SHAPE = 60, (3, 40, 40)


@pytest.fixture
def split(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (N, *SHAPE), np.uint8)
    np.save(tmp_path / "x.npy", images)
    mapped = torch.from_numpy(np.load(tmp_path / "x.npy", mmap_mode="r"))[10:]
    return Split(images=mapped, labels=torch.arange(N - 10) % 2, is_mapped=True, reads_ahead=True)


@pytest.fixture
def asked(monkeypatch):
    """The ranges of memory that the system is asked for."""
    ranges = []
    real = read_ahead._advise()

    def advise(start, size, advice):
        ranges.append((start, size))
        assert (real(start, size, advice), advice) == (0, mmap.MADV_WILLNEED)

    monkeypatch.setattr(read_ahead, "_advise", lambda: advise)
    return ranges


@pytest.mark.skipif(not hasattr(mmap, "MADV_WILLNEED"), reason="this system cannot be asked")
def test_the_pages_of_each_image_of_a_batch_and_no_others_are_asked_for(split, asked):
    size = split.images[0].numel()
    for part, rows in ((split, [3, 40, 3]), (split.take(np.array([7, 5, 20])), [2, 0, 1])):
        asked.clear()
        images, _ = part.gather(torch.tensor(rows))
        first = [split.images[k].data_ptr() for k in (rows if part is split else [20, 7, 5])]
        assert [start + length for start, length in asked] == [start + size for start in first]
        for (start, _), wanted in zip(asked, first, strict=True):
            assert start % mmap.PAGESIZE == 0
            assert 0 <= wanted - start < mmap.PAGESIZE
        assert torch.equal(images, part.images[torch.tensor(rows)])


def test_nothing_is_asked_for_where_the_file_stays_in_memory(split, asked):
    Split(images=split.images, labels=split.labels, is_mapped=True).gather(torch.tensor([1]))
    split.take(np.array([1, 2]), copy=True).gather(torch.tensor([1]))
    assert not asked


def test_a_mapped_source_gives_the_same_batches_in_the_same_order_either_way(split):
    order = torch.randperm(N - 10)
    ahead, plain = (
        source_of(one, Transform()) for one in (split, Split(images=split.images, labels=split.labels, is_mapped=True))
    )
    chunks = [list(one.chunks(order, 8, start=0, stop=N, prefetch=True)) for one in (ahead, plain)]
    for (a, b), (c, d) in zip(*chunks, strict=True):
        assert torch.equal(a, c)
        assert torch.equal(b, d)


def test_a_file_exceeds_memory_where_it_takes_nearly_all_that_files_may_have(monkeypatch):
    monkeypatch.setattr(read_ahead, "memory_for_files", lambda: 1000)
    assert exceeds_memory(801)
    assert not exceeds_memory(800)
    monkeypatch.setattr(read_ahead, "memory_for_files", lambda: None)
    assert not exceeds_memory(10**15)
