"""Put runs side by side: how accurate, how fast, how large, and which times may be ranked against each other."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cvexp import plots
from cvexp.errors import ConfigError, nearest
from cvexp.results import Metric, RunSummary, higher_is_better

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cvexp.settings import StoreSettings

SORT_KEYS = {
    "accuracy": Metric.TEST_ACCURACY.value,
    "loss": Metric.TEST_LOSS.value,
    "val-accuracy": Metric.VAL_ACCURACY.value,
    "seconds": Metric.TRAIN_SECONDS.value,
    "speed": Metric.IMAGES_PER_SECOND.value,
    "parameters": Metric.PARAMETERS.value,
}
"""Short names for metrics; `started` and any metric's own key will do as well."""


SHOWN_ANYWAY = ("model", "dataset", "device")
LONGEST_SETTINGS = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Runs in order, each with the letter of its conditions.

    Attributes:
        runs: Sorted.
        groups: For each run, the letter of its conditions; times are comparable within one letter only.
        differences: For each letter, what sets its conditions apart, in words; empty when there is one letter.
        notes: What to know about how the runs were chosen.
        sort: The metric they are sorted by, or `started`.
        experiment: The MLflow experiment that was asked.
        plot: Where they were drawn, if anywhere.
    """

    runs: tuple[RunSummary, ...]
    groups: tuple[str, ...]
    differences: dict[str, str]
    notes: tuple[str, ...]
    sort: str
    experiment: str
    plot: Path | None


def run(
    selectors: Sequence[str],
    settings: StoreSettings,
    *,
    sort: str = "accuracy",
    last: int | None = None,
    where: str | None = None,
    plot: Path | None = None,
) -> Comparison:
    """Compare the selected runs, or all of the experiment's.

    Args:
        selectors: Which runs; see tracking.find. None at all means every run that `where` and `last` leave.
        settings: Where the runs are.
        sort: `accuracy`, `loss`, `val-accuracy`, `seconds`, `speed`, `parameters`, `started`, or a metric's key.
        last: Only the most recently started so many.
        where: Only those that MLflow's filter language selects.
        plot: Where to draw accuracy, and accuracy against training time.

    Raises:
        InputError: A selector, the filter, the order or the store cannot be used.
    """
    if selectors and (where or last):
        raise ConfigError("runs are named and filtered at once", "either name runs, or use --where and --last")
    plot = None if plot is None else plots.check_place(plot)
    from cvexp.tracking.find import search, select
    from cvexp.tracking.pending import sync_quietly
    from cvexp.tracking.store import open_store

    sync_quietly(settings)
    store = open_store(settings, create=False)
    notes: tuple[str, ...] = ()
    if selectors:
        selections = select(store, selectors)
        runs = list({s.run.run_id: s.run for s in selections}.values())
        notes = tuple(dict.fromkeys(s.note for s in selections if s.note))
    else:
        runs = search(store, where=where, last=last)
    key = _sort_key(sort, runs)
    runs.sort(key=lambda r: _position(r, key))
    groups, differences = _condition_groups(runs)
    comparison = Comparison(
        runs=tuple(runs),
        groups=groups,
        differences=differences,
        notes=notes,
        sort=key,
        experiment=settings.experiment,
        plot=plot,
    )
    if plot is not None:
        _draw(comparison, settings, plot)
    return comparison


def _sort_key(sort: str, runs: Sequence[RunSummary]) -> str:
    key = SORT_KEYS.get(sort, sort)
    if key == "started" or sort in SORT_KEYS:
        return key
    known = sorted({metric for run in runs for metric in run.metrics})
    if runs and key not in known:
        raise ConfigError(f"cannot sort by {sort!r}", nearest(sort, [*SORT_KEYS, "started", *known]))
    return key


def _position(run: RunSummary, key: str) -> tuple[bool, float]:
    """Where a run stands: the best first, runs without the figure last, the latest first among equals."""
    started = run.started_at.timestamp()
    if key == "started":
        return False, -started
    if key not in run.metrics:
        return True, -started
    value = run.metrics[key]
    return False, -value if higher_is_better(key) else value


def _condition_groups(runs: Sequence[RunSummary]) -> tuple[tuple[str, ...], dict[str, str]]:
    """Give every set of conditions a letter, in order of appearance, and say in what they differ."""
    letters: dict[str, str] = {}
    for run in runs:
        letters.setdefault(_key(run), _letter(len(letters)))
    groups = tuple(letters[_key(run)] for run in runs)
    if len(letters) <= 1:
        return groups, {}
    conditions = {letters[_key(run)]: _conditions(run) for run in runs}
    names = sorted({name for one in conditions.values() for name in one})
    differing = [name for name in names if len({str(one.get(name)) for one in conditions.values()}) > 1]
    return groups, {
        letter: ", ".join(f"{name.replace('_', ' ')} {one.get(name, 'unknown')}" for name in differing)
        for letter, one in conditions.items()
    }


def _letter(n: int) -> str:
    """The n-th of a, b, … z, aa, ab, … in that order."""
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    return (alphabet[n // 26 - 1] if n >= len(alphabet) else "") + alphabet[n % len(alphabet)]


def _key(run: RunSummary) -> str:
    return run.tags.get("cvexp.comparability_key", "")


def _conditions(run: RunSummary) -> dict[str, object]:
    try:
        found = json.loads(run.tags.get("cvexp.conditions", "{}"))
    except json.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def differing_settings(runs: Sequence[RunSummary]) -> list[str]:
    """Names of the parameters that are not the same for all runs; model, dataset and device are shown anyway."""
    names = dict.fromkeys(name for run in runs for name in run.params if name not in SHOWN_ANYWAY)
    return [name for name in names if len({run.params.get(name) for run in runs}) > 1]


def settings_of(run: RunSummary, names: Sequence[str]) -> str:
    """Some of a run's parameters as one would type them."""
    return " ".join(f"{name.removeprefix('model_args.')}={run.params[name]}" for name in names if name in run.params)


def _draw(comparison: Comparison, settings: StoreSettings, path: Path) -> None:
    drawn = [
        (run, group)
        for run, group in zip(comparison.runs, comparison.groups, strict=True)
        if Metric.TEST_ACCURACY in run.metrics and Metric.TRAIN_SECONDS in run.metrics
    ]
    if not drawn:
        raise ConfigError("there is no finished run to draw", f"train one first: {settings.command('train', 'linear')}")
    differing = differing_settings([run for run, _ in drawn])
    figure = plots.comparison(
        [_label(run, differing) for run, _ in drawn],
        [run.metrics[Metric.TEST_ACCURACY] for run, _ in drawn],
        [run.metrics[Metric.TRAIN_SECONDS] for run, _ in drawn],
        groups=[group for _, group in drawn],
    )
    plots.save(figure, path)


def _label(run: RunSummary, names: Sequence[str]) -> str:
    """A run's name, and below it the settings that set it apart, where they are few."""
    settings = settings_of(run, names)
    name = plots.shortened(run.name)
    return f"{name}\n{plots.plain(settings)}" if 0 < len(settings) <= LONGEST_SETTINGS else name
