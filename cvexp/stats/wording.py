"""Verdicts in words: every sentence names its interval, seeds, images and the population it speaks of."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cvexp.stats.verdicts import Verdict


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
