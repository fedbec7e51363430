"""Runs side by side: as a table that fits its terminal, as CSV, Markdown or JSON."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from cvexp.jobs.compare import Comparison
from cvexp.report.terminal import cell, console, hint, say, table
from cvexp.results import Metric
from cvexp.runs import RunSummary, differing_settings, settings_of
from cvexp.text import inert, markdown

SHOWN_SETS = 5
SHOWN_CONDITIONS = 26


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        header: As `terminal.table` takes it: `>` in front aligns the column right.
        text: What it shows of a run.
        timed: Whether its figures are comparable only under equal conditions.
        constant_to_caption: Whether a value that all runs share moves to the caption.
        priority: The column with the highest is dropped first in a narrow terminal; one with 0 never is.
    """

    header: str
    text: Callable[[RunSummary], str]
    timed: bool = False
    constant_to_caption: bool = False
    priority: int = 0

    @property
    def name(self) -> str:
        """The header as it is read."""
        return self.header.removeprefix(">")

    def cell(self, run: RunSummary, group: str, comparison: Comparison) -> str:
        """The text for a run; a time carries the letter of its conditions where there are several."""
        text = self.text(run)
        return f"{text} {group}" if self.timed and comparison.differences and text != "-" else text

    def is_best(self, run: RunSummary, comparison: Comparison) -> bool:
        """Whether this is the highest test accuracy of the run's test set."""
        return self.name == "test acc" and run.run_id in comparison.best


def _figure(metric: Metric, form: str) -> Callable[[RunSummary], str]:
    return lambda run: format(run.metrics[metric], form) if metric in run.metrics else "-"


def _columns(runs: Sequence[RunSummary]) -> list[Column]:
    """The columns these runs need."""
    differing = differing_settings(runs)
    columns = [
        Column("model", lambda r: r.params.get("model", "?"), constant_to_caption=True),
        Column("settings", lambda r: settings_of(r, differing)),
        Column("dataset", lambda r: r.params.get("dataset", "?"), constant_to_caption=True, priority=2),
        Column(">val acc", _figure(Metric.VAL_ACCURACY, ".2%")),
        Column(">test acc", _figure(Metric.TEST_ACCURACY, ".2%")),
        Column(">test loss", _figure(Metric.TEST_LOSS, ".4f"), priority=4),
        Column(">train s", _figure(Metric.TRAIN_SECONDS, ",.1f"), timed=True),
        Column(">images/s", _figure(Metric.IMAGES_PER_SECOND, ",.0f"), timed=True, priority=3),
        Column(">params", _figure(Metric.PARAMETERS, ",.0f"), constant_to_caption=True, priority=5),
        Column("device", lambda r: r.tags.get("cvexp.device", "?"), constant_to_caption=True, priority=1),
        Column("status", lambda r: r.status, constant_to_caption=True),
        Column("when", lambda r: f"{r.started_at.astimezone():%m-%d %H:%M}", priority=6),
        Column("run", lambda r: r.name),
    ]
    needed = {"settings": bool(differing), "val acc": any(Metric.VAL_ACCURACY in run.metrics for run in runs)}
    return [column for column in columns if needed.get(column.name, True)]


def show(comparison: Comparison) -> None:
    """Print the table, fitted to the terminal; what all runs share, and which columns were dropped, in the caption."""
    if not comparison.runs:
        hint(*(comparison.notes or ("no run here matches",)))
        return
    out = console()
    shared, columns = _split_constant(_columns(comparison.runs), comparison.runs)
    hidden: list[str] = []
    made = _table(comparison, columns)
    while out.measure(made, options=out.options.update(max_width=10_000)).maximum > out.width:
        dropped = max(columns, key=lambda column: column.priority)
        if not dropped.priority:
            break
        columns.remove(dropped)
        hidden.append(dropped.name)
        made = _table(comparison, columns)
    out.print(made)
    for line in _caption(comparison, shared, hidden):
        say(line, "dim")
    hint(*comparison.notes)


def _split_constant(columns: list[Column], runs: Sequence[RunSummary]) -> tuple[dict[str, str], list[Column]]:
    """Take the columns whose value all runs share out of the table."""
    shared: dict[str, str] = {}
    kept = []
    for column in columns:
        values = {column.text(run) for run in runs}
        if column.constant_to_caption and len(values) == 1 and len(runs) > 1:
            shared[column.name] = values.pop()
        else:
            kept.append(column)
    return shared, kept


def _table(comparison: Comparison, columns: Sequence[Column]) -> Table:
    made = table(*(column.header for column in columns))
    for column in made.columns:
        column.no_wrap = column.header != "settings"
    previous = comparison.test_sets[0]
    for run, test_set, group in zip(comparison.runs, comparison.test_sets, comparison.groups, strict=True):
        if comparison.ranked_within_test_sets and test_set != previous:
            made.add_section()
        previous = test_set
        styles = ("bold" if column.is_best(run, comparison) else "" for column in columns)
        made.add_row(*map(cell, (column.cell(run, group, comparison) for column in columns), styles))
    return made


def _caption(comparison: Comparison, shared: dict[str, str], hidden: Sequence[str]) -> list[str]:
    lines = []
    if shared:
        lines.append("all: " + ", ".join(f"{name} {value}" for name, value in shared.items()))
    if len(sets := dict.fromkeys(comparison.test_sets)) > 1:
        listed = ", ".join(list(sets)[:SHOWN_SETS])
        more = f" and {len(sets) - SHOWN_SETS} more" if len(sets) > SHOWN_SETS else ""
        lines.append(
            f"Accuracies may be ranked within one test set only; there are {len(sets)}: {listed}{more}; "
            "the best of each is bold."
        )
    if comparison.differences:
        lines.append("Times may be ranked within one letter only; the letters differ in:")
        differences = list(comparison.differences.items())
        lines += [f"  {letter}: {what}" for letter, what in differences[:SHOWN_CONDITIONS]]
        if len(differences) > SHOWN_CONDITIONS:
            lines.append(f"  and {len(differences) - SHOWN_CONDITIONS} more (--json has all)")
    if hidden:
        lines.append("left out at this width: " + ", ".join(hidden) + " (--format csv has everything)")
    return lines


def records(comparison: Comparison) -> list[dict[str, Any]]:
    """One flat record a run: every setting in force and every metric, keyed as MLflow's parameters and metrics."""
    return [
        {
            "run_id": run.run_id,
            "run_name": run.name,
            "status": run.status,
            "started_at": run.started_at.isoformat(timespec="seconds"),
            "device": run.tags.get("cvexp.device", ""),
            "device_name": run.tags.get("cvexp.device_name", ""),
            "comparability_key": run.comparability_key,
            "conditions": group,
            "test_set": test_set,
            "best_of_test_set": run.run_id in comparison.best,
            "params": run.settings,
            "metrics": dict(run.metrics),
        }
        for run, test_set, group in zip(comparison.runs, comparison.test_sets, comparison.groups, strict=True)
    ]


def document(comparison: Comparison) -> dict[str, Any]:
    """The result for `--json`."""
    return {
        "sort": comparison.sort,
        "runs": records(comparison),
        "conditions": comparison.differences,
        "notes": list(comparison.notes),
    }


def to_csv(comparison: Comparison) -> str:
    """A row a run with every parameter and metric, at full precision; no text cell can start a formula."""
    rows = [
        {
            **{key: value for key, value in record.items() if not isinstance(value, dict)},
            **{f"params.{key}": value for key, value in record["params"].items()},
            **{f"metrics.{key}": value for key, value in record["metrics"].items()},
        }
        for record in records(comparison)
    ]
    header = list(dict.fromkeys(key for row in rows for key in row))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, header, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: inert(value) for key, value in row.items()} for row in rows)
    return stream.getvalue()


def to_markdown(comparison: Comparison) -> str:
    """The table, with every column, as Markdown."""
    columns = _columns(comparison.runs)
    lines = [
        "| " + " | ".join(column.name for column in columns) + " |",
        "|" + "|".join("---:" if column.header.startswith(">") else "---" for column in columns) + "|",
    ]
    for run, group in zip(comparison.runs, comparison.groups, strict=True):
        marks = ("**" if column.is_best(run, comparison) else "" for column in columns)
        cells = (markdown(column.cell(run, group, comparison)) for column in columns)
        lines.append("| " + " | ".join(f"{mark}{text}{mark}" for mark, text in zip(marks, cells, strict=True)) + " |")
    caption = _caption(comparison, {}, [])
    lines += ["", *(f"{markdown(line)}  " for line in caption)] if caption else []
    return "\n".join(lines) + "\n"
