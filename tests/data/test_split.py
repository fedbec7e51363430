"""Parts of a split that is mapped from a file are indices into it, and behave as copies do."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cvexp.data.batches import MappedSource, ResidentSource, source_of
from cvexp.data.split import MappedRows, Split, cut, limited
from cvexp.data.transforms import Transform


@pytest.fixture
def both(tmp_path):
    """The same images in memory and in a file."""
    images = np.random.default_rng(0).integers(0, 256, (40, 3, 4, 4), np.uint8)
    np.save(tmp_path / "x.npy", images)
    mapped = torch.from_numpy(np.load(tmp_path / "x.npy", mmap_mode="r"))
    labels, identity = torch.arange(40) % 2, torch.arange(40, dtype=torch.uint8)[:, None]
    names = np.array([f"{k}.png" for k in range(40)], dtype=object)
    about = {"labels": labels, "identity": identity, "names": names}
    return Split(images=torch.from_numpy(images), **about), Split(images=mapped, is_mapped=True, **about)


def test_a_validation_part_of_a_mapped_split_copies_no_image_and_is_the_same(both):
    ours, theirs = cut(both[0], 0.25, 3), cut(both[1], 0.25, 3)
    for copied, mapped in zip(ours, theirs, strict=True):
        assert isinstance(mapped.images, MappedRows)
        assert torch.equal(mapped.images[:], copied.images)
        assert torch.equal(mapped.images[2:5], copied.images[2:5])
        assert torch.equal(mapped.images.to(torch.device("cpu")), copied.images)
        assert mapped.images.shape == copied.images.shape
        assert torch.equal(mapped.identities, copied.identities)
        assert list(mapped.names) == list(copied.names)
        indices = torch.tensor([4, 0, 4])
        assert all(torch.equal(a, b) for a, b in zip(mapped.gather(indices), copied.gather(indices), strict=True))
        again = np.array([3, 1])
        assert torch.equal(mapped.take(again).images[:], copied.take(again).images)
        assert torch.equal(mapped.take(again, copy=True).images, copied.take(again).images)


def test_a_limited_part_is_in_memory(both):
    assert not limited(both[1], 5, 0).is_mapped
    assert torch.equal(limited(both[1], 5, 0).images, limited(both[0], 5, 0).images)
    assert limited(both[1], None, 0) is both[1]


@pytest.mark.parametrize("size", [7, 40])
def test_batches_of_a_mapped_split_are_those_from_memory(both, size):
    resident, mapped = (source_of(split, Transform()) for split in both)
    assert (type(resident), type(mapped)) == (ResidentSource, MappedSource)
    assert (resident.is_resident, mapped.is_resident) == (True, False)
    order = torch.randperm(40)
    how = {"start": 0, "stop": 40, "prefetch": False}
    pairs = list(zip(resident.chunks(order, size, **how), mapped.chunks(order, size, **how), strict=True))
    assert len(pairs) == -(-40 // size)
    assert all(torch.equal(a, b) for ours, theirs in pairs for a, b in zip(ours, theirs, strict=True))
