"""The pairs of classes that a model takes for each other most often, or more often than another model does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

N_PAIRS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfusedPair:
    """How often images of the class `truth` were taken for another; `share` is of the true class's images."""

    truth: str
    taken_for: str
    count: int
    share: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangedPair:
    """How often images of `truth` were taken for another class: `count` by the run, `count_vs` by the other run."""

    truth: str
    taken_for: str
    count: int
    count_vs: int

    @property
    def change(self) -> int:
        """Images more that the run takes for the other class; negative if fewer."""
        return self.count - self.count_vs


def most_confused(counts: npt.NDArray[np.int64], class_names: Sequence[str]) -> tuple[ConfusedPair, ...]:
    """The N_PAIRS pairs with the most images off the diagonal of `counts`, int64 (K, K) with true classes as rows."""
    support = np.maximum(counts.sum(axis=1), 1)
    return tuple(
        ConfusedPair(
            truth=class_names[i],
            taken_for=class_names[j],
            count=int(counts[i, j]),
            share=float(counts[i, j] / support[i]),
        )
        for i, j in _largest_off_diagonal(counts)
    )


def most_changed(
    counts: npt.NDArray[np.int64], counts_vs: npt.NDArray[np.int64], class_names: Sequence[str]
) -> tuple[ChangedPair, ...]:
    """The N_PAIRS pairs of different classes whose counts, int64 (K, K), differ most, the largest change first."""
    return tuple(
        ChangedPair(
            truth=class_names[i], taken_for=class_names[j], count=int(counts[i, j]), count_vs=int(counts_vs[i, j])
        )
        for i, j in _largest_off_diagonal(np.abs(counts - counts_vs))
    )


def _largest_off_diagonal(counts: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
    """Rows and columns of the N_PAIRS largest counts off the diagonal, those that are 0 left out."""
    off = counts.copy()
    np.fill_diagonal(off, 0)
    largest = np.argsort(-off, axis=None, kind="stable")[:N_PAIRS]
    return [(int(i), int(j)) for i, j in zip(*np.unravel_index(largest, off.shape), strict=True) if off[i, j]]
