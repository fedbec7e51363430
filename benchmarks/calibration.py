"""How often the statistics are wrong, by simulation: false differences, coverage, lost best recipes.

An image is classified correctly with probability `Phi(mu + difficulty + seed effect)`: difficulties are normal and
correlated between recipes, seed effects are normal and correlated between recipes of the same seed, and what remains,
the interaction, is a coin of its own for every recipe, seed and image. The world is fitted to Fashion-MNIST replicas of
linear and mlp: accuracy 84%, two seeds of one recipe disagree on 9% of the images, seed SD 0.75 points.
"""

from __future__ import annotations

import json
import math
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr, ndtri

from cvexp.stats import (
    Arm,
    accuracy_difference,
    agresti_min,
    arms_verdict,
    class_weights,
    contenders,
    mcnemar_midp,
    pairwise_verdicts,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from cvexp.stats import Verdict

ACCURACY = 0.84
DIFFICULTY = 8.305
"""Variance of the images' difficulty, that of the coin being 1: two runs of one recipe disagree on 9% of the images."""
POINT = 0.01
NOISE = {"0.05": (0.0005, 0.0005), "0.75": (0.0075, 0.0075), "0.75 and 0.05": (0.0075, 0.0005)}
"""SD over seeds of the expected accuracy of recipes a and b; names in points."""
SEEDS, IMAGES = (2, 3, 5, 10), (1_000, 10_000)
SHARED = 0.75
"""Correlation of seed effects of two recipes under the same seed."""
BOUNDS = {"false": (0.0, 0.07), "coverage": (0.925, 1.0), "lost": (0.0, 0.05), "rejected": (0.03, 0.055)}


@dataclass(frozen=True, kw_only=True)
class World:
    """Recipes, seeds and images to draw from.

    Attributes:
        accuracies: Expected accuracy of each recipe.
        seed_sd: SD of the expected accuracy over seeds, for each recipe.
        likeness: Correlation of the recipes' image difficulties: at 1 and equal accuracies they are one recipe.
        shared: Correlation of the recipes' seed effects; 0 for unmatched seeds.
    """

    accuracies: tuple[float, ...]
    seed_sd: tuple[float, ...]
    likeness: float
    shared: float

    def draw(self, n_seeds: int, n_images: int, rng: np.random.Generator) -> list[npt.NDArray[np.bool_]]:
        """Correctness of each recipe, bool (seeds, images). Seed effects are linear in the probability."""
        scale, spread = math.sqrt(1 + DIFFICULTY), np.float32(math.sqrt(DIFFICULTY))
        difficulty, common = rng.standard_normal(n_images, dtype=np.float32), rng.standard_normal(n_seeds)
        share, rest = np.float32(math.sqrt(self.likeness)), np.float32(math.sqrt(1 - self.likeness))
        drawn = []
        for accuracy, sd in zip(self.accuracies, self.seed_sd, strict=True):
            z = float(ndtri(accuracy))
            own = rest * rng.standard_normal(n_images, dtype=np.float32) if rest else np.float32(0)
            latent = np.float32(z * scale) + spread * (share * difficulty + own)
            slope = np.exp(latent * latent * np.float32(-0.5)) * np.float32(scale / math.exp(-(z**2) / 2))  # mean 1
            seed = math.sqrt(self.shared) * common + math.sqrt(1 - self.shared) * rng.standard_normal(n_seeds)
            chance = ndtr(latent) + (sd * seed).astype(np.float32)[:, None] * slope
            drawn.append(rng.random((n_seeds, n_images), dtype=np.float32) < chance)
        return drawn


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A share over repetitions, in a setting described by words, with the bounds that it has to keep."""

    what: str
    setting: dict[str, str | int]
    share: float
    repetitions: int
    seconds: float

    @property
    def error(self) -> float:
        """Monte Carlo standard error."""
        return math.sqrt(self.share * (1 - self.share) / self.repetitions)

    def is_outside(self, *, errors: float = 0.0) -> bool:
        """Whether the share is outside of its bounds by more than so many standard errors."""
        low, high = BOUNDS[self.what.split(",")[0]]
        return not low - errors * self.error <= self.share <= high + errors * self.error


def share(what: str, setting: dict[str, str | int], repetitions: int, once: Callable[[], bool]) -> Cell:
    """How often `once` is true."""
    start = time.perf_counter()
    count = sum(once() for _ in range(repetitions))
    seconds = time.perf_counter() - start
    return Cell(what=what, setting=setting, share=count / repetitions, repetitions=repetitions, seconds=seconds)


def two_recipes(
    n: int, n_images: int, noise: str, form: str, *, repetitions: int, rng: np.random.Generator
) -> list[Cell]:
    """False differences between two equally accurate recipes and between a recipe and itself, and coverage."""
    seeds = (range(n), range(n) if form == "paired" else range(n, 2 * n))
    setting: dict[str, str | int] = {"form": form, "seed SD, points": noise, "images": n_images, "n": n}

    def interval(accuracies: tuple[float, float], likeness: float) -> tuple[float, float]:
        world = World(
            accuracies=accuracies, seed_sd=NOISE[noise], likeness=likeness, shared=SHARED if form == "paired" else 0.0
        )
        a, b = world.draw(n, n_images, rng)
        found = accuracy_difference(a, b, seeds_a=seeds[0], seeds_b=seeds[1])
        assert found.low is not None  # noqa: S101 - there are at least two seeds
        assert found.high is not None  # noqa: S101
        return found.low, found.high

    def differs(likeness: float) -> bool:
        low, high = interval((ACCURACY, ACCURACY), likeness)
        return low > 0 or high < 0

    def covers() -> bool:
        low, high = interval((ACCURACY, ACCURACY - POINT), 0.9)
        return low <= POINT <= high

    return [
        share("false, one recipe", setting, repetitions, lambda: differs(1.0)),
        share("false, two recipes", setting, repetitions, lambda: differs(0.9)),
        share("coverage", setting, repetitions, covers),
    ]


def lost_best(k: int, lead: float, *, repetitions: int, rng: np.random.Generator, n: int = 5) -> list[Cell]:
    """How often the set of contenders lacks the best of k recipes that leads by so much."""
    world = World(
        accuracies=(ACCURACY, *[ACCURACY - lead] * (k - 1)), seed_sd=(0.0075,) * k, likeness=0.9, shared=SHARED
    )

    def once() -> bool:
        drawn = world.draw(n, 10_000, rng)
        arms = [Arm(name=str(i), correct=correct, seeds=range(n)) for i, correct in enumerate(drawn)]
        return "0" not in contenders(arms).names

    setting: dict[str, str | int] = {"k": k, "lead, points": f"{100 * lead:g}", "n": n, "images": 10_000}
    return [share("lost", setting, repetitions, once)]


def false_among(k: int, *, repetitions: int, rng: np.random.Generator, n: int = 5) -> list[Cell]:
    """How often any of the verdicts on k equally accurate recipes is `better` or `worse`."""
    world = World(accuracies=(ACCURACY,) * k, seed_sd=(0.0075,) * k, likeness=0.9, shared=SHARED)

    def once() -> bool:
        drawn = world.draw(n, 10_000, rng)
        arms = [Arm(name=str(i), correct=correct, seeds=range(n)) for i, correct in enumerate(drawn)]
        return any(pair.verdict.kind in ("better", "worse") for pair in pairwise_verdicts(arms))

    return [share("false, any pair", {"k": k, "n": n, "images": 10_000}, repetitions, once)]


def two_models(n_images: int, disagreement: float, *, repetitions: int, rng: np.random.Generator) -> list[Cell]:
    """Two trained models on new images: rejections at equal accuracy, and coverage at a difference of a point."""
    setting: dict[str, str | int] = {"images": n_images, "disagree, %": f"{100 * disagreement:g}"}

    def counts(difference: float) -> tuple[int, int]:
        only_a, only_b = (disagreement + difference) / 2, (disagreement - difference) / 2
        b, c, _ = rng.multinomial(n_images, (only_a, only_b, 1 - disagreement)).tolist()
        return b, c

    def covers() -> bool:
        low, high = agresti_min(*counts(POINT), n_images)
        return low <= POINT <= high

    return [
        share("rejected, mid-p McNemar", setting, repetitions, lambda: mcnemar_midp(*counts(0.0)) <= 0.05),  # noqa: PLR2004
        share("coverage, Agresti-Min", setting, repetitions, covers),
    ]


def balanced(
    n: int, n_images: int, ratio: float, *, repetitions: int, rng: np.random.Generator, n_classes: int = 10
) -> list[Cell]:
    """Verdicts on the balanced accuracy of two equally good recipes, or models where n is 1; coverage at a point.

    The largest class has `ratio` times the images of the smallest, in expectation. Besides what all images share, each
    seed has an effect of its own on each class, of three times that SD in accuracy.
    """
    setting: dict[str, str | int] = {"n": n, "images": n_images, "largest to smallest class": f"{ratio:g}"}
    sizes = np.geomspace(ratio, 1, n_classes)

    def judged(gap: float) -> Verdict:
        sd = NOISE["0.75"] if n > 1 else (0.0, 0.0)
        world = World(accuracies=(ACCURACY, ACCURACY - gap), seed_sd=sd, likeness=0.9, shared=SHARED)
        labels = rng.choice(n_classes, n_images, p=sizes / sizes.sum())
        drawn = world.draw(n, n_images, rng)
        if n > 1:
            drawn = [_with_class_effects(correct, labels, 3 * sd[0], n_classes, rng) for correct in drawn]
        arms = [Arm(name=f"{k}", correct=one, weights=class_weights(labels)) for k, one in enumerate(drawn)]
        return arms_verdict(*arms)

    def differs() -> bool:
        found = judged(0.0).difference
        assert found.low is not None  # noqa: S101 - there are records
        assert found.high is not None  # noqa: S101
        return found.low > 0 or found.high < 0

    def covers() -> bool:
        found = judged(POINT).difference
        assert found.low is not None  # noqa: S101
        assert found.high is not None  # noqa: S101
        return found.low <= POINT <= found.high

    return [
        share("false, balanced accuracy", setting, repetitions, differs),
        share("coverage, balanced accuracy", setting, repetitions, covers),
    ]


def _with_class_effects(
    correct: npt.NDArray[np.bool_], labels: npt.NDArray[np.int64], sd: float, n_classes: int, rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """With each seed's images of each class made right or wrong by a share of its own, of mean 0 in accuracy."""
    effect = sd * rng.standard_normal((len(correct), n_classes))
    chance = effect[:, labels]
    right, wrong = chance > 0, chance < 0
    turned = rng.random(correct.shape)
    rate = correct.mean()
    found: npt.NDArray[np.bool_] = np.where(
        right, correct | (turned < chance / (1 - rate)), np.where(wrong, correct & (turned >= -chance / rate), correct)
    )
    return found


def jobs(repeats: int) -> list[Callable[..., list[Cell]]]:
    """What is simulated, in the order of the tables; each takes a generator of its own as `rng`."""
    return [
        *(
            partial(two_recipes, n, n_images, noise, form, repetitions=repeats)
            for form, noise, n_images, n in product(("paired", "nested"), NOISE, IMAGES, SEEDS)
        ),
        *(partial(lost_best, k, lead, repetitions=repeats) for k, lead in product((3, 10), (0.0, 0.002))),
        partial(false_among, 5, repetitions=repeats),
        *(partial(two_models, *setting, repetitions=10 * repeats) for setting in product(IMAGES, (0.05, 0.10))),
        *(partial(balanced, *setting, repetitions=repeats) for setting in product((1, 3, 5), (500, 5000), (1.0, 30.0))),
    ]


def _simulate(job: Callable[..., list[Cell]], number: int) -> list[Cell]:
    return job(rng=np.random.default_rng([14, number]))


def run(*, repeats: int, processes: int, name: str) -> None:
    """Simulate every cell, print the tables, and write them to `benchmarks/results/`."""
    from benchmarks.measure import RESULTS, machine

    start, cells = time.perf_counter(), []
    asked = jobs(repeats)
    with ProcessPoolExecutor(processes) as pool:
        for done, found in enumerate(pool.map(_simulate, asked, range(len(asked))), start=1):
            cells += found
            print(f"{done}/{len(asked)}: {asdict(found[-1])}", file=sys.stderr, flush=True)
    seconds = time.perf_counter() - start
    intervals = [cell for cell in cells if "form" in cell.setting]
    outside = [cell for cell in cells if cell.is_outside()]
    print(interval_table(intervals), other_table(cells[len(intervals) :]), sep="\n\n")
    print(f"\n{len(cells)} cells, {seconds:,.0f} s; outside of the bounds {BOUNDS}: {len(outside)}")
    for cell in outside:
        print(f"- {cell.what} {cell.setting}: {100 * cell.share:.1f}% ± {100 * cell.error:.1f}")
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    content = {"machine": machine(), "seconds": seconds, "bounds": BOUNDS, "cells": [asdict(cell) for cell in cells]}
    path.write_text(json.dumps(content, indent=1) + "\n")
    print(f"\nwritten to {path}")


def interval_table(cells: Sequence[Cell]) -> str:
    """Markdown: false % of one recipe / false % of two recipes / coverage %, a column for each number of seeds."""
    lines = [
        "False differences %, one recipe twice / two equally accurate recipes / coverage % at a true point",
        "",
        "| form | seed SD, points | images | " + " | ".join(f"n = {n}" for n in SEEDS) + " | repetitions | seconds |",
        "|---|---|---:|" + "---|" * len(SEEDS) + "---:|---:|",
    ]
    rows: dict[tuple[object, ...], list[Cell]] = {}
    for cell in cells:
        rows.setdefault(tuple(cell.setting.values())[:3], []).append(cell)
    for key, row in rows.items():
        shares = [" / ".join(f"{100 * c.share:.1f}" for c in row if c.setting["n"] == n) for n in SEEDS]
        done, seconds = row[0].repetitions, sum(c.seconds for c in row)
        lines.append(f"| {' | '.join(str(part) for part in key)} | {' | '.join(shares)} | {done} | {seconds:.0f} |")
    return "\n".join(lines)


def other_table(cells: Sequence[Cell]) -> str:
    """Markdown: one line for each cell."""
    lines = ["| | setting | % | repetitions | seconds |", "|---|---|---:|---:|---:|"]
    for cell in cells:
        setting = ", ".join(f"{name} {value}" for name, value in cell.setting.items())
        shown = f"{100 * cell.share:.1f} ± {100 * cell.error:.1f}"
        lines.append(f"| {cell.what} | {setting} | {shown} | {cell.repetitions} | {cell.seconds:.0f} |")
    return "\n".join(lines)
