"""Verdicts on two trained models: these weights on new images. Retraining may reverse them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cvexp.stats.difference import Difference, Estimate
from cvexp.stats.two_runs import agresti_min, mcnemar_midp
from cvexp.stats.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from cvexp.stats.arms import Arm


def rows_to_compare(
    n_seeds: tuple[int, int], seeds_a: Sequence[int] | None, seeds_b: Sequence[int] | None
) -> tuple[int, int]:
    """The rows with a common seed, else the first ones: never chosen by their results."""
    if seeds_a is not None and seeds_b is not None and max(n_seeds) > 1:
        for row, seed in enumerate(seeds_a):
            if seed in seeds_b:
                return row, list(seeds_b).index(seed)
    return 0, 0


def two_models(
    a: npt.NDArray[Any], b: npt.NDArray[Any], rows: tuple[int, int], margin: float, metric: str, *, equal: int = 0
) -> Verdict:
    """Two trained models, of which a and b hold a value per image.

    Mid-p McNemar with Agresti-Min for bool (n, N), which is accuracy; for float the paired t interval over images.
    Weighted accuracies have the number of images that say as much, `equal`: see `Estimate`.
    """
    x, y = a[rows[0]], b[rows[1]]
    n = len(x)
    if x.dtype == np.bool_:
        only_a, only_b = int((x & ~y).sum()), int((~x & y).sum())
        mean, df, p_value = (only_a - only_b) / n, float("inf"), mcnemar_midp(only_a, only_b)
        (low, high), (low90, high90) = (agresti_min(only_a, only_b, n, confidence=level) for level in (0.95, 0.90))
    else:
        per_image = x - y
        found = Estimate(
            mean=float(per_image.mean()),
            seeds=(),
            image_variance=float(per_image.var(ddof=1)) if n > 1 else 0.0,
            n_images=n,
            binary=equal > 0,
            n_equal=equal,
        )
        mean, df, p_value = found.mean, found.df, found.p_value()
        (low, high), (low90, high90) = found.limits(), found.limits(0.90)
    difference = Difference(mean=mean, low=low, high=high, df=df, paired=True, n_seeds=1, n_images=n)
    return Verdict(
        kind="these-two-only",
        difference=difference,
        low90=low90,
        high90=high90,
        margin=margin,
        n_seeds=(len(a), len(b)),
        p_value=p_value,
        rows=rows,
        metric=metric,
    )


def unrecorded_models(a: Arm, b: Arm, rows: tuple[int, int], margin: float) -> Verdict:
    """Two trained models of which only the accuracies are known: a difference without an interval."""
    mean = float(a.per_seed[rows[0]] - b.per_seed[rows[1]])
    return Verdict(
        kind="these-two-only",
        difference=Difference(mean=mean, paired=True, n_seeds=1, n_images=0),
        margin=margin,
        n_seeds=(a.n_seeds, b.n_seeds),
        rows=rows,
        per_image=False,
    )
