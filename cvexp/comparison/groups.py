"""Groups of repeats: finished runs of one recipe with different seeds, measured on the same test images."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import lru_cache
from statistics import fmean
from typing import TYPE_CHECKING

from cvexp.comparison.bench import bench_conditions
from cvexp.comparison.figures import figure_of
from cvexp.results import rank
from cvexp.runs import BUSY, NAME_DIGITS, RunSummary, differing_settings, settings_of
from cvexp.stats import Interval, mean_interval

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

LONGEST_LABEL = 48
SEED = "seed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Repeats of one recipe, or a single run.

    Attributes:
        recipe: See config.recipe; empty for runs that did not record it.
        label: What it is called in sentences and pictures; no other group of its table has it.
        settings: The settings that tell the groups of its table apart, as one would type them.
        runs: One for each seed, the seeds ascending; where a seed was run again, the latest.
        n_again: Further runs of these seeds: the same draws again, which are no repeats.
        timed: Of `runs`, those whose training times were measured under the group's conditions, on a quiet machine if
            there are any such.
        benched: Likewise for latencies.
        conditions: The letter of the conditions of `timed`; see comparability.
        bench_conditions: The capital letter of the conditions of `benched`, or empty.
        busy: Whether even the training times of `timed` were measured on a busy machine.
        bench_busy: Likewise for latencies.
        n_collapsed: Seeds that learnt nothing (see stats.collapsed).
    """

    recipe: str
    runs: tuple[RunSummary, ...]
    label: str = ""
    settings: str = ""
    n_again: int = 0
    timed: tuple[RunSummary, ...] = ()
    benched: tuple[RunSummary, ...] = ()
    conditions: str = ""
    bench_conditions: str = ""
    busy: bool = False
    bench_busy: bool = False
    n_collapsed: int = 0
    _figures: dict[str, Interval | None] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def first(self) -> RunSummary:
        """The run with the lowest seed."""
        return self.runs[0]

    @property
    def model(self) -> str:
        """The name of its model."""
        return self.first.params.get("model", "?")

    @property
    def is_finished(self) -> bool:
        """Whether its runs came to their end; others are shown, and not compared."""
        return self.first.status == "FINISHED"

    @property
    def n(self) -> int:
        """Its seeds."""
        return len(self.runs)

    @property
    def seeds(self) -> tuple[int | None, ...]:
        """In the order of `runs`; None for a run that did not record it."""
        return tuple(map(seed_of, self.runs))

    @property
    def keys(self) -> list[str]:
        """Of the metrics that any of its runs has."""
        return sorted({key for run in self.runs for key in run.metrics})

    def figure(self, key: str) -> Interval | None:
        """The mean over seeds and its 95% interval, from the runs whose figure counts; None where none has it.

        The interval is withheld where seeds collapsed, of what was measured on images.
        """
        if key not in self._figures:
            values = [run.metrics[key] for run in self.pool(key) if key in run.metrics]
            found = interval_of(values) if values else None
            if found is not None and self.n_collapsed and figure_of(key).on_images:
                found = replace(found, low=None, high=None)
            self._figures[key] = found
        return self._figures[key]

    def pool(self, key: str) -> tuple[RunSummary, ...]:
        """The runs whose values of a metric may be averaged."""
        return {"training": self.timed, "bench": self.benched}.get(figure_of(key).conditions, self.runs)

    def mean(self, key: str) -> float | None:
        """The mean over seeds, or None."""
        found = self.figure(key)
        return None if found is None else found.mean

    def quick_mean(self, key: str) -> float | None:
        """The mean, or None, without an interval: to sort thousands of groups by."""
        values = [value for run in self.pool(key) if (value := run.metrics.get(key)) is not None]
        if len(values) > 1 and not all(map(math.isfinite, values)):
            return math.nan
        return fmean(values) if values else None

    def conditions_of(self, key: str) -> str:
        """The letter of the conditions under which a metric was measured; empty where it needs none."""
        kind = figure_of(key).conditions
        return {"training": self.conditions, "bench": self.bench_conditions}.get(kind, "")

    def is_busy(self, key: str) -> bool:
        """Whether a metric was measured on a busy machine only, so that it is not to be ranked."""
        return {"training": self.busy, "bench": self.bench_busy}.get(figure_of(key).conditions, False)


def interval_of(values: Sequence[float]) -> Interval:
    """As `stats.mean_interval`; of values that are not all finite, a mean without an interval."""
    if all(map(math.isfinite, values)) and len(values) > 1:
        return mean_interval(values)
    mean = values[0] if len(values) == 1 else math.nan
    return Interval(mean=mean, std=None, low=None, high=None, n=len(values))


def seed_of(run: RunSummary) -> int | None:
    """A run's seed, or None where it is not a number; a store's content is untrusted."""
    return _number(run.params.get(SEED, ""))


@lru_cache(maxsize=1024)
def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < NAME_DIGITS**2 else None


def group_runs(
    runs: Sequence[RunSummary], *, letters: Mapping[str, str], bench_letters: Mapping[str, str], repeats: bool = True
) -> list[Group]:
    """Put the runs of one test set into groups, in order of appearance; without `repeats`, each into its own.

    Only finished runs that recorded their recipe and seed are repeats; they also have to share the training images.
    `letters` and `bench_letters` name each run's conditions by its id. The groups have no labels yet; see `labelled`.
    """
    members: dict[tuple[str, ...], list[RunSummary]] = {}
    for run in runs:
        recipe = run.recipe if repeats and run.status == "FINISHED" else ""
        key = (recipe, _training_data(run)) if recipe and seed_of(run) is not None else (run.run_id,)
        members.setdefault(key, []).append(run)
    return [_group(found, letters, bench_letters) for found in members.values()]


def _training_data(run: RunSummary) -> str:
    """What the recipe does not know of the training images: their content."""
    return run.test_set.partition(",")[0]


def _group(found: list[RunSummary], letters: Mapping[str, str], bench_letters: Mapping[str, str]) -> Group:
    latest: dict[int | None, RunSummary] = {}
    for run in sorted(found, key=lambda run: run.started_at):
        latest[seed_of(run)] = run
    runs = tuple(latest[seed] for seed in sorted(latest, key=lambda seed: -1 if seed is None else seed))
    timed, busy = _comparable(runs, {run.run_id for run in runs if BUSY in run.tags}, letters)
    bench = {run.run_id: bench_conditions(run) for run in runs}
    with_bench = [run for run in runs if bench[run.run_id] is not None]
    disturbed = {run_id for run_id, one in bench.items() if one is not None and one.busy}
    benched, bench_busy = _comparable(with_bench, disturbed, bench_letters)
    return Group(
        recipe=runs[0].recipe,
        runs=runs,
        n_again=len(found) - len(runs),
        timed=timed,
        benched=benched,
        conditions=letters.get(timed[0].run_id, "") if timed else "",
        bench_conditions=bench_letters.get(benched[0].run_id, "") if benched else "",
        busy=busy,
        bench_busy=bench_busy,
    )


def _comparable(
    runs: Sequence[RunSummary], disturbed: set[str], letters: Mapping[str, str]
) -> tuple[tuple[RunSummary, ...], bool]:
    """The runs under the conditions that most of the quiet ones have, and whether there were only disturbed ones."""
    if not runs:
        return (), False
    quiet = [run for run in runs if run.run_id not in disturbed]
    pool = quiet or list(runs)
    if len({letters.get(run.run_id) for run in pool}) > 1:
        counts = Counter(letters.get(run.run_id, "") for run in pool)
        usual = max(counts, key=lambda letter: counts[letter])
        pool = [run for run in pool if letters.get(run.run_id, "") == usual]
    return tuple(pool), not quiet


def labelled(groups: Sequence[Group], *, repeats: bool = True) -> list[Group]:
    """The groups, each with a label that no other of them has and the settings that tell them apart."""
    ignoring = (SEED,) if repeats else ()
    by_model: dict[str, list[Group]] = {}
    for group in groups:
        by_model.setdefault(group.model, []).append(group)
    within = {model: _differing(same, ignoring) for model, same in by_model.items()}
    everywhere = _differing(groups, ignoring)
    candidates = [_candidates(group, within[group.model], alone=len(by_model[group.model]) == 1) for group in groups]
    return [
        replace(group, label=label, settings=settings_of(group.first, everywhere))
        for group, label in zip(groups, _unique(groups, candidates), strict=True)
    ]


def _unique(groups: Sequence[Group], candidates: Sequence[Sequence[str]]) -> list[str]:
    """For each group the first of its candidates that no other asks for at the same time, or has got already."""
    labels: dict[int, str] = {}
    for level in range(max(map(len, candidates), default=0)):
        asked = {n: some[level] for n, some in enumerate(candidates) if n not in labels and level < len(some)}
        counts = Counter([*asked.values(), *labels.values()])
        labels |= {n: label for n, label in asked.items() if counts[label] == 1}
    return [labels.get(n, f"{group.first.name} ({group.first.run_id})") for n, group in enumerate(groups)]


def _differing(groups: Sequence[Group], ignoring: Iterable[str]) -> list[str]:
    left_out = set(ignoring)
    return [name for name in differing_settings([group.first for group in groups]) if name not in left_out]


def _candidates(group: Group, names: Sequence[str], *, alone: bool) -> list[str]:
    """What a group may be called, the preferred first: the user's own name, its model, its settings, its first run."""
    own = {_own_name(run, repeated=group.n > 1) for run in group.runs}
    found = [*own] if len(own) == 1 and "" not in own else []
    detailed = f"{group.model} {settings_of(group.first, names)}".rstrip()
    found += [group.model] if alone else []
    found += [detailed] if len(detailed) <= LONGEST_LABEL else []
    return list(dict.fromkeys([*found, group.first.name]))


def _own_name(run: RunSummary, *, repeated: bool) -> str:
    """The name that the user gave a run, without the seed that tells repeats apart; empty where it was given none."""
    if run.name.endswith(f"-{run.run_id[:NAME_DIGITS]}"):
        return ""
    return run.name.removesuffix(f"-{seed_of(run)}") if repeated else run.name


def best_first(groups: Iterable[Group], key: str) -> list[Group]:
    """Sorted by the mean of a metric, the best first, NaN and groups without it last; `started`: the latest first."""

    def position(group: Group) -> tuple[tuple[int, float], float]:
        started = max(run.started_at.timestamp() for run in group.runs)
        mean = None if key == "started" else group.quick_mean(key)
        return rank({} if mean is None else {key: mean}, key), -started

    return sorted(groups, key=position)
