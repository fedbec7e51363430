"""Choose one group under a budget, and say why."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cvexp.comparison.evidence import gather, known_classes
from cvexp.comparison.figures import figure_of
from cvexp.comparison.groups import best_first
from cvexp.comparison.request import LAST, QUALITIES
from cvexp.comparison.tables import Pick
from cvexp.errors import ConfigError
from cvexp.results import Metric
from cvexp.stats import Candidate, pick

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cvexp.comparison.analysis import Analysis
    from cvexp.comparison.budget import Limit
    from cvexp.comparison.groups import Group
    from cvexp.comparison.request import Request, Split
    from cvexp.comparison.tables import Table

SPEEDS = (Metric.LATENCY_MS.value, Metric.TRAIN_SECONDS.value)
"""The metrics that say which is the fastest; the first one that all candidates have under equal conditions counts."""


def pick_of(tables: Sequence[Table], analysis: Analysis) -> Pick | None:
    """Of the groups that meet the budget, the fastest that is not shown to be less accurate than the most accurate one.

    Chosen on validation images where every candidate has them, else on the test images, and it says so.

    Raises:
        ConfigError: The groups were measured on different test images.
    """
    if not tables or not analysis.request.picks:
        return None
    if len(tables) > 1:
        sets = ", ".join(table.test_set for table in tables[:3])
        raise ConfigError(
            f"cannot pick one: these runs were measured on different test images ({sets})",
            "choose some with --where, or name them",
        )
    limits = analysis.limits
    budget = tuple(limit.text for limit in limits)
    (table,) = tables
    keys = QUALITIES[analysis.request.by]
    finished = [group for group in table.groups if _is_measured(group, keys["test"])]
    split: Split = "val" if finished and all(_is_measured(group, keys["val"]) for group in finished) else "test"
    meeting = [group for group in finished if all(limit.is_met(group.figure(limit.figure.key)) for limit in limits)]
    if not meeting:
        why = (_nearest_miss(finished, limits),) if finished else ("Nothing to pick from: no finished run here.",)
        return Pick(label="", run_ids=(), budget=budget, chosen_on=split, sentences=why)
    return _choose(best_first(meeting, keys[split]), analysis, split, n_considered=len(finished))


def _is_measured(group: Group, key: str) -> bool:
    mean = group.mean(key)
    return mean is not None and math.isfinite(mean) and group.is_finished


def _nearest_miss(groups: Sequence[Group], limits: Sequence[Limit]) -> str:
    """Which limit nobody meets, and who is the nearest to it."""
    for limit in limits:
        key = limit.figure.key
        known = [group for group in groups if group.figure(key) is not None]
        if not known:
            how = "; measure it: cvexp bench RUN" if key.startswith("bench/") else ""
            return f"Nothing meets {limit.text}: no run here has {key}{how}."
        if not any(limit.is_met(group.figure(key)) for group in known):
            nearest = best_first(known, key)[0]
            mean = nearest.mean(key)
            said = "" if mean is None else f": the nearest is {nearest.label} with {limit.figure.said(mean)}"
            return f"Nothing meets {limit.text}{said}."
    return "Nothing meets all limits at once, though each of them is met by some."


def _choose(ordered: Sequence[Group], analysis: Analysis, split: Split, *, n_considered: int) -> Pick:
    """One of the groups that meet the budget, the most accurate first; `n_considered` counts those that do not, too."""
    request, evidence = analysis.request, analysis.evidence
    arms = gather(ordered, evidence, split=split, recorded=request.at == LAST, by=request.by).arms
    speed = _speed_of(ordered)
    candidates = [
        Candidate(accuracy=arms[group.label], measures={speed: group.mean(speed) or math.inf} if speed else {})
        for group in ordered
    ]
    n_classes = known_classes(ordered, evidence)
    found = pick(candidates, {}, speed=speed, accuracy_margin=request.margin, n_classes=n_classes)
    by_label = {group.label: group for group in ordered}
    chosen, most_accurate = by_label[str(found.name)], by_label[str(found.most_accurate)]
    budget = tuple(limit.text for limit in analysis.limits)
    if len(ordered) == 1:
        reason = "no other does" if budget else "there is no other"
    else:
        reason = _reason(chosen, most_accurate, speed, request.margin)
    met = f"{len(ordered)} of {n_considered} meet {', '.join(budget)}; " if budget else ""
    why = f"{met}{reason}"
    sentences = [f"Pick: {chosen.label}{_accuracy(chosen, request, split)}. {why[0].upper()}{why[1:]}."]
    if found.price is not None:
        points = f"{100 * max(0.0, found.price):.2f} points of {_word(request)} (95%)"
        sentences.append(f"Against {most_accurate.label} it costs at most {points}.")
    return Pick(
        label=chosen.label,
        run_ids=tuple(run.run_id for run in chosen.runs),
        budget=budget,
        chosen_on=split,
        rival=next((group.label for group in (most_accurate, *ordered) if group is not chosen), ""),
        price=found.price,
        sentences=(*sentences, _chosen_on(chosen, request, split)),
    )


def _speed_of(groups: Sequence[Group]) -> str:
    """The metric by which all of the groups can be ranked for speed, or an empty one."""
    for key in SPEEDS:
        comparable = len({group.conditions_of(key) for group in groups}) == 1
        if comparable and all(group.figure(key) is not None and not group.is_busy(key) for group in groups):
            return key
    return ""


def _reason(chosen: Group, most_accurate: Group, speed: str, margin: float) -> str:
    """Why it is this one of several."""
    if chosen is most_accurate:
        doubt = "no faster one is shown to be as accurate" if speed else "which is the fastest was not measured alike"
        return f"it is the most accurate, and {doubt}"
    time = chosen.mean(speed)
    fast = "" if time is None else f" ({figure_of(speed).said(time)})"
    within = f"shown to lose less than {100 * margin:g} points to the most accurate, {most_accurate.label}"
    return f"it is the fastest{fast} of those {within}"


def _word(request: Request) -> str:
    return request.by.replace("-", " ")


def _accuracy(group: Group, request: Request, split: Split) -> str:
    mean = group.mean(request.quality(split))
    return "" if mean is None else f" ({'validation' if split == 'val' else 'test'} {_word(request)} {mean:.2%})"


def _chosen_on(group: Group, request: Request, split: Split) -> str:
    if split == "test":
        return (
            "Chosen on the test images, so its accuracy is a little too high; --val-split in training is the fair way."
        )
    return f"Chosen on the validation images; measured once on the test images:{_accuracy(group, request, 'test')}."
