"""Images that a dataset has twice: the same pixels, or nearly the same at thumbnail size."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import torch

from cvexp.data.progress import tell

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from cvexp.data.split import Split

THUMBNAIL = 16
LEAST_COSINE = 0.995
"""Between thumbnails, each less its mean. It finds copies that were compressed, resized or brightened."""

MOST_NEAR = 100_000
"""Images among which near duplicates are looked for: all pairs are compared, a minute for so many."""

MOST_PAIRS = 1_000_000
_AT_ONCE = 1024


class Duplicates(NamedTuple):
    """Images that are the same, or nearly; indices into the splits one after the other."""

    images: tuple[int, ...]
    kind: Literal["exact", "near"]


class Look(NamedTuple):
    """What all images of a dataset look like: a digest of the pixels of each, and thumbnails float32 (N, D)."""

    digests: list[bytes]
    thumbnails: npt.NDArray[np.float32]


def look_at(splits: Mapping[str, Split], *, thumbnails: bool) -> Look:
    """Read every image once; without `thumbnails`, D is 0."""
    digests: list[bytes] = []
    pieces = [np.zeros((0, 0), np.float32)] if not thumbnails else []
    n_images = sum(map(len, splits.values()))
    for split in splits.values():
        for start in range(0, len(split), _AT_ONCE):
            images = split.images[start : start + _AT_ONCE]
            digests += [hashlib.blake2b(image.data, digest_size=16).digest() for image in images.numpy()]
            if thumbnails:
                pieces.append(_thumbnails(images))
            tell("looking for duplicates", len(digests), n_images)
    return Look(digests, np.concatenate(pieces))


def _thumbnails(images: torch.Tensor) -> npt.NDArray[np.float32]:
    """Thumbnails less their means, of length 1; zeros for an image of one colour."""
    size = THUMBNAIL, THUMBNAIL
    small = torch.nn.functional.interpolate(images.float(), size, mode="bilinear", antialias=True).flatten(1)
    centred = small - small.mean(dim=1, keepdim=True)
    length = centred.norm(dim=1, keepdim=True)
    thumbnails: npt.NDArray[np.float32] = torch.where(length > 1, centred / length, 0.0).numpy()
    return thumbnails


def exact_duplicates(look: Look) -> list[Duplicates]:
    """Groups of images of equal pixels, by their first image."""
    groups: dict[bytes, list[int]] = {}
    for image, digest in enumerate(look.digests):
        groups.setdefault(digest, []).append(image)
    return [Duplicates(tuple(group), "exact") for group in groups.values() if len(group) > 1]


def near_duplicates(look: Look) -> list[Duplicates]:
    """Groups of images that a chain of near duplicates connects; of exact ones, the first alone takes part.

    At most MOST_PAIRS pairs are followed.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first = {digest: image for image, digest in reversed(list(enumerate(look.digests)))}
    images = np.array(sorted(first.values()), np.int64)
    pairs = _pairs(look.thumbnails[images])
    if not len(pairs):
        return []
    ones = np.ones(len(pairs), np.int8)
    graph = coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(len(images), len(images)))
    _, groups = connected_components(graph, directed=False)
    found: dict[int, list[int]] = {}
    for place in np.unique(pairs):
        found.setdefault(int(groups[place]), []).append(int(images[place]))
    return [Duplicates(tuple(group), "near") for group in found.values()]


def _pairs(thumbnails: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Pairs int64 (P, 2) of places whose thumbnails are alike, the smaller place first."""
    found: list[npt.NDArray[np.int64]] = [np.zeros((0, 2), np.int64)]
    n_pairs = 0
    for start in range(0, len(thumbnails), _AT_ONCE):
        alike = thumbnails[start : start + _AT_ONCE] @ thumbnails[start:].T >= LEAST_COSINE
        a, b = np.nonzero(np.triu(alike, 1))
        found.append(np.stack([a, b], axis=1) + start)
        n_pairs += len(a)
        tell("comparing images", min(start + _AT_ONCE, len(thumbnails)), len(thumbnails))
        if n_pairs > MOST_PAIRS:
            break
    return np.concatenate(found)


def names_of(splits: Mapping[str, Split]) -> tuple[Sequence[str], Sequence[str]]:
    """For every image its name, or `SPLIT NUMBER` where it comes from no file, and its split."""
    names: list[str] = []
    where: list[str] = []
    for split, images in splits.items():
        names += [f"{split} {k}" for k in range(len(images))] if images.names is None else list(images.names)
        where += [split] * len(images)
    return names, where
