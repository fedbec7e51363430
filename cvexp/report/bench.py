"""How times of models are shown: a table for each size of batch, and in words which of them is the fastest."""

import math
from dataclasses import asdict
from typing import Any

from rich.measure import Measurement
from rich.table import Table

from cvexp.inference.latency.figures import Estimate
from cvexp.inference.latency.procedure import Limits
from cvexp.inference.latency.times import BatchTimes, ModelTimes
from cvexp.jobs.bench import BenchedModel, BenchResult
from cvexp.report.terminal import cell, console, hint, say, table

TIMED = (
    "timed: whole calls, from uint8 test images in the device's memory to float32 logits there, scaling of the pixels "
    "included; stored weights, evaluation mode, no gradients"
)
CLOSE = 2
"""Ratios below this are shown with three digits after the point."""

DROPPED = ("p99", "first", "p90", "images/s", "±95%")
"""Columns that a narrow terminal does without, the first one first."""


def show(result: BenchResult) -> None:
    """Print the tables, what they say about which model is the fastest, and what was timed, where and how."""
    for times in result.batches:
        order = sorted(range(len(result.models)), key=lambda index, times=times: times.models[index].p50.value)
        console().print(_fitting(result, times, order))
        say(_verdict(result, times, order))
    scope = f"means of {len(result.processes)} new processes" if result.processes else "in this process, now"
    threads = f"{result.threads} thread{'s' * (result.threads > 1)}"
    formats = ", ".join(dict.fromkeys(one.memory_format for one in result.models if one.memory_format))
    say(TIMED, "dim")
    say(f"on {result.device}: {result.device_name}, {threads}{f', {formats}' * bool(formats)}; {scope}", "dim")
    hint(*(one.note for one in result.models), _machine(result) if result.busy else None, *map(_place, result.models))


def _fitting(result: BenchResult, times: BatchTimes, order: list[int]) -> Table:
    """The table with as many columns as fit."""
    shown = console()
    for n_dropped in range(len(DROPPED) + 1):
        made = _table(result, times, order, without=DROPPED[:n_dropped])
        if Measurement.get(shown, shown.options, made).minimum <= shown.width:
            break
    return made


def _table(result: BenchResult, times: BatchTimes, order: list[int], *, without: tuple[str, ...]) -> Table:
    several = len(order) > 1
    columns = [*(["rank"] if several else []), "p50, ms", "±95%", "p90", "p99", "first", "images/s"]
    columns = [name for name in columns if name not in without] + (["times the fastest"] if several else [])
    images = "1 image" if times.batch == 1 else f"{times.batch:,} images"
    made = table(f"{images} a call", *(f">{name}" for name in columns))
    for column in made.columns[1:]:
        column.no_wrap = True
    for index in order:
        figures = _cells(times, index, order[0])
        made.add_row(cell(result.models[index].name), *(figures[name] for name in columns))
    return made


def _cells(times: BatchTimes, index: int, fastest: int) -> dict[str, str]:
    model = times.models[index]
    return {
        "rank": str(times.rank(index) or "-"),
        "p50, ms": figure(model.p50.value),
        "±95%": _relative(model.p50),
        "p90": figure(model.p90.value),
        "p99": "-" if model.p99 is None else figure(model.p99),
        "first": figure(model.first_call_ms),
        "images/s": f"{model.images_per_second:,.0f}",
        "times the fastest": "1" if index == fastest else _bounds(times.ratio(index, fastest).times),
    }


def figure(value: float) -> str:
    """A positive number with three significant digits, and with all digits before the point."""
    digits = max(0, 2 - math.floor(math.log10(value))) if 0 < value < math.inf else 0
    return f"{value:,.{digits}f}"


def _relative(estimate: Estimate) -> str:
    """The larger side of an interval, in percent of the figure."""
    if estimate.low is None or estimate.high is None:
        return "-"
    return f"{max(estimate.high / estimate.value, estimate.value / estimate.low) - 1:.1%}"


def _bounds(estimate: Estimate) -> str:
    value = f"{estimate.value:.3f}" if estimate.value < CLOSE else figure(estimate.value)
    if estimate.low is None or estimate.high is None:
        return value
    low, high = (f"{one:.3f}" if estimate.value < CLOSE else figure(one) for one in (estimate.low, estimate.high))
    return f"{value} ({low} to {high})"


def _verdict(result: BenchResult, times: BatchTimes, order: list[int]) -> str:
    """Which model is the fastest, or why that cannot be said."""
    if times.busy:
        ranked = ", and no model is ranked" if len(order) > 1 else ""
        return (
            f"machine busy: {times.n_clean_rounds} of {times.n_rounds} rounds did not wait for a core, where "
            f"{Limits().rounds} would do; the figures are those of all rounds{ranked}"
        )
    if len(order) == 1:
        return ""
    names = [result.models[index].name for index in order]
    first = [index for index in order if times.rank(index) == 1]
    if len(first) == 1:
        second = times.ratio(order[1], order[0]).times
        return f"{names[0]} is the fastest; {names[1]} takes {_bounds(second)} times as long"
    return f"cannot tell which is the fastest: {', '.join(result.models[index].name for index in first)}"


def _machine(result: BenchResult) -> str:
    """What the machine did when it was busy, and what to do."""
    found = [] if result.machine.load is None else [f"load {result.machine.load:.1f}"]
    if result.machine.pressure is not None:
        found.append(f"some program waited for a core in {result.machine.pressure:.0f}% of the last 10 s")
    if result.steal:
        found.append(f"the host took {result.steal:.1%} of the CPU time")
    return f"at the start: {', '.join(found)}; measure again when the machine is idle"


def _place(model: BenchedModel) -> str | None:
    return f"logged to run {model.name}" if model.logged else None


def document(result: BenchResult) -> dict[str, Any]:
    """The result for `--json`; times in milliseconds."""
    return {
        "timed": TIMED,
        "results": [
            _result(result, model, times, times.models[index])
            for times in result.batches
            for index, model in enumerate(result.models)
        ],
        "ratios": [
            {
                "a": _identity(result.models[one.a]),
                "b": _identity(result.models[one.b]),
                "batch": times.batch,
                "ratio": one.times.value,
                "low": one.times.low,
                "high": one.times.high,
                "busy": times.busy,
            }
            for times in result.batches
            for one in times.ratios
        ],
        "rounds": [
            {"batch": one.batch, "rounds": one.n_rounds, "clean": one.n_clean_rounds, "seconds": one.seconds}
            for one in result.batches
        ],
        "processes": [[asdict(times) for times in one] for one in result.processes],
        "machine": {**asdict(result.machine), "steal": result.steal},
        "measured_at": result.measured_at,
    }


def _identity(model: BenchedModel) -> str:
    """The run's id, or the file's path."""
    return model.name if model.is_file else model.run_id


def _result(result: BenchResult, model: BenchedModel, times: BatchTimes, figures: ModelTimes) -> dict[str, Any]:
    p50, p90 = figures.p50, figures.p90
    return {
        "run_id": model.run_id,
        "name": model.name,
        "file": model.name if model.is_file else None,
        "device": result.device,
        "device_name": result.device_name,
        "threads": result.threads,
        "memory_format": model.memory_format,
        "batch": times.batch,
        "latency_ms": {
            "p50": p50.value,
            "p90": p90.value,
            "low": p50.low,
            "high": p50.high,
            "p90_low": p90.low,
            "p90_high": p90.high,
            "p99": figures.p99,
        },
        "images_per_second": figures.images_per_second,
        "first_call_ms": figures.first_call_ms,
        "busy": times.busy,
        "calls": figures.n_calls,
        "settled": figures.settled,
        "logged": model.logged,
        "trouble": model.trouble or None,
        "note": model.note,
    }
