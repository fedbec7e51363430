"""The best trials of a sweep, trained again with fresh seeds: which to pick, and what it does on the test images.

The best of many looks better than it is, since luck with the seed and the validation images chose it too. Fresh seeds
take the seed's part of that away, and the test images, which nothing was chosen by, the rest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from cvexp.comparison.evidence import gather, known_classes
from cvexp.comparison.groups import Group, group_runs, interval_of
from cvexp.comparison.request import Request
from cvexp.errors import CvexpError
from cvexp.jobs.evidence import StoredEvidence
from cvexp.jobs.measure_test import measure_test
from cvexp.jobs.sweep_plan import cost_of
from cvexp.jobs.trials import Trial, runs_where
from cvexp.results import Metric
from cvexp.runs import SWEEP
from cvexp.stats import Candidate as Arms
from cvexp.stats import Interval, pairwise_verdicts, pick, population_text, verdict_text
from cvexp.tracking.store import open_store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cvexp.comparison.evidence import Evidence
    from cvexp.config import RunConfig
    from cvexp.jobs.sweep_plan import SweepPlan
    from cvexp.jobs.trials import Known
    from cvexp.sweep.trials import Tried


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """One of the best trials, with its figure in the search, and its repeats.

    `confirmed_at` is the mean of the goal's figure over the fresh seeds with its 95% interval; None without any.
    """

    trial: Tried
    selected_at: float
    repeats: tuple[Trial, ...]
    confirmed_at: Interval | None

    @property
    def name(self) -> str:
        """As sentences have it."""
        return f"trial {self.trial.number}"

    @property
    def is_complete(self) -> bool:
        """Whether every repeat has ended."""
        return all(one.ended for one in self.repeats)


@dataclass(frozen=True, kw_only=True, slots=True)
class Confirmed:
    """The candidates, the best in the search first, and what they amount to.

    Attributes:
        pick: The one to take; None where no candidate has all of its repeats.
        sentences: What can be said of it against the others, on the validation images.
        test: Its accuracy on the test images, the mean over its fresh seeds and the 95% interval; None where unknown.
        n_tested: Candidates, of earlier starts too, that were measured on the test images.
        trouble: Why it was not judged or measured, in one line.
    """

    candidates: tuple[Candidate, ...]
    pick: Candidate | None = None
    sentences: tuple[str, ...] = ()
    test: Interval | None = None
    n_tested: int = 0
    trouble: str = ""

    @property
    def failed(self) -> tuple[Trial, ...]:
        """The repeats that failed."""
        return tuple(one for candidate in self.candidates for one in candidate.repeats if one.state == "failed")


@dataclass(slots=True)
class Confirming:
    """The repeats of the best trials, of which `next` gives those that are to be trained, a round for each seed."""

    plan: SweepPlan
    best: Sequence[Tried]
    known: Known
    retry_failed: bool
    repeats: dict[str, list[Trial]] = field(default_factory=dict)
    _left: list[Trial] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Find out which repeats there are already."""
        asked = self.plan.sweep.confirm
        if asked is None:
            return
        for one in self.best[: asked.best]:
            config = self.plan.sweep.config(one.point)
            seeded = [self.plan.completed(replace(config, seed=seed)) for seed in asked.seeds]
            self.repeats[one.key] = [self._repeat(one, *made) for made in seeded]
        todo = ("new", "interrupted", *(["failed"] if self.retry_failed else []))
        self._left = [one for row in zip(*self.repeats.values(), strict=True) for one in row if one.state in todo]

    def _repeat(self, one: Tried, config: RunConfig, key: str) -> Trial:
        found = self.known.repeats.get(key)
        return found or Trial(number=one.number, key=key, point=one.point, config=config, confirms=one.key)

    @property
    def wanted(self) -> bool:
        """Whether the file asks for it."""
        return self.plan.sweep.confirm is not None

    def next(self) -> Trial | None:
        """The next repeat to train; None after the last one."""
        return self._left.pop(0) if self._left else None

    def judged(self, data_dir: Path) -> Confirmed:
        """Pick one, say why, and measure it on the test images, each repeat once in its life."""
        figure = self.plan.sweep.goal.figure
        candidates = []
        for one in self.best[: len(self.repeats)]:
            repeats = tuple(self.repeats[one.key])
            values = [trial.metrics[figure] for trial in repeats if trial.ended and figure in trial.metrics]
            over = interval_of(values) if values else None
            candidates.append(Candidate(trial=one, selected_at=one.values[0], repeats=repeats, confirmed_at=over))
        found = Confirmed(candidates=tuple(candidates))
        try:
            found = _judged(found, self.plan, data_dir)
            return found if found.pick is None else _tested(found, found.pick, self.plan, data_dir)
        except CvexpError as error:
            return replace(found, trouble=error.what)


def _judged(found: Confirmed, planned: SweepPlan, data_dir: Path) -> Confirmed:
    """With the pick and the sentences on it."""
    complete = [one for one in found.candidates if one.is_complete and one.confirmed_at is not None]
    if not complete:
        return replace(found, trouble="no candidate has all of its repeats")
    groups = _groups(complete, planned)
    reader = StoredEvidence(open_store(planned.settings, create=False), Request(), data_dir)
    evidence = gather(groups, reader, split="val")
    n_classes = known_classes(groups, reader)
    chosen = _pick(complete, evidence, planned, n_classes)
    about = "" if planned.sweep.goal.figure == Metric.VAL_ACCURACY else "by accuracy, "
    return replace(found, pick=chosen, sentences=_sentences(chosen, complete, evidence, n_classes, about=about))


def _groups(candidates: Sequence[Candidate], planned: SweepPlan) -> list[Group]:
    runs = {
        run.run_id: run for run in runs_where(planned.settings, tag=SWEEP, value=planned.sweep.digest, recovering=False)
    }
    groups = []
    for one in candidates:
        members = [runs[trial.run_id] for trial in one.repeats if trial.run_id in runs]
        made = group_runs(members, letters={}, bench_letters={}) if members else []
        groups += [replace(group, label=one.name) for group in made[:1]]
    return groups


def _pick(candidates: Sequence[Candidate], evidence: Evidence, planned: SweepPlan, n_classes: int | None) -> Candidate:
    """By the mean over fresh seeds; with two goals, the cheapest not shown to be less accurate than the best."""
    goals = planned.sweep.goals
    if len(goals) > 1 and all(one.name in evidence.arms for one in candidates):
        cost = goals[1].figure
        arms = [
            Arms(
                accuracy=evidence.arms[one.name], measures={cost: cost_of(planned.sweep.config(one.trial.point), cost)}
            )
            for one in candidates
        ]
        name = pick(arms, {}, speed=cost, n_classes=n_classes).name
        return next(one for one in candidates if one.name == name)
    sign = 1 if goals[0].maximize else -1
    return max(candidates, key=lambda one: -math.inf if one.confirmed_at is None else sign * one.confirmed_at.mean)


def _sentences(
    chosen: Candidate, candidates: Sequence[Candidate], evidence: Evidence, n_classes: int | None, *, about: str
) -> tuple[str, ...]:
    """The pick against each other candidate on the validation images, and what the intervals are about, once.

    Verdicts are on accuracy; `about` says so where something else was searched for.
    """
    arms = [evidence.arms[one.name] for one in candidates if one.name in evidence.arms]
    if len(arms) < 2 or chosen.name not in evidence.arms:  # noqa: PLR2004 - a comparison
        return ()
    pairs = [one for one in pairwise_verdicts(arms, n_classes=n_classes) if chosen.name in (one.a, one.b)]
    texts = [verdict_text(one.verdict, one.a, one.b, population=False) for one in pairs]
    texts = [f"{about}{text}" for text in texts]
    population = {population_text(one.verdict) for one in pairs if one.verdict.kind != "these-two-only"}
    return (
        *(f"{text[0].upper()}{text[1:]}." for text in texts),
        *([f"Intervals: {', '.join(sorted(population))}, all of them validation images."] if population else []),
    )


def _tested(found: Confirmed, chosen: Candidate, planned: SweepPlan, data_dir: Path) -> Confirmed:
    """With the pick's figures on the test images; what was measured before is read, and not measured again."""
    accuracies = []
    for trial in chosen.repeats:
        if Metric.TEST_ACCURACY not in trial.metrics:
            model = trial.config.model
            trusted = model if model in planned.trusted else None
            figures = measure_test(trial.run_id, planned.settings, data_dir=data_dir, trusted_factory=trusted)
            trial.metrics = {**trial.metrics, **figures}
        accuracies.append(trial.metrics[Metric.TEST_ACCURACY])
    runs = runs_where(planned.settings, tag=SWEEP, value=planned.sweep.digest, recovering=False)
    tested = {run.recipe for run in runs if Metric.TEST_ACCURACY in run.metrics}
    return replace(found, test=interval_of(accuracies), n_tested=len(tested))
