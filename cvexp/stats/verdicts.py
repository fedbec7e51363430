"""A verdict between two recipes, or between two trained models where there is one run of each, and in words.

Every sentence names its interval, seeds, images and the population it speaks of.
"""

from __future__ import annotations

import math
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
    low90: float | None = None
    high90: float | None = None
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


def verdict_text(verdict: Verdict, name_a: str, name_b: str, *, population: bool = True) -> str:
    """One sentence, without a full stop; the better recipe is named first.

    Args:
        verdict: On a against b.
        name_a: As it is to be read; escape what came from data before it is printed.
        name_b: Likewise.
        population: Whether to name seeds, images and what the interval covers; without, say `population_text` once for
            all verdicts that share it. Verdicts on two trained models always name theirs.
    """
    if verdict.kind == "these-two-only":
        return _two_models(verdict, name_a, name_b)
    if any(verdict.n_collapsed):
        return _collapsed(verdict, name_a, name_b)
    about = f"; {population_text(verdict)}" if population else ""
    if verdict.kind in ("better", "worse"):
        first, second = (name_a, name_b) if verdict.kind == "better" else (name_b, name_a)
        less = f", but by less than {_amount(verdict, verdict.margin)}: no practical difference"
        found = f"{first} is better than {second}: {_interval(verdict, swap=verdict.kind == 'worse')}"
        return f"{found}{about}{less if verdict.is_negligible else ''}"
    found = f"{name_a} minus {name_b} {_interval(verdict)}{about}"
    if verdict.kind == "tied":
        return f"{name_a} and {name_b} are tied within {_amount(verdict, verdict.margin)}: {found}"
    return f"cannot tell yet whether {name_a} or {name_b} is better: {found}; {_needed(verdict)}"


def win_share_text(verdict: Verdict, name_a: str, name_b: str) -> str | None:
    """Such as `one retrained A beats one retrained B in 80% of 25 pairs of seeds (a tie counts half)`.

    None where there is one run each.
    """
    if verdict.win_share is None:
        return None
    paired = verdict.difference.paired
    n = verdict.n_seeds[0] if paired else math.prod(verdict.n_seeds)
    share = f"one retrained {name_a} beats one retrained {name_b} in {verdict.win_share:.0%}"
    return f"{share} of {n} pairs {'matched by seed' if paired else 'of seeds'} (a tie counts half)"


def population_text(verdict: Verdict) -> str:
    """Seeds, images and what the interval covers, such as `5 seeds, 10,000 images; retrained on ..., new images`."""
    a, b = verdict.n_seeds
    seeds = f"{a} seeds" if a == b else f"{a} and {b} seeds"
    if not verdict.per_image:
        return f"{seeds}; Welch on accuracies per seed, so retrained models on these test images only"
    images = "1 image" if verdict.difference.n_images == 1 else f"{verdict.difference.n_images:,} images"
    return f"{seeds}, {images}; retrained on the same training data, new images"


def _two_models(verdict: Verdict, name_a: str, name_b: str) -> str:
    n_images = verdict.difference.n_images
    chosen = [f"one of {n} runs of {x}" for n, x in zip(verdict.n_seeds, (name_a, name_b), strict=True) if n > 1]
    facts = [
        "" if verdict.p_value is None else f"p = {verdict.p_value:.2g}",
        f"{n_images:,} images" if n_images else "no record of the images, so no interval",
        *chosen,
    ]
    found = f"{name_a} minus {name_b} {_interval(verdict)}"
    return f"these two trained models only; retraining may reverse it: {'; '.join([found, *filter(None, facts)])}"


def _collapsed(verdict: Verdict, name_a: str, name_b: str) -> str:
    lost = [
        f"{k} of {n} seeds of {name} collapsed to chance level"
        for k, n, name in zip(verdict.n_collapsed, verdict.n_seeds, (name_a, name_b), strict=True)
        if k
    ]
    return f"cannot tell whether {name_a} or {name_b} is better: {' and '.join(lost)}, so no interval is given"


def _interval(verdict: Verdict, *, swap: bool = False) -> str:
    d = verdict.difference
    values = [d.mean] if d.low is None or d.high is None else [d.mean, d.low, d.high]
    if swap:
        values = [-d.mean, *sorted(-v for v in values[1:])]
    mean, *limits = values
    scale = 100 if verdict.metric == "accuracy" else 1
    decimals = _decimals([scale * v for v in values], at_least=2 if scale > 1 else 4)
    unit = "points" if scale > 1 else verdict.metric
    possible = [max(-1.0, min(1.0, v)) if scale > 1 else v for v in limits]  # t knows no bounds
    between = " (95% {} to {})".format(*(_number(scale * v, decimals) for v in possible)) if limits else ""
    return f"{_number(scale * mean, decimals, sign='+')} {unit}{between}"


def _decimals(values: list[float], *, at_least: int) -> int:
    """Enough that no value other than 0 reads as 0, up to four more than `at_least`."""
    smallest = min((abs(v) for v in values if v), default=1.0)
    return min(at_least + 4, max(at_least, math.ceil(-math.log10(2 * smallest))))


def _number(value: float, decimals: int, sign: str = "-") -> str:
    text = f"{value:{sign}.{decimals}f}"
    return text.lstrip("+-") if not float(text) else text


def _amount(verdict: Verdict, value: float) -> str:
    return f"{100 * value:g} points" if verdict.metric == "accuracy" else f"{value:g}"


def _needed(verdict: Verdict) -> str:
    low, high, p = verdict.difference.low, verdict.difference.high, verdict.p_adjusted
    is_withheld = p is not None and low is not None and high is not None and (low > 0 or high < 0)
    holm = f"not shown among {verdict.n_pairs} pairs (Holm: p = {p:.2g}); " if is_withheld else ""
    if verdict.n_seeds_needed is not None:
        return f"{holm}about {verdict.n_seeds_needed:,} seeds each would"
    if verdict.n_images_needed is not None:
        return f"{holm}seeds cannot settle this; about {_rounded(verdict.n_images_needed):,} images can"
    return "nothing varied" if verdict.difference.low is not None else "one image has no interval"


def _rounded(count: int) -> int:
    """To two figures, upwards."""
    unit: int = 10 ** max(0, len(str(count)) - 2)
    return -(-count // unit) * unit
