"""How an experiment file's plan and outcome are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cvexp.config import RunConfig
from cvexp.report import compare as report_compare
from cvexp.report.terminal import cell, console, hint, table
from cvexp.results import Metric

if TYPE_CHECKING:
    from cvexp.jobs.experiment import ExperimentResult, Plan
    from cvexp.jobs.plan import Step
    from cvexp.runs import RunSummary

FORMS = {Metric.TRAIN_SECONDS.value: "{:,.1f} s", Metric.TRAIN_LOSS.value: "{:.5f}", Metric.TEST_LOSS.value: "{:.5f}"}


def show_plan(plan: Plan) -> None:
    """Print what would be trained, and what is trained already."""
    made = table(">", "model", "dataset", ">seed", "settings", "state")
    for n, step in enumerate(plan.steps, 1):
        config = step.planned.config
        state = f"trained: {step.done.name}" if step.done else "to train"
        if step.interrupted:
            state = f"to resume: {step.interrupted.name}"
        trained_as = (config.model, config.dataset, config.seed, _settings(step), state)
        made.add_row(str(n), *map(cell, trained_as))
    console().print(made)
    waiting = sum(step.done is None for step in plan.steps)
    hint(f"{waiting} of {len(plan.steps)} runs would be trained")


def _settings(step: Step) -> str:
    """The settings but the seed that differ from the defaults, as `name=value`."""
    config = step.planned.config
    usual = RunConfig(model=config.model, dataset=config.dataset).params()
    chosen = {name: value for name, value in config.params().items() if name != "seed" and usual.get(name) != value}
    return " ".join(f"{name.removeprefix('model_args.')}={value}" for name, value in chosen.items())


def show(result: ExperimentResult) -> None:
    """Print the comparison, and published figures beside ours where the file gives any."""
    report_compare.show(result.comparison)
    by_id = {run.run_id: run for run in result.comparison.runs}
    repeats: dict[str, list[tuple[Step, RunSummary]]] = {}
    for step, run_id in zip(result.steps, result.run_ids, strict=True):
        repeats.setdefault(step.recipe, []).append((step, by_id[run_id]))
    made = table("run", "figure", ">here", ">published", ">difference")
    for members in repeats.values():
        step, first = members[0]
        name = first.name if len(members) == 1 else f"{first.name} and {len(members) - 1} more, mean"
        for n, (key, published) in enumerate(step.planned.published.items()):
            ours = [run.metrics[key] for _, run in members if key in run.metrics]
            mean = sum(ours) / len(ours) if ours else None
            here = ("-", "-") if mean is None else (_form(key, mean), _difference(key, mean, published))
            made.add_row(cell("" if n else name), cell(key), here[0], _form(key, published), here[1])
        made.add_section()
    if made.rows:
        console().print(made)
    hint(f"drawn to {result.comparison.plot}" if result.comparison.plot else None)
    hint(f"{result.trained} of {len(result.steps)} runs were trained now")


def _form(key: str, value: float) -> str:
    return (FORMS.get(key, "{:g}") if not key.endswith("accuracy") else "{:.2%}").format(value)


def _difference(key: str, ours: float, published: float) -> str:
    """Accuracy in percentage points; times of another machine are not compared."""
    if key.endswith("accuracy"):
        return f"{100 * (ours - published):+.2f} points"
    return "another machine" if key.startswith(("time/", "throughput/")) else f"{ours - published:+.5f}"


def plan_document(plan: Plan) -> dict[str, Any]:
    """The plan for `--json`."""
    return {"file": plan.path, "runs": [_step(step) for step in plan.steps]}


def document(result: ExperimentResult) -> dict[str, Any]:
    """The outcome for `--json`."""
    return {
        "trained": result.trained,
        "runs": [{**_step(step), "run_id": run_id} for step, run_id in zip(result.steps, result.run_ids, strict=True)],
        "comparison": report_compare.document(result.comparison),
        "plot": result.comparison.plot,
    }


def _step(step: Step) -> dict[str, Any]:
    return {
        "params": step.planned.config.params(),
        "name": step.planned.name,
        "published": step.planned.published,
        "trained_already_as": step.done.run_id if step.done else None,
        "interrupted_run": step.interrupted.run_id if step.interrupted else None,
    }
