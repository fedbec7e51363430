"""Images and labels of one split, in memory or memory-mapped, and the choice of some of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from cvexp.data.read_ahead import read_ahead
from cvexp.errors import DatasetError

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor

SHARE_OF_DEVICE = 0.5
"""Of a GPU's free memory that images may take; the rest is for the model and its activations."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Split:
    """Images uint8 (N, C, H, W) and labels int64 (N,) in [0, K).

    Attributes:
        images: On the labels' device, or memory-mapped on the host. In a part of a mapped split, they are `MappedRows`.
        labels: On the device that trains.
        is_mapped: Whether the images are in a file, of which memory holds what is used.
        reads_ahead: Whether that file exceeds the memory there is, so that a batch is asked for before it is touched.
        identity: uint8 (N, ...), on the host: what identifies each image at any size; None where the images do.
        names: Of the image files, in order; None where there are none.
    """

    images: Tensor
    labels: Tensor
    is_mapped: bool = False
    reads_ahead: bool = False
    identity: Tensor | None = None
    names: npt.NDArray[np.object_] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def identities(self) -> Tensor:
        """uint8 (N, ...), on the host: equal for the same images in the same order, whatever their size."""
        return self.images.cpu() if self.identity is None else self.identity

    def gather(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Images and labels at `indices`, int64 (M,), all three on the labels' device."""
        where = indices.to(self.images.device)
        if self.reads_ahead:
            read_ahead(*_in_the_file(self.images, where))
        images = self.images.index_select(0, where)
        if images.device != self.labels.device:
            images = images.pin_memory().to(self.labels.device, non_blocking=True)
        return images, self.labels.index_select(0, indices)

    def to(self, device: torch.device) -> Split:
        """The split on `device`; of a mapped one, the labels alone move where it does not fit."""
        labels = self.labels.to(device)
        if self.is_mapped and (device.type == "cpu" or not _fits(self.images, device)):
            return replace(self, labels=labels)
        return replace(self, images=self.images.to(device), labels=labels, is_mapped=False, reads_ahead=False)

    def take(self, indices: npt.NDArray[np.int64], *, copy: bool = False) -> Split:
        """The images at `indices`, in that order: copied, or, of a mapped split, unless `copy` says so, not."""
        where = torch.from_numpy(indices)
        stay = self.is_mapped and not copy
        return Split(
            images=_rows(self.images, where) if stay else self.images[where],
            labels=self.labels[where],
            is_mapped=stay,
            reads_ahead=stay and self.reads_ahead,
            identity=None if self.identity is None else self.identity[where],
            names=None if self.names is None else self.names[indices],
        )


class MappedRows:
    """Rows of memory-mapped images, read when they are asked for; offers what is used of a tensor of those rows.

    `whole` is uint8 (M, C, H, W), `rows` int64 (N,), both on the host.
    """

    def __init__(self, whole: Tensor, rows: Tensor) -> None:
        self.whole, self.rows = whole, rows
        self.shape = torch.Size((len(rows), *whole.shape[1:]))
        self.device, self.dtype, self.nbytes = whole.device, whole.dtype, self.shape.numel()

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, where: Any) -> Tensor:
        return self.whole.index_select(0, self.rows[where])

    def index_select(self, dim: int, indices: Tensor) -> Tensor:
        """The images at `indices`; `dim` is 0."""
        return self.whole.index_select(dim, self.rows[indices])

    def to(self, device: torch.device) -> Tensor:
        """All of them on `device`, without holding them on the host at once."""
        moved = torch.empty(self.shape, dtype=self.dtype, device=device)
        for rows, target in zip(torch.split(self.rows, _AT_ONCE), torch.split(moved, _AT_ONCE), strict=True):
            target.copy_(self.whole.index_select(0, rows))
        return moved

    def cpu(self) -> Tensor:
        """All of them, in memory."""
        return self[:]

    def numpy(self) -> npt.NDArray[np.uint8]:
        """All of them, in memory."""
        return self[:].numpy()


def _rows(images: object, where: Tensor) -> Tensor:
    """Rows of mapped images, which may be rows themselves."""
    return cast("Tensor", MappedRows(*_in_the_file(images, where)))


def _in_the_file(images: object, where: Tensor) -> tuple[Tensor, Tensor]:
    """All of the mapped images, and which of them those at `where` are."""
    return (images.whole, images.rows[where]) if isinstance(images, MappedRows) else (cast("Tensor", images), where)


_AT_ONCE = 1024
"""Images that are copied to a device at a time."""


def _fits(images: Tensor, device: torch.device) -> bool:
    if device.type != "cuda":  # an Apple GPU shares the host's memory
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return images.nbytes <= SHARE_OF_DEVICE * free


def cut(train: Split, fraction: float, seed: int) -> tuple[Split, Split]:
    """Set a stratified validation part aside; both parts keep the published order.

    Raises:
        DatasetError: A class would be left without an image in one of them.
    """
    from sklearn.model_selection import train_test_split

    labels = train.labels.numpy()
    try:
        rest, val = train_test_split(np.arange(len(labels)), test_size=fraction, stratify=labels, random_state=seed)
        complete = len(np.unique(labels[val])) == len(np.unique(labels[rest])) == len(np.unique(labels))
    except ValueError:
        complete = False
    if not complete:
        raise DatasetError(
            f"--val-split {fraction} of {len(labels):,} images does not leave every class an image on both sides",
            "choose another fraction",
        )
    return train.take(np.sort(rest)), train.take(np.sort(val))


def limited(split: Split, limit: int | None, seed: int) -> Split:
    """At most `limit` images, drawn at random, in the published order, and in memory."""
    if limit is None or limit >= len(split):
        return split
    chosen = np.random.default_rng(seed).choice(len(split), size=limit, replace=False)
    return split.take(np.sort(chosen), copy=True)
