"""Judge two recipes: the interval over seeds and images, the margin, and how many seeds or images a decision takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cvexp.errors import InputError
from cvexp.stats.arms import Arm, arm_estimate, check_alike, n_equal, pairing
from cvexp.stats.difference import Difference, Estimate, estimate
from cvexp.stats.inputs import check_images, matching_rows, scores
from cvexp.stats.interval import collapsed
from cvexp.stats.planning import LEAST_SEEDS, Plan, plan
from cvexp.stats.trained_models import rows_to_compare, two_models, unrecorded_models
from cvexp.stats.verdicts import MARGIN, Kind, Verdict, is_within

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt


def verdict(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    *,
    seeds_a: Sequence[int] | None = None,
    seeds_b: Sequence[int] | None = None,
    margin: float = MARGIN,
    n_classes: int | None = None,
) -> Verdict:
    """Judge the accuracy of two recipes on the same images.

    Args:
        a: Bool (n, N): whether seed s classifies image i correctly.
        b: Bool (m, N).
        seeds_a: As in `accuracy_difference`.
        seeds_b: As in `accuracy_difference`.
        margin: Smallest difference of practical interest, as a fraction: 0.005 is half a point.
        n_classes: Given, seeds that `collapsed` are counted, and with any the interval is withheld.

    Raises:
        InputError: As `accuracy_difference`, or a margin that is not above 0.
    """
    first, second = (Arm(name=n, correct=np.asarray(x), seeds=s) for n, x, s in (("a", a, seeds_a), ("b", b, seeds_b)))
    matching_rows(first.n_seeds, second.n_seeds, seeds_a, seeds_b)  # the seeds of both, or of neither
    return arms_verdict(first, second, margin=margin, n_classes=n_classes)


def score_verdict(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    *,
    margin: float,
    seeds_a: Sequence[int] | None = None,
    seeds_b: Sequence[int] | None = None,
    metric: str = "log-loss",
) -> Verdict:
    """Judge a score per image of which less is better: `better` means that a's is lower.

    Args:
        a: Float (n, N), finite.
        b: Float (m, N).
        margin: In the unit of the score, above 0.
        seeds_a: As in `accuracy_difference`.
        seeds_b: As in `accuracy_difference`.
        metric: What the sentences call it.
    """
    x, y = scores(a, "a"), scores(b, "b")
    check_images(x, y)
    check_margin(margin)
    rows = matching_rows(len(x), len(y), seeds_a, seeds_b)
    n_seeds, least = (len(x), len(y)), 2
    if x.shape[1] < least:
        return _undecided(
            float(x.mean() - y.mean()), n_seeds, margin, metric=metric, n_images=1, paired=rows is not None
        )
    if min(n_seeds) < least:
        return two_models(x, y, rows_to_compare(n_seeds, seeds_a, seeds_b), margin, metric)
    share = win_share(-x.mean(axis=1), -y.mean(axis=1), rows)
    return recipes_verdict(estimate(x, y, rows), margin=margin, n_seeds=n_seeds, metric=metric, share=share)


def arms_verdict(
    a: Arm,
    b: Arm,
    *,
    margin: float = MARGIN,
    n_classes: int | None = None,
    p_adjusted: float | None = None,
    n_pairs: int = 1,
) -> Verdict:
    """`verdict` of two arms, of which either may lack its record of the images; see `arm_estimate`.

    Args:
        a: One recipe.
        b: The other.
        margin: As in `verdict`.
        n_classes: As in `verdict`.
        p_adjusted: The p-value after Holm's procedure, where this pair is one of several: see `pairwise_verdicts`.
        n_pairs: How many pairs that procedure covered.
    """
    check_margin(margin)
    n_seeds = (a.n_seeds, b.n_seeds)
    lost = (0, 0) if n_classes is None else (count_collapsed(a, n_classes), count_collapsed(b, n_classes))
    recorded = a.correct is not None and b.correct is not None
    found = None if any(lost) else arm_estimate(a, b)
    if found is not None:
        share = win_share(a.per_seed, b.per_seed, pairing(a, b))
        return recipes_verdict(
            found, margin=margin, n_seeds=n_seeds, share=share, p_adjusted=p_adjusted, n_pairs=n_pairs
        )
    if min(n_seeds) == 1 and not any(lost):
        rows = rows_to_compare(n_seeds, a.seeds, b.seeds)
        if a.values is not None and b.values is not None:
            check_alike(a, b)
            equal = 0 if a.weights is None else n_equal(a.weights)
            return two_models(a.values, b.values, rows, margin, "accuracy", equal=equal)
        return unrecorded_models(a, b, rows, margin)
    n_images = a.correct.shape[1] if a.correct is not None and recorded else 0
    paired = pairing(a, b) is not None
    return _undecided(a.mean - b.mean, n_seeds, margin, n_images=n_images, paired=paired, n_collapsed=lost)


def recipes_verdict(
    found: Estimate,
    *,
    margin: float,
    n_seeds: tuple[int, int],
    share: float,
    metric: str = "accuracy",
    p_adjusted: float | None = None,
    n_pairs: int = 1,
) -> Verdict:
    """The verdict that follows from an estimate with at least two seeds per arm."""
    low90, high90 = found.limits(0.90)
    kind = _kind(found, margin, min(n_seeds), lower_is_better=metric != "accuracy", p_adjusted=p_adjusted)
    level = 0.05 if p_adjusted is None else 0.05 / n_pairs
    needed = plan(found, margin, level=level) if kind == "cannot-tell" else Plan(n_seeds=None, n_images=None)
    return Verdict(
        kind=kind,
        difference=found.difference(),
        low90=low90,
        high90=high90,
        margin=margin,
        n_seeds=n_seeds,
        n_seeds_needed=needed.n_seeds,
        n_images_needed=needed.n_images,
        win_share=share,
        p_value=found.p_value(),
        p_adjusted=p_adjusted,
        n_pairs=n_pairs,
        metric=metric,
        per_image=found.n_images > 0,
    )


def _kind(found: Estimate, margin: float, n_seeds: int, *, lower_is_better: bool, p_adjusted: float | None) -> Kind:
    if n_seeds < LEAST_SEEDS or (
        not found.n_images and not found.variance
    ):  # equal accuracies per seed show no variance
        return "cannot-tell"
    low, high = found.limits()
    if (low > 0 or high < 0) and (p_adjusted is None or p_adjusted <= 0.05):  # noqa: PLR2004 - the level of the interval
        return "better" if (low > 0) != lower_is_better else "worse"
    return "tied" if is_within(*found.limits(0.90), margin) else "cannot-tell"


def win_share(a: npt.NDArray[Any], b: npt.NDArray[Any], rows: npt.NDArray[np.intp] | None) -> float:
    """Share of pairs of seeds with a above b, ties counted half; `rows` as for `estimate`."""
    margins = a[:, None] - b[None, :] if rows is None else a - b[rows]
    return float((margins > 0).mean() + (margins == 0).mean() / 2)


def count_collapsed(arm: Arm, n_classes: int) -> int:
    """How many seeds of an arm `collapsed`."""
    return sum(collapsed(arm.per_seed, n_classes))


def check_margin(margin: float) -> None:
    """Refuse a margin that is not above 0.

    Raises:
        InputError: It is not.
    """
    if not margin > 0:
        raise InputError(f"margin: expected a number above 0, got {margin}")


def _undecided(
    mean: float,
    n_seeds: tuple[int, int],
    margin: float,
    *,
    n_images: int,
    paired: bool,
    metric: str = "accuracy",
    n_collapsed: tuple[int, int] = (0, 0),
) -> Verdict:
    """No interval: a collapsed seed, or a single image."""
    return Verdict(
        kind="cannot-tell",
        difference=Difference(mean=mean, paired=paired, n_seeds=min(n_seeds), n_images=n_images),
        margin=margin,
        n_seeds=n_seeds,
        n_collapsed=n_collapsed,
        metric=metric,
        per_image=n_images > 0,
    )
