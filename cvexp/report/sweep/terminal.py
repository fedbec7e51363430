"""A sweep's outcome: the table of trials, and the best ones with fresh seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cvexp.config.option import as_typed
from cvexp.config.stored import typed_words
from cvexp.report.pace import about
from cvexp.report.sweep.words import SHORT, name_of, point_of, shown_figure, state_of, value_of
from cvexp.report.terminal import cell, console, hint, say, table
from cvexp.results import Metric
from cvexp.runs import shortest_selector

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cvexp.config.sweep import Sweep
    from cvexp.jobs.sweep import SweepResult
    from cvexp.jobs.sweep_confirm import Confirmed
    from cvexp.jobs.sweep_plan import Outlook
    from cvexp.jobs.trials import Trial
    from cvexp.stats import Interval

MOST_ROWS = 60
MOST_FAILED = 5
UPCOMING = 10
"""Points that a dry run lists."""

_ORDER = {"finished": 0, "pruned": 1, "running": 2, "elsewhere": 2, "interrupted": 3, "failed": 4}


def show(result: SweepResult) -> None:
    """Print the trials, the best first, and what the best ones did with fresh seeds, on stdout."""
    console().print(_trials_table(result))
    for line in _outcome(result):
        say(line)
    if result.confirmed is not None:
        console().print(_candidates_table(result.confirmed, result.plan.sweep))
        for line in _verdict(result.confirmed, result.plan.sweep, n_tried=len(result.trials)):
            say(line)
    hint(*_notes(result))


def _trials_table(result: SweepResult) -> Any:
    sweep, costs = result.plan.sweep, {key: values[1:] for key, values in result.values.items()}
    names = _varying(result.trials, sweep)
    keys = list(dict.fromkeys([sweep.goal.figure, Metric.VAL_ACCURACY.value, Metric.VAL_LOSS.value]))
    made = table(
        ">trial",
        *names,
        *(f">{SHORT[key]}" for key in keys),
        *(f">{SHORT[g.figure]}" for g in sweep.goals[1:]),
        "state",
    )
    rank = {one.key: n for n, one in enumerate(result.best)}
    sign = -1 if sweep.goal.maximize else 1

    def position(one: Trial) -> tuple[int, int, float]:
        return _ORDER.get(one.state, 5), rank.get(one.key, len(rank)), sign * one.metrics.get(sweep.goal.figure, 0.0)

    for one in sorted(result.trials, key=position)[:MOST_ROWS]:
        figures = [shown_figure(key, one.metrics[key]) if key in one.metrics else "-" for key in keys]
        more = [
            shown_figure(g.figure, value) for g, value in zip(sweep.goals[1:], costs.get(one.key, ()), strict=False)
        ]
        more += ["-"] * (len(sweep.goals) - 1 - len(more))
        style = "bold" if rank.get(one.key) == 0 else ""
        values = [value_of(one.point[name]) for name in names]
        made.add_row(*(cell(text, style) for text in (one.number, *values, *figures, *more, state_of(one))))
    return made


def _varying(trials: Sequence[Trial], sweep: Sweep) -> list[str]:
    return [name for name in sweep.space if len({as_typed(one.point[name]) for one in trials}) > 1]


def _outcome(result: SweepResult) -> list[str]:
    """Which trial was selected, out of how many, and that its own figure is no estimate."""
    sweep, n = result.plan.sweep, len(result.trials)
    figure, best = sweep.goal.figure, result.best[0]
    selected = f"{figure} {shown_figure(figure, best.values[0])}"
    lines = []
    if len(sweep.goals) > 1:
        names = ", ".join(str(one.number) for one in result.best)
        cost = sweep.goals[1].figure
        lines.append(
            f"Not beaten on both {figure} and {cost}, of {n} tried: trial{'s' * (len(result.best) > 1)} {names}."
        )
    if result.confirmed is None:
        lines.append(
            f"Selected: trial {best.number}, the best of {n} tried, at {selected}; being the best of many, it looks "
            "better than it is."
        )
    return lines


def _candidates_table(confirmed: Confirmed, sweep: Sweep) -> Any:
    figure = sweep.goal.figure
    made = table(">trial", ">selected at", ">confirmed at", ">95% interval", ">seeds", "")
    for one in confirmed.candidates:
        over, n = one.confirmed_at, sum(trial.ended for trial in one.repeats)
        mean = "-" if over is None else shown_figure(figure, over.mean)
        note = (
            "pick" if one is confirmed.pick else "" if n == len(one.repeats) else f"{len(one.repeats) - n} did not end"
        )
        row = (one.trial.number, shown_figure(figure, one.selected_at), mean, _interval(over, figure), n, note)
        made.add_row(*(cell(text, "bold" if one is confirmed.pick else "") for text in row))
    return made


def _interval(over: Interval | None, figure: str) -> str:
    if over is None or over.low is None or over.high is None:
        return "-"
    low, high = (max(0.0, over.low), min(1.0, over.high)) if figure.endswith("accuracy") else (over.low, over.high)
    return f"{shown_figure(figure, low)} to {shown_figure(figure, high)}"  # t knows no bounds


def _verdict(confirmed: Confirmed, sweep: Sweep, *, n_tried: int) -> list[str]:
    """The pick, where it was selected and confirmed, against the others, and on the test images."""
    lines, pick, figure = [], confirmed.pick, sweep.goal.figure
    if pick is not None and pick.confirmed_at is not None:
        lines.append(f"Pick: trial {pick.trial.number}: {point_of(sweep, pick.trial.point)}.")
        if len(sweep.goals) > 1:
            cost = sweep.goals[1].figure
            lines.append(f"It has the fewest {cost} of those that are not shown to be less accurate than the best.")
        lines.append(
            f"{figure}: selected at {shown_figure(figure, pick.selected_at)} of {n_tried} tried, confirmed at "
            f"{shown_figure(figure, pick.confirmed_at.mean)} by the mean of {pick.confirmed_at.n} fresh seeds."
        )
    lines += confirmed.sentences
    if confirmed.test is not None:
        interval = "" if confirmed.test.low is None else f" (95% {_interval(confirmed.test, 'val/accuracy')})"
        again = f"; {confirmed.n_tested} picks have been measured on them" if confirmed.n_tested > 1 else ""
        lines.append(
            f"Test accuracy of the pick: {confirmed.test.mean:.2%}{interval}, the mean of {confirmed.test.n} "
            f"fresh seeds; nothing was chosen by these images{again}."
        )
    return lines


def _notes(result: SweepResult) -> list[str]:
    sweep, n = result.plan.sweep, len(result.trials)
    notes = [*result.notes]
    notes += [f"{name_of(one)} failed: {one.reason or 'no reason was recorded'}" for one in result.failed[:MOST_FAILED]]
    if len(result.failed) > MOST_FAILED:
        notes.append(f"{len(result.failed) - MOST_FAILED} more failed: see --json")
    if result.failed:
        retry = result.plan.settings.command("run", str(result.plan.path), "--retry-failed")
        notes.append(f"try them again: {retry}")
    if result.confirmed is not None and result.confirmed.trouble:
        notes.append(f"not confirmed: {result.confirmed.trouble}")
    if n > MOST_ROWS:
        notes.append(f"{n - MOST_ROWS} more trials: see --json")
    if result.exhausted and (sweep.runs is None or n < sweep.runs):
        notes.append(f"every point of the space was tried: {n}")
    notes.append(
        f"{result.trained} runs were trained now; {n} trials took {about(60 * result.minutes)} over all starts"
    )
    return notes


def next_commands(result: SweepResult) -> list[str]:
    """What may be typed next: look at the pick, or repeat the best trial with fresh seeds."""
    settings, confirmed = result.plan.settings, result.confirmed
    if confirmed is not None and confirmed.pick is not None:
        run = confirmed.pick.repeats[0]
        if len(result.plan.sweep.goals) > 1:  # what it costs in time is measured alone, afterwards
            firsts = [one.repeats[0] for one in confirmed.candidates]
            names = [shortest_selector(one.run_id, one.run_name) for one in firsts]
            return [settings.command("bench", *names), settings.command("ui")]
        return [settings.command("confmat", shortest_selector(run.run_id, run.run_name)), settings.command("ui")]
    trial = result.trial(result.best[0].key)
    words = typed_words(result.plan.sweep.config(trial.point))
    at = words.index("--seed")
    fresh = ",".join(str(trial.seed + n) for n in range(1, 6))
    return [settings.command("train", *words[:at], *words[at + 2 :], "--seeds", fresh), settings.command("ui")]


def show_outlook(found: Outlook) -> None:
    """Print what a sweep has, and which points come next."""
    sweep, trials = found.plan.sweep, sorted(found.known.trials.values(), key=lambda one: one.number)
    made = table(">trial", "point", "state")
    for one in trials:
        made.add_row(str(one.number), cell(point_of(sweep, one.point)), cell(state_of(one)))
    for point in found.points:
        made.add_row("", cell(point_of(sweep, point)), "to train")
    console().print(made)
    budget = [f"{sweep.runs} trials"] if sweep.runs else []
    budget += [f"{sweep.minutes:g} minutes of trials"] if sweep.minutes else []
    hint(f"{len(trials)} trials so far; the budget is {' or '.join(budget) or 'every point of the grid'}")
    if sweep.search == "tpe" and (sweep.runs is None or len(trials) < sweep.runs):
        hint("which points come next depends on figures to come")
