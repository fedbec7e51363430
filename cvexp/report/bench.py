"""How times of models are shown: a table for each size of batch, and in words which of them is the fastest."""

import math
from dataclasses import asdict
from typing import Any

from rich.measure import Measurement
from rich.table import Table

from cvexp.inference.latency.figures import Measured
from cvexp.inference.latency.procedure import Limits
from cvexp.inference.latency.times import BatchTimes, ModelTimes
from cvexp.jobs.bench import BenchedModel, BenchResult
from cvexp.report.terminal import cell, console, hint, say, table

TIMED = (
    "whole calls, from uint8 test images in the device's memory to float32 logits there, scaling of the pixels "
    "included; stored weights, evaluation mode, no gradients"
)
CLOSE = 2
"""Ratios below this are shown with three digits after the point."""

NEIGHBOURS = 0.2
"""CPUs that other programs may use, on average, without a word."""

NAME_WIDTH, UNLIMITED = 20, 1000
"""Columns of a terminal that a name gets at the least, and in which every table fits."""

DROPPED = {True: ("p99", "first", "images/s", "±95%", "p90"), False: ("p99", "first", "p90", "±95%", "images/s")}
"""Columns that a narrow terminal does without, the first one first: for one image a call, and for more."""


def show(result: BenchResult) -> None:
    """Print the tables, what they say about which model is the fastest, and what was timed, where and how."""
    for times in result.batches:
        order = times.order
        say("1 image a call" if times.batch == 1 else f"{times.batch:,} images a call", "bold")
        console().print(_fitting(result, times, order))
        if verdict := _verdict(result, times, order):
            say(verdict)
        say("")
    say(f"timed: {TIMED}", "dim")
    say(_conditions(result), "dim")
    hint(*(one.note for one in result.models), _unsettled(result), _machine(result))
    hint(*(f"logged to run {one.name}" for one in result.models if one.logged))


def _conditions(result: BenchResult) -> str:
    """Where and how the models ran."""
    scope = f"means of {len(result.processes)} new processes" if result.processes else "in this process, now"
    threads = "1 thread" if result.threads == 1 else f"{result.threads} threads"
    formats = dict.fromkeys(one.memory_format for one in result.models if one.memory_format)
    layout = [f"{' or '.join(formats)} memory"] if formats else []
    return f"on {result.device}: {', '.join([result.device_name, threads, *layout])}; {scope}"


def _fitting(result: BenchResult, times: BatchTimes, order: list[int]) -> Table:
    """The table with as many columns as fit."""
    shown = console()
    foldable = max(0, max(len(one.name) for one in result.models) - NAME_WIDTH)
    dropped = DROPPED[times.batch == 1]
    for n_dropped in range(len(dropped) + 1):
        made = _table(result, times, order, without=dropped[:n_dropped])
        if Measurement.get(shown, shown.options.update(width=UNLIMITED), made).maximum - foldable <= shown.width:
            break
    return made


def _table(result: BenchResult, times: BatchTimes, order: list[int], *, without: tuple[str, ...]) -> Table:
    several = len(order) > 1
    columns = [*(["rank"] if several else []), "p50, ms", "±95%", "p90", "p99", "first", "images/s"]
    columns = [name for name in columns if name not in without] + (["times the fastest"] if several else [])
    made = table("model", *(f">{name}" for name in columns))
    made.columns[0].overflow = "fold"
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


def _relative(estimate: Measured) -> str:
    """The larger side of an interval, in percent of the figure."""
    if estimate.low is None or estimate.high is None:
        return "-"
    side = max(estimate.high / estimate.value, estimate.value / estimate.low) - 1
    return f"{side:.1%}" if side <= 1 else ">100%"


def _bounds(estimate: Measured) -> str:
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
            f"machine busy: {times.n_clean_rounds} of {times.n_rounds} rounds did not wait for a core, and "
            f"{Limits().rounds} are needed; figures are of all rounds{ranked}"
        )
    if len(order) == 1:
        return ""
    names = [result.models[index].name for index in order]
    first = [index for index in order if times.rank(index) == 1]
    if len(first) == 1:
        second = times.ratio(order[1], order[0]).times
        return f"{names[0]} is the fastest; {names[1]} takes {_bounds(second)} times as long"
    return f"cannot tell which is the fastest: {', '.join(result.models[index].name for index in first)}"


def _machine(result: BenchResult) -> str | None:
    """What other programs did meanwhile, and what to do; None where they did next to nothing.

    Beside a program on another core a model may take half as long again, though it never waits: cores share caches,
    memory and, as hyper-threads, their arithmetic.
    """
    if not result.busy:
        if (result.others or 0) < NEIGHBOURS:
            return None
        return (
            f"other programs used {result.others:.1f} CPUs meanwhile: figures of this command compare with each other, "
            "and with those of other commands only roughly"
        )
    found = [] if result.others is None else [f"other programs used {result.others:.1f} CPUs"]
    if result.steal:
        found.append(f"the host took {result.steal:.1%} of the CPU time")
    if str(result.machine):
        found.append(f"at the start: {result.machine}")
    return f"measure again when the machine is idle ({'; '.join(found)})"


def _unsettled(result: BenchResult) -> str | None:
    """Which models did not reach a steady time before their figures counted."""
    times = [model for one in result.batches for model in zip(result.models, one.models, strict=True)]
    names = dict.fromkeys(model.name for model, figures in times if not figures.settled)
    return f"times had not settled when the warm-up ended: {', '.join(names)}" if names else None


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
        "machine": {**asdict(result.machine), "others": result.others, "steal": result.steal},
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
            "p95": figures.p95.value,
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
