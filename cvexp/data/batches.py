"""Training images, batch by batch on the device that trains, in the order torch's own DataLoader draws."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor

    from cvexp.data.split import Split
    from cvexp.data.transforms import Transform

    Batch = tuple[Tensor, Tensor]
    """Images float32 (B, C, H, W), transformed, and labels: int64 (B,), or float32 (B, K) class probabilities."""


class BatchSource(Protocol):
    """Where steps take their images from.

    `is_resident` says whether `gather` can be captured in a CUDA graph: all images are in the device's memory, and are
    the same in every epoch.
    """

    device: torch.device
    is_resident: bool

    def __len__(self) -> int:
        """How many images there are."""
        ...

    def start_epoch(self, epoch: int) -> None:
        """Make ready for an epoch, counted from 1, or for what is left of it, before its first chunk."""
        ...

    def gather(self, indices: Tensor) -> Batch:
        """The images and labels at `indices`, int64 (B,) on the device, as a batch of the epoch would have them."""
        ...

    def chunks(self, order: Tensor, size: int, *, start: int, stop: int, prefetch: bool) -> Iterator[Batch]:
        """The images and labels at some positions of an epoch, `size` at a time; the last chunk may be smaller.

        Args:
            order: int64 (N,), on the device, the epoch's order of the images.
            size: Images in a chunk.
            start: The first position.
            stop: The position after the last one; may be beyond the end of the order.
            prefetch: Whether another thread gathers the next chunk while the caller works on one.
        """
        ...

    def pieces(self, order: Tensor, positions: Sequence[Tensor]) -> Iterator[Batch]:
        """The images and labels at some positions of an epoch, int64 (B,) on the CPU, a batch each, in that order.

        They are what `chunks` gives at these positions; B may be 0.
        """
        ...


class ResidentSource:
    """A split whose images are all in the device's memory, transformed when they are gathered by index."""

    is_resident = True

    def __init__(self, split: Split, transform: Transform) -> None:
        self._split, self.transform = split, transform
        self.device = split.labels.device
        self.image_shape: tuple[int, ...] = tuple(split.images.shape[1:])

    def __len__(self) -> int:
        return len(self._split)

    def start_epoch(self, epoch: int) -> None:
        """See BatchSource; one epoch is like another."""

    def stored(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """The images uint8 (B, C, H, W) and labels int64 (B,) at `indices`, before they are transformed."""
        return self._split.gather(indices)

    def gather(self, indices: Tensor) -> Batch:
        """See BatchSource."""
        images, labels = self.stored(indices)
        return self.transform(images), labels

    def chunks(self, order: Tensor, size: int, *, start: int, stop: int, prefetch: bool) -> Iterator[Batch]:
        """See BatchSource."""
        pieces = [(piece,) for piece in torch.split(order[start:stop], size)]
        return self.made(self.gather, pieces, prefetch=prefetch)

    def pieces(self, order: Tensor, positions: Sequence[Tensor]) -> Iterator[Batch]:
        """See BatchSource."""
        chosen = order[torch.cat(list(positions)).to(order.device)]  # one transfer to a GPU
        return self.made(self.gather, [(some,) for some in torch.split(chosen, [*map(len, positions)])], prefetch=False)

    def made(self, make: Callable[..., Batch], pieces: Sequence[tuple[Any, ...]], *, prefetch: bool) -> Iterator[Batch]:
        """What `make` gives for the arguments in each of `pieces`, of which there is at least one; see `chunks`."""
        if not prefetch:
            yield from (make(*piece) for piece in pieces)
            return
        upcoming = self._executor.submit(make, *pieces[0])
        for piece in pieces[1:]:
            ready = upcoming.result()
            upcoming = self._executor.submit(make, *piece)
            yield ready
        yield upcoming.result()

    @cached_property
    def _executor(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(max_workers=1, thread_name_prefix="cvexp-gather")


class MappedSource(ResidentSource):
    """A split in a memory-mapped file: chunks are always gathered in advance, and go to a GPU from pinned memory."""

    is_resident = False

    def made(
        self,
        make: Callable[..., Batch],
        pieces: Sequence[tuple[Any, ...]],
        *,
        prefetch: bool,  # noqa: ARG002 - reading from a disk always has to wait
    ) -> Iterator[Batch]:
        """See ResidentSource."""
        return super().made(make, pieces, prefetch=True)


def source_of(split: Split, transform: Transform) -> ResidentSource:
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
