"""What a verdict holds: between two recipes, or between two trained models where there is one run of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from cvexp.stats.difference import Difference

MARGIN = 0.005
"""Differences of accuracy below half a point are of no practical interest unless asked for."""

Kind = Literal["better", "worse", "tied", "cannot-tell", "these-two-only"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What can be said of recipe a against recipe b.

    Attributes:
        kind: `better` or `worse`: the 95% interval excludes 0, and so does Holm's procedure where several pairs were
            judged. `tied`: the 90% interval lies within the margin (two one-sided tests, Schuirmann 1987) and no such
            difference is shown. `cannot-tell`: neither, or an arm has fewer than 3 seeds or a collapsed one.
            `these-two-only`: an arm has one seed, so that only two trained models are compared.
        difference: a - b. For `these-two-only` its interval is about new images alone: Agresti-Min, df infinite.
        low90: Lower limit of the 90% interval; None where there is no interval.
        high90: Upper limit of the 90% interval.
        margin: In the unit of the difference.
        n_seeds_needed: In each arm, for a decision; None where one was reached, or no number of seeds brings one.
        n_images_needed: Where no number of seeds brings a decision; see `plan`.
        win_share: Share of pairs of seeds in which a is better, ties counted half: the pairs with the same seed where
            the arms are paired, else all pairs. Probability of outperforming, Bouthillier et al. 2021, MLSys. None for
            `these-two-only`.
        p_value: Two-sided, of no difference; mid-p McNemar for `these-two-only`.
        p_adjusted: After Holm's procedure over n_pairs; None where one pair was judged alone.
        n_pairs: Pairs of recipes judged together.
        n_seeds: Of a and of b.
        n_collapsed: Seeds of a and of b whose accuracy is at chance level; with any, the interval is withheld.
        rows: For `these-two-only`, the rows of a and b that were compared.
        metric: `accuracy`, or the name of a score of which less is better.
        per_image: False where only accuracies per seed were known (Welch's interval): new images are not covered.
    """

    kind: Kind
    difference: Difference
    low90: float | None
    high90: float | None
    margin: float
    n_seeds: tuple[int, int]
    n_seeds_needed: int | None = None
    n_images_needed: int | None = None
    win_share: float | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    n_pairs: int = 1
    n_collapsed: tuple[int, int] = (0, 0)
    rows: tuple[int, int] | None = None
    metric: str = "accuracy"
    per_image: bool = True

    @property
    def is_negligible(self) -> bool:
        """Whether the 90% interval lies within the margin, so that a difference is of no practical interest."""
        return is_within(self.low90, self.high90, self.margin)


def is_within(low: float | None, high: float | None, margin: float) -> bool:
    """Whether an interval lies within ±margin; False where there is none."""
    return low is not None and high is not None and -margin < low and high < margin
