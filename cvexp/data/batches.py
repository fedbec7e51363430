"""From uint8 images in memory to float batches, in the order torch's own DataLoader draws."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import torch
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

if TYPE_CHECKING:
    from cvexp.data.dataset import Split

Batch = tuple[torch.Tensor, torch.Tensor]
T = TypeVar("T")


def scaled(images: torch.Tensor) -> torch.Tensor:
    """uint8 images of any shape as float32 in [0, 1], on their own device, as torchvision's ToTensor scales them."""
    return images.to(torch.float32).div_(255)


class InMemory(TorchDataset[Batch]):
    """Batches gathered by index from images that lie on the device.

    torch's DataLoader hands a whole batch of indices to `__getitems__`, so a batch costs one gather
    instead of one call, one conversion and one copy per image.
    """

    def __init__(self, split: Split) -> None:
        self._images = split.images
        self._labels = split.labels

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> Batch:
        images, labels = self.__getitems__([index])
        return images[0], labels[0]

    def __getitems__(self, indices: list[int]) -> Batch:
        """The images float32 (B, C, H, W) in [0, 1] and labels int64 (B,) at `indices`."""
        where = torch.tensor(indices, device=self._labels.device)
        return scaled(self._images.index_select(0, where)), self._labels.index_select(0, where)


def training_batches(split: Split, *, batch_size: int) -> DataLoader[Batch]:
    """Shuffled batches; every pass draws its order from torch's default generator, as the course's loader does.

    Args:
        split: The training images, on the device that trains.
        batch_size: Images per batch; the last one may be shorter.
    """
    return DataLoader(InMemory(split), batch_size=batch_size, shuffle=True, collate_fn=_as_it_is)


def _as_it_is(batch: T) -> T:
    return batch
