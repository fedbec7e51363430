"""The course's loop, cvexp, and other frameworks at the same work, in turns."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from benchmarks.course import check_agreement, cvexp_runners, rows
from benchmarks.measure import Contender, Row, in_turns, save, table
from benchmarks.tasks import Answer, Task

COURSE, CVEXP = "course loop", "cvexp"
PEERS = (
    ("Lightning, torchvision data", "lightning_loop", ("lightning",), {"data": "torchvision"}),
    ("Lightning, data in memory", "lightning_loop", ("lightning",), {"data": "memory"}),
    ("fastai, data in memory", "fastai_learner", ("fastai",), {}),
    ("Keras on JAX, 50 steps per execution", "keras_jax", ("keras", "jax"), {"steps_per_execution": "50"}),
    ("JAX, an epoch per lax.scan", "jax_scan", ("jax",), {}),
)
"""Name, module, packages it needs, options."""


def run(*, models: list[str], repeats: int, threads: int, limit: int | None, name: str) -> None:
    """Measure, print the tables, and write them to `benchmarks/results/`; then stop if accuracies disagree."""
    tables: dict[str, list[Row]] = {}
    answers: dict[str, dict[str, list[Answer]]] = {}
    missing = missing_packages()
    for model in models:
        task = Task(model=model, threads=threads, limit=limit)
        course = Contender(name=COURSE, module="course", task=task)
        answers[model] = in_turns([course, *cvexp_runners(task), *peers(task, missing)], repeats=repeats)
        tables[f"{model}: epoch, training and evaluation"] = rows(answers[model], lambda t, e: t + e)
        tables[f"{model}: training pass"] = rows(answers[model], lambda t, _: t)
        tables[f"{model}: evaluation pass"] = rows(answers[model], lambda _, e: e)
        # Written after every model: a campaign takes hours.
        path = save(name, tables, notes={"figures": figures(answers)})
    for title, measured in tables.items():
        print(f"\n{title}\n\n{both_ratios(measured)}")
    print(f"\nwritten to {path}")
    if limit is None:
        for measured in answers.values():
            check_agreement(measured)


def missing_packages() -> set[str]:
    """The packages that are not installed, each named once on stderr with the command that installs it."""
    needed = {package for _, _, packages, _ in PEERS for package in packages}
    missing = {package for package in needed if find_spec(package) is None}
    for package in sorted(missing):
        print(f"{package} is not installed, so it is left out: uv sync --group benchmarks", file=sys.stderr)
    return missing


def peers(task: Task, missing: set[str]) -> list[Contender]:
    """The peers whose packages are installed, at the same task."""
    return [
        Contender(name=name, module=module, task=Task(**{**vars(task), "options": options}))
        for name, module, packages, options in PEERS
        if not missing.intersection(packages)
    ]


def both_ratios(measured: list[Row]) -> str:
    """The table against the course's loop, with a last column against cvexp."""
    against_course = table(measured, baseline=COURSE).splitlines()
    against_cvexp = table(measured, baseline=CVEXP).splitlines()
    return "\n".join(
        f"{line}{other.split('|')[-2]}|" for line, other in zip(against_course, against_cvexp, strict=True)
    )


def figures(answers: dict[str, dict[str, list[Answer]]]) -> dict[str, dict[str, list[dict[str, object]]]]:
    """What every run answered besides its times: that the work was the same, and in which version."""
    return {
        model: {
            name: [
                {
                    "train_loss": answer.train_loss,
                    "test_accuracy": answer.test_accuracy,
                    "first_epoch_seconds": answer.train_seconds[0] + answer.evaluate_seconds[0],
                    "mib_above_imports": answer.peak_mib - answer.import_mib,
                    "versions": answer.versions,
                }
                for answer in measured
            ]
            for name, measured in by_name.items()
        }
        for model, by_name in answers.items()
    }
