"""How an experiment file's plan and outcome are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cvexp.report import compare as report_compare
from cvexp.report.terminal import cell, console, hint, table
from cvexp.results import Metric

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cvexp.jobs.experiment import ExperimentResult, Plan, Step

FORMS = {Metric.TRAIN_SECONDS.value: "{:,.1f} s", Metric.TRAIN_LOSS.value: "{:.5f}", Metric.TEST_LOSS.value: "{:.5f}"}


def show_plan(plan: Plan) -> None:
    """Print what would be trained, and what is trained already."""
    made = table(("", "right"), ("model", "left"), ("dataset", "left"), ("settings", "left"), ("state", "left"))
    for n, step in enumerate(plan.steps, 1):
        config = step.planned.config
        state = f"trained: {step.done.name}" if step.done else "to train"
        if step.interrupted:
            state = f"to resume: {step.interrupted.name}"
        made.add_row(str(n), cell(config.model), cell(config.dataset), cell(_settings(step)), cell(state))
    console().print(made)
    waiting = sum(step.done is None for step in plan.steps)
    hint(f"{waiting} of {len(plan.steps)} configurations would be trained")


def _settings(step: Step) -> str:
    """The settings that differ from the defaults, as `name=value`."""
    from cvexp.config import RunConfig

    config = step.planned.config
    usual = RunConfig(model=config.model, dataset=config.dataset).params()
    return " ".join(
        f"{name.removeprefix('model_args.')}={value}"
        for name, value in config.params().items()
        if usual.get(name) != value
    )


def skipped(step: Step) -> None:
    """Say that a configuration is trained already."""
    if step.done is not None:
        hint(f"trained already: {step.done.name} ({step.done.run_id})")


def show(result: ExperimentResult) -> None:
    """Print the comparison, and published figures beside ours where the file gives any."""
    report_compare.show(result.comparison)
    by_id = {run.run_id: run for run in result.comparison.runs}
    rows = [
        (run_id, key, published)
        for step, run_id in zip(result.steps, result.run_ids, strict=True)
        for key, published in step.planned.published.items()
    ]
    if rows:
        made = table(
            ("run", "left"), ("figure", "left"), ("here", "right"), ("published", "right"), ("difference", "right")
        )
        previous = None
        for run_id, key, published in rows:
            run = by_id[run_id]
            if previous not in (None, run_id):
                made.add_section()
            ours = run.metrics.get(key)
            made.add_row(
                cell(run.name if run_id != previous else ""),
                cell(key),
                "-" if ours is None else _form(key, ours),
                _form(key, published),
                "-" if ours is None else _difference(key, ours, published),
            )
            previous = run_id
        console().print(made)
    if result.comparison.plot is not None:
        hint(f"drawn to {result.comparison.plot}")
    hint(f"{result.trained} of {len(result.steps)} configurations were trained now")


def _form(key: str, value: float) -> str:
    if key.endswith("accuracy"):
        return f"{value:.2%}"
    return FORMS.get(key, "{:g}").format(value)


def _difference(key: str, ours: float, published: float) -> str:
    """Accuracy in percentage points; times of another machine are not compared."""
    if key.endswith("accuracy"):
        return f"{100 * (ours - published):+.2f} points"
    if key.startswith(("time/", "throughput/")):
        return "another machine"
    return f"{ours - published:+.5f}"


def plan_document(plan: Plan) -> dict[str, Any]:
    """The plan for `--json`."""
    return {"file": str(plan.path), "runs": [_step(step) for step in plan.steps]}


def document(result: ExperimentResult) -> dict[str, Any]:
    """The outcome for `--json`."""
    return {
        "trained": result.trained,
        "runs": [{**_step(step), "run_id": run_id} for step, run_id in zip(result.steps, result.run_ids, strict=True)],
        "comparison": report_compare.document(result.comparison),
        "plot": str(result.comparison.plot) if result.comparison.plot else None,
    }


def _step(step: Step) -> Mapping[str, Any]:
    return {
        "params": step.planned.config.params(),
        "name": step.planned.name,
        "published": dict(step.planned.published),
        "trained_already_as": step.done.run_id if step.done else None,
        "interrupted_run": step.interrupted.run_id if step.interrupted else None,
    }
