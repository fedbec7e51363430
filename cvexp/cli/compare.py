"""`cvexp compare`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cvexp.cli import options
from cvexp.config.model import names_code
from cvexp.runs import IMPORTED, shortest_selector
from cvexp.settings import StoreSettings, store_settings

if TYPE_CHECKING:
    from cvexp.jobs.compare import Comparison

_RUNS = "Runs to compare, each as for evaluate, of any experiment; without any, all runs of the experiment."
_GROUP = "Put runs that differ in nothing but their seed into one row, or show each run."
_BY = "What verdicts, front and pick are about; in balanced-accuracy each class counts the same, whatever its size."
_SORT = (
    "accuracy, balanced-accuracy, macro-f1, loss, val-accuracy, seconds, latency, speed, parameters, started, or a "
    "metric's key; the best first. Without it, as --by."
)
_LAST = "Only the most recently started so many."
_WHERE = "Only the runs that MLflow's filter selects: 'params.model = \"tinyvgg\"'."
_AT = "Figures after the last epoch, each run's best one (by validation, else test), or an epoch: last, best, 3."
_VIEW = "Which columns: accuracy, speed, size or all."
_COLUMNS = "Which columns, by name or metric key: model,accuracy,latency_ms,run."
_FRONT = (
    "What the Pareto front weighs up. Without it, accuracy and latency, or training time where there are no latencies."
)
_MARGIN = "Differences of accuracy below so many percentage points count as none."
_BUDGET = 'Pick the fastest of the most accurate models within limits: "latency_ms<1, bytes<100k".'
_PICK = "Pick one also without a budget."
_FORMAT = "How to print; html is one file to send around: cvexp compare --format html > report.html."
_PLOT = "Draw accuracy against training time and against latency, with intervals and the front, to this file."

_EXPORTS = "Also show the exported files that `cvexp export` timed, each as an entry beside its run."
_PUBLISH = "Store report and picture with the newest of the runs, and link them from the experiment in MLflow."


class Format(StrEnum):
    """How the comparison is printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    MD = "md"
    HTML = "html"


def compare(
    runs: Annotated[list[str] | None, typer.Argument(help=_RUNS, show_default=False)] = None,
    *,
    group: Annotated[bool, typer.Option("--group/--no-group", help=_GROUP)] = True,
    by: Annotated[options.By, typer.Option(help=_BY)] = options.By.ACCURACY,
    sort: Annotated[str | None, typer.Option(help=_SORT)] = None,
    last: Annotated[int | None, typer.Option(min=1, help=_LAST)] = None,
    where: Annotated[str | None, typer.Option(help=_WHERE)] = None,
    at: Annotated[str, typer.Option(help=_AT)] = "last",
    view: Annotated[str | None, typer.Option(help=_VIEW)] = None,
    columns: Annotated[str | None, typer.Option(help=_COLUMNS)] = None,
    front: Annotated[str | None, typer.Option(help=_FRONT)] = None,
    margin: Annotated[float, typer.Option(help=_MARGIN)] = 0.5,
    budget: Annotated[str | None, typer.Option(help=_BUDGET)] = None,
    pick: Annotated[bool, typer.Option("--pick", help=_PICK)] = False,
    exports: Annotated[bool, typer.Option("--exports", help=_EXPORTS)] = False,
    output: Annotated[Format, typer.Option("--format", help=_FORMAT)] = Format.TABLE,
    plot: Annotated[Path | None, typer.Option(help=_PLOT)] = None,
    publish_it: Annotated[bool, typer.Option("--publish", help=_PUBLISH)] = False,
    data_dir: options.DataDir = None,
    tracking_uri: options.TrackingUri = None,
    experiment: options.Experiment = None,
    as_json: options.Json = False,
) -> None:
    """Compare runs on accuracy and speed, and say which differences are more than luck.

    Runs that differ in nothing but their seed are one row: the mean, and half of its 95% interval. Accuracies are
    ranked within one test set. Training times are ranked only among runs under the same conditions (device, threads,
    step runner, versions, batch size, epochs, data, augmentation, cached features); where conditions differ, each time
    carries the letter of its own.
    Two runs or groups that are named alone are compared in detail.
    """
    from cvexp.comparison.request import Request
    from cvexp.jobs.compare import run as job
    from cvexp.report import compare as report
    from cvexp.report.terminal import hint, print_json, suggest

    request = Request(
        by=by.value,
        sort=sort,
        last=last,
        where=where,
        repeats=group,
        at=at,
        columns=None if columns is None else tuple(columns.split(",")),
        view=view,
        front=None if front is None else tuple(front.split(",")),
        margin=margin / 100,
        budget=budget,
        pick=pick,
        exports=exports,
    )
    store = store_settings(tracking_uri, experiment, data_dir)
    comparison = job(runs or [], store, request=request, plot=plot)
    if as_json or output is Format.JSON:
        print_json(report.document(comparison))
    elif output is Format.CSV:
        sys.stdout.write(report.to_csv(comparison))
    elif output is Format.MD:
        sys.stdout.write(report.to_markdown(comparison))
    elif output is Format.HTML:
        from cvexp.report.html import to_html

        sys.stdout.write(to_html(comparison, made_at=datetime.now(UTC)))
    else:
        report.show(comparison)
    if comparison.plot is not None:
        hint(f"drawn to {comparison.plot}")
    if publish_it:
        run_id = publish(comparison, store)
        hint(f"stored as comparison/report.html with run {shortest_selector(run_id, '')}")
    if not as_json and output is Format.TABLE:
        suggest(*commands_after(comparison, store))


def publish(comparison: Comparison, store: StoreSettings) -> str:
    """Store the report and the picture with the newest run of a comparison, and give the run's id; see jobs.publish."""
    from cvexp.jobs.publish import run
    from cvexp.report.html import to_html

    return run(comparison, store, html=to_html(comparison, made_at=datetime.now(UTC)))


def commands_after(comparison: Comparison, store: StoreSettings) -> list[str]:
    """What may be typed after a comparison."""
    if not comparison.runs:
        return [store.command("train", "linear")]
    first = comparison.runs[0]
    # A model that is a factory has to be named by someone who trusts it, not by what the store says.
    unique = sum(run.name == first.name for run in comparison.runs) == 1
    evaluate = ("evaluate", shortest_selector(first.run_id, first.name, unique=unique))
    closed = names_code(first.params.get("model", "")) or IMPORTED in first.tags  # an imported run has no weights
    shown = [] if closed else [store.command(*evaluate)]
    return [*shown, store.command("compare", "--plot", "compare.png")]
