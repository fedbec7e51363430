"""Which run `@best` means: the best of those that were measured on the same images."""

from __future__ import annotations

import math
import shlex
from typing import TYPE_CHECKING

from cvexp.comparability import DECIDES_IMAGES, TEST_SET, test_set_labels
from cvexp.data.named import FILE_KINDS
from cvexp.errors import RunError
from cvexp.results import Metric, rank
from cvexp.runs import IMPORTED, SWEEP, is_trial
from cvexp.text import shown
from cvexp.tracking.rows import Fields

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cvexp.runs import RunSummary

BEST_FORMS = "@best, @best:METRIC, @best@DATASET[,limit=N][,split_seed=N][:METRIC]"
SHOWN_SETS = 5


class NoSuchMetricError(RunError):
    """The runs that are meant do not have the metric; the hint names those that they have."""


def best(
    finished: Sequence[RunSummary], selector: str, *, command: Callable[..., str]
) -> tuple[RunSummary, str | None]:
    """The best of the finished runs (the most recently started first), and what to know about the choice.

    `@best` has the highest validation accuracy, or test accuracy where no run has a validation part; `@best:METRIC`
    the best value of another metric. `@best@DATASET` is chosen among the runs on one dataset, given by name or digest;
    settings may follow, as in `@best@digits,limit=300`. Trials of sweeps, and imported
    runs, which have no weights, are left out. `command` is
    StoreSettings.command, for hints.

    Raises:
        RunError: No run fits, or those that do were measured on different images.
    """
    wanted, metric = parsed(selector)
    finished = [run for run in finished if not is_trial(run) and IMPORTED not in run.tags]
    all_finished, finished = finished, _representatives(finished, metric)
    runs = fitting(finished, wanted) if wanted else list(finished)
    if not runs:
        known = sorted(set(test_set_labels(finished).values()))
        hint = "there are: " + _listed(known) if known else f"start one: {command('train', 'linear')}"
        raise RunError(f"no finished run here is meant by {shown(selector)}", hint)
    note = None
    if not metric:
        metric = Metric.VAL_ACCURACY.value
        if not any(metric in run.metrics for run in runs):
            metric = Metric.TEST_ACCURACY.value
            note = "@best chose by test accuracy, since no run has a validation part; "
            note += "train with --val-split 0.1 to choose fairly"
    _refuse_several_sets(runs, selector, metric)
    candidates = [run for run in runs if metric in run.metrics]
    if not candidates:
        on_them = fitting(all_finished, wanted) if wanted else all_finished
        keys = sorted({key for run in on_them for key in run.metrics})
        hint = "there are: " + ", ".join(keys) if keys else f"start one: {command('train', 'linear')}"
        raise NoSuchMetricError(f"no finished run here has the metric {metric!r}", hint)
    chosen = min(candidates, key=lambda run: rank(run.metrics, metric))
    if math.isnan(chosen.metrics[metric]):
        raise RunError(f"{metric} is not a finite number in any finished run here", f"name a run: {command('compare')}")
    return chosen, note


def _representatives(finished: Sequence[RunSummary], metric: str) -> list[RunSummary]:
    """Of the runs on the same images, split alike, the first and the best by each metric that may decide, in order.

    No other run can be the best or change what is said, and thousands share their images.
    """
    metrics = (metric,) if metric else (Metric.VAL_ACCURACY.value, Metric.TEST_ACCURACY.value)
    best_of: dict[tuple[object, ...], int] = {}
    for position, run in enumerate(finished):
        images = (run.test_set, *(run.params.get(name) for name in ("dataset", *DECIDES_IMAGES)))
        best_of.setdefault(images, position)
        for one in metrics:
            known = best_of.setdefault((one, *images), position)
            if rank(run.metrics, one) < rank(finished[known].metrics, one):
                best_of[one, *images] = position
    return [finished[position] for position in sorted(set(best_of.values()))]


def fields_of(selector: str) -> Fields:
    """What of a run `best` looks at; an unreadable selector raises RunError."""
    _, metric = parsed(selector)
    return Fields(
        params=("dataset", *DECIDES_IMAGES),
        metrics=tuple(filter(None, (metric, Metric.VAL_ACCURACY.value, Metric.TEST_ACCURACY.value))),
        tags=(TEST_SET, "cvexp.conditions", IMPORTED, SWEEP),
    )


def parsed(selector: str) -> tuple[dict[str, str], str]:
    """The dataset and settings that the selector names, if any, and its metric, or an empty one.

    A dataset may begin with the kind of its files and a colon, as `--dataset` has it; the next colon ends it.
    """
    about, wanted = selector.removeprefix("@best"), dict[str, str]()
    kind = next((kind for kind in FILE_KINDS if about.startswith(f"@{kind}:")), "")
    head, colon, metric = about[len(f"@{kind}:") if kind else 0 :].partition(":")
    if head or kind:
        dataset, *settings = head.removeprefix("@").split(",")
        dataset = f"{kind}:{dataset}" if kind and dataset else dataset
        pairs = [setting.partition("=") for setting in settings]
        wanted = {"dataset": dataset, **{name: value for name, _, value in pairs}}
        if not dataset or any(name not in DECIDES_IMAGES or not value for name, _, value in pairs):
            raise RunError(f"cannot read the selector {shown(selector)}", f"valid: {BEST_FORMS}")
    if colon and not metric:
        raise RunError(f"cannot read the selector {shown(selector)}: no metric", f"valid: {BEST_FORMS}")
    return wanted, metric


def fitting(runs: Sequence[RunSummary], wanted: dict[str, str]) -> list[RunSummary]:
    """The runs on a dataset with some settings; without a limit, those on all of its test images if there are any."""
    name = wanted["dataset"]
    found = [
        run
        for run in runs
        if name in (run.settings.get("dataset"), run.test_set.partition(",")[0])
        and all(_same(run.settings.get(key, ""), value) for key, value in wanted.items() if key in DECIDES_IMAGES)
    ]
    whole = [run for run in found if "," not in run.test_set]
    return whole if whole and "limit" not in wanted else found


def _same(setting: str, typed: str) -> bool:
    """Whether a setting has the value typed, `0.10` being `0.1`."""
    try:
        return setting == typed or float(setting) == float(typed)
    except ValueError:
        return False


def _refuse_several_sets(runs: Sequence[RunSummary], selector: str, metric: str) -> None:
    """Refuse to rank figures that were not measured on the same images.

    Raises:
        RunError: There are several sets of them; what to type for each is named.
    """
    labels = test_set_labels(runs)
    sets = {run.test_set: (labels[run.test_set], run.test_set) for run in runs}
    kind = "test"
    if len(sets) == 1 and metric.startswith("val/"):
        kind = "validation"
        sets = {}
        for run in runs:
            if metric in run.metrics:
                split = {key: run.settings.get(key, "unknown") for key in ("val_split", "split_seed")}
                end = "".join(f",{key}={value}" for key, value in split.items())
                label, identity = (one.partition(",split_seed=")[0] for one in (labels[run.test_set], run.test_set))
                sets[str(split)] = label + end, identity + end
    if len(sets) > 1:
        asked = parsed(selector)[1]
        forms = [_form(label, identity, asked) for label, identity in sorted(sets.values())]
        raise RunError(
            f"{shown(selector)} fits runs that were measured on different {kind} images, so none is the best",
            "choose one set: " + _listed(forms),
        )


def _form(label: str, identity: str, metric: str) -> str:
    """What to type for a set of images: its label, or its identity where the selector cannot hold the name in that."""
    typed = f":{metric}" if metric else ""
    try:
        is_read = parsed(f"@best@{label}")[1] == ""
    except RunError:
        is_read = False
    return shlex.quote(f"@best@{label if is_read else identity}{typed}")


def _listed(items: Sequence[str]) -> str:
    more = f" and {len(items) - SHOWN_SETS} more" if len(items) > SHOWN_SETS else ""
    return ", ".join(items[:SHOWN_SETS]) + more
