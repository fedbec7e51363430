"""What the statistics accept: one row per seed, one column per image, and whether two arms share their seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cvexp.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt


TOLERANCE = 1e-9  # of a mean of 1


def correctness(values: npt.ArrayLike, name: str) -> npt.NDArray[np.bool_]:
    """`values` as bool (seeds, images); numbers are accepted when each is 0 or 1.

    Raises:
        InputError: Another number of dimensions, no seed or image, or a value besides 0 and 1 (NaN included).
    """
    array = two_dimensional(np.asarray(values), name)
    if array.dtype == np.bool_:
        return array
    if array.dtype.kind not in "iuf" or not np.isin(array, (0, 1)).all():
        raise InputError(f"{name}: expected True where an image is classified correctly, got values besides 0 and 1")
    return array.astype(np.bool_)


def scores(values: npt.ArrayLike, name: str) -> npt.NDArray[np.float64]:
    """`values` as float64 (seeds, images).

    Raises:
        InputError: Another number of dimensions, no seed or image, or a value that is not finite.
    """
    array = two_dimensional(np.asarray(values), name)
    if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
        raise InputError(f"{name}: expected finite scores, one per seed and image")
    return array.astype(np.float64)


def two_dimensional(array: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    """`array` itself, when it has one row per seed and one column per image."""
    dimensions = 2
    if array.ndim != dimensions or not array.size:
        raise InputError(f"{name}: expected an array (seeds, images), got the shape {array.shape}")
    return array


def check_images(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> None:
    """Refuse two arms with different numbers of images.

    Raises:
        InputError: They differ.
    """
    if a.shape[1] != b.shape[1]:
        raise InputError(
            f"expected the same test images in both arms, got {a.shape[1]:,} and {b.shape[1]:,}",
            "compare runs that were tested on the same images",
        )


def check_weights(weights: npt.NDArray[np.float64] | None, n_images: int, name: str) -> None:
    """Refuse weights of images that are not one for each, at least 0, with a mean of 1.

    Raises:
        InputError: They are something else.
    """
    if weights is None:
        return
    if weights.shape != (n_images,) or not (weights >= 0).all() or not abs(float(weights.mean()) - 1) <= TOLERANCE:
        raise InputError(f"{name}: expected {n_images:,} weights of images, at least 0, with a mean of 1")


def check_seeds(seeds: Sequence[int], n_rows: int, name: str) -> None:
    """Refuse a list of seeds that does not name every row once.

    Raises:
        InputError: Another number of seeds than rows, or a seed that occurs twice (the same training is no repeat).
    """
    if len(seeds) != n_rows:
        raise InputError(f"{name}: expected one seed per row, got {len(seeds)} for {n_rows} rows")
    if len(set(seeds)) != len(seeds):
        twice = next(seed for seed in seeds if list(seeds).count(seed) > 1)
        raise InputError(f"{name}: seed {twice} occurs twice; keep one run per seed")


def matching_rows(
    n_a: int, n_b: int, seeds_a: Sequence[int] | None, seeds_b: Sequence[int] | None
) -> npt.NDArray[np.intp] | None:
    """For every row of a the row of b with the same seed, intp (n,), or None where the arms are not paired.

    Paired means that both lists name the same set of seeds. Lists that overlap in part are not paired: the shared seeds
    are then treated as different ones, which makes the interval too wide rather than too narrow. With neither list
    given, arms with the same number of rows are paired by position.

    Raises:
        InputError: Only one list is given, or a list does not fit its rows.
    """
    if seeds_a is None and seeds_b is None:
        return np.arange(n_a) if n_a == n_b else None
    if seeds_a is None or seeds_b is None:
        raise InputError("expected the seeds of both arms or of neither, got those of one")
    check_seeds(seeds_a, n_a, "seeds_a")
    check_seeds(seeds_b, n_b, "seeds_b")
    if set(seeds_a) != set(seeds_b):
        return None
    row = {seed: position for position, seed in enumerate(seeds_b)}
    return np.array([row[seed] for seed in seeds_a], dtype=np.intp)
