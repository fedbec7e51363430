"""Training images, batch by batch on the device that trains, in the order torch's own DataLoader draws."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from cvexp.data.split import Split
    from cvexp.data.transforms import Transform

    Batch = tuple[Tensor, Tensor]
    """Images float32 (B, C, H, W), transformed, and labels int64 (B,)."""


class BatchSource(Protocol):
    """Where steps take their images from.

    `is_resident` says whether all images are in the device's memory, so that `gather` can be captured in a CUDA graph.
    """

    device: torch.device
    is_resident: bool

    def __len__(self) -> int:
        """How many images there are."""
        ...

    def gather(self, indices: Tensor) -> Batch:
        """The images and labels at `indices`, int64 (B,) on the device."""
        ...

    def chunks(self, order: Tensor, size: int, *, prefetch: bool) -> Iterator[Batch]:
        """The images and labels at `order`, int64 (M,) on the device, `size` at a time; the last chunk may be smaller.

        With `prefetch`, another thread gathers the next chunk while the caller works on one.
        """
        ...


class ResidentSource:
    """A split whose images are all in the device's memory, transformed when they are gathered by index."""

    is_resident = True

    def __init__(self, split: Split, transform: Transform) -> None:
        self._split, self._transform = split, transform
        self.device = split.labels.device

    def __len__(self) -> int:
        return len(self._split)

    def gather(self, indices: Tensor) -> Batch:
        """See BatchSource."""
        images, labels = self._split.gather(indices)
        return self._transform(images), labels

    def chunks(self, order: Tensor, size: int, *, prefetch: bool) -> Iterator[Batch]:
        """See BatchSource."""
        pieces = torch.split(order, size)
        if not prefetch:
            yield from map(self.gather, pieces)
            return
        upcoming = self._executor.submit(self.gather, pieces[0])
        for piece in pieces[1:]:
            ready = upcoming.result()
            upcoming = self._executor.submit(self.gather, piece)
            yield ready
        yield upcoming.result()

    @cached_property
    def _executor(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(max_workers=1, thread_name_prefix="cvexp-gather")


class MappedSource(ResidentSource):
    """A split in a memory-mapped file: chunks are always gathered in advance, and go to a GPU from pinned memory."""

    is_resident = False

    def chunks(self, order: Tensor, size: int, *, prefetch: bool) -> Iterator[Batch]:  # noqa: ARG002 - always
        """See BatchSource."""
        return super().chunks(order, size, prefetch=True)


def source_of(split: Split, transform: Transform) -> BatchSource:
    """Where steps take the images of `split` from; they are resident unless they are mapped."""
    return (MappedSource if split.is_mapped else ResidentSource)(split, transform)


def epoch_order(n_images: int) -> Tensor:
    """The order in which a shuffling DataLoader with torch's default generator would go through its dataset.

    Such a loader draws twice from the default generator when a pass begins: once for its workers' seed, which it
    takes whether it has workers or not, and once for the sampler, which shuffles with that seed. The course's
    figures depend on both.

    Returns:
        int64 (n_images,), a permutation.
    """
    torch.empty((), dtype=torch.int64).random_()
    seed = int(torch.empty((), dtype=torch.int64).random_())
    return torch.randperm(n_images, generator=torch.Generator().manual_seed(seed))
