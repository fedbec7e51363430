"""The user's own image files as a dataset."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from cvexp.data.dataset import DIGEST_DIGITS, Dataset, LeftOut
from cvexp.data.images import COLOUR, GREY
from cvexp.data.own.cache import open_cache
from cvexp.data.own.listing import SPLITS, check_splits, listing_of
from cvexp.data.own.scan import scan
from cvexp.data.read_ahead import exceeds_memory
from cvexp.data.split import Split
from cvexp.errors import DatasetError
from cvexp.settings import image_cache_dir
from cvexp.text import clean

if TYPE_CHECKING:
    from cvexp.data.fitting import Fitting
    from cvexp.data.named import Located
    from cvexp.data.own.cache import Cached
    from cvexp.data.own.listing import Listing
    from cvexp.data.own.scan import Scan

SIDE = 64
"""Of the images, in pixels, unless another is asked for."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class OwnImages:
    """A dataset of the user's own, and what its files are, for those that can be read.

    Attributes:
        scan: Of all files that are listed.
        cached: Which of them are the dataset's images, in order.
    """

    dataset: Dataset
    listing: Listing
    scan: Scan
    cached: Cached


def load_own(located: Located, fitting: Fitting, *, side: int | None = None, channels: int | None = None) -> OwnImages:
    """Decode the images of a folder, a CSV file or a Hugging Face dataset, or open what was decoded before.

    Args:
        located: Where they are.
        fitting: How they become squares.
        side: Of the squares, in pixels; by default SIDE.
        channels: 1 or 3; by default 1 where no image has colours.

    Raises:
        DatasetError: They are no dataset, or a class is left without readable images.
        StorageError: There is no room for the decoded images.
    """
    if channels not in (None, GREY, COLOUR):
        raise DatasetError(f"dataset {located.name}: image files have 1 or 3 channels, not {channels}", "name arrays")
    listing = listing_of(located)
    root = image_cache_dir()
    place = hashlib.sha256(os.fsencode(f"{located.kind}:{located.path.absolute()}")).hexdigest()
    found = scan(listing, root / "index" / f"{place[:32]}.json")
    readable = [row for row in range(len(listing.names)) if row not in found.reasons]
    if not readable:
        _refuse_unreadable(located, listing, found.reasons)
    if channels is None:
        channels = GREY if all(found.is_grey(row) for row in readable) else COLOUR
    side = side or SIDE
    cached = open_cache(listing, found, (channels, side, side), fitting, root)
    if not len(cached.rows):
        _refuse_unreadable(located, listing, cached.reasons)
    kept = check_splits(_kept(listing, cached), located, left_out=_named(listing, cached.reasons))
    splits = {name: _split(kept, found, cached, k) for k, name in enumerate(SPLITS)}
    train, test = splits["train"], splits["test"]
    assert train is not None and test is not None  # noqa: PT018, S101 - check_splits
    dataset = Dataset(
        name=located.name,
        class_names=listing.class_names,
        train=train,
        val=splits["val"],
        test=test,
        digest=_digest(kept, found, cached),
        place=clean(listing.place) + _left_out(len(cached.reasons)),
        fitting=fitting,
        is_fitted=True,
        left_out=tuple(LeftOut(listing.names[row], reason) for row, reason in sorted(cached.reasons.items())),
    )
    return OwnImages(dataset=dataset, listing=listing, scan=found, cached=cached)


def _refuse_unreadable(located: Located, listing: Listing, reasons: dict[int, str]) -> None:
    row, reason = next(iter(sorted(reasons.items())))
    raise DatasetError(
        f"dataset {located.name}: none of its {len(listing.names):,} image files can be read",
        f"{clean(listing.names[row])}: {clean(reason)}",
    )


def _left_out(n_files: int) -> str:
    plural = "" if n_files == 1 else "s"
    return f"; {n_files:,} unreadable file{plural} left out" if n_files else ""


def _named(listing: Listing, reasons: dict[int, str]) -> str:
    if not reasons:
        return ""
    first = clean(listing.names[min(reasons)])
    return first if len(reasons) == 1 else f"{first} and {len(reasons) - 1:,} more"


def _kept(listing: Listing, cached: Cached) -> Listing:
    """The listing of the images that could be read."""
    rows = cached.rows
    names = listing.names if not cached.reasons else [listing.names[row] for row in rows]
    return replace(listing, names=names, labels=listing.labels[rows], splits=listing.splits[rows])


def _split(kept: Listing, found: Scan, cached: Cached, number: int) -> Split | None:
    """The images of one split, which are neighbours in the cache; None where there are none."""
    start, stop = np.searchsorted(kept.splits, [number, number + 1])
    if start == stop:
        return None
    return Split(
        images=cached.images[start:stop],
        labels=torch.from_numpy(kept.labels[start:stop].copy()),
        is_mapped=True,
        reads_ahead=exceeds_memory(cached.images.nbytes),
        identity=torch.from_numpy(found.digests[cached.rows[start:stop]]),
        names=np.array(kept.names[start:stop], dtype=object),
    )


def _digest(kept: Listing, found: Scan, cached: Cached) -> str:
    """Identify the images by the content of their files, with their labels and splits, whatever size they are made."""
    digest = hashlib.sha256(b"files")
    for array in (found.digests[cached.rows], kept.labels.astype("<i8"), kept.splits):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:DIGEST_DIGITS]
