"""cvexp's engine against the course's loop: an epoch of training and evaluation, and evaluation alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from benchmarks.measure import Contender, Row, in_turns, save, steady, table
from benchmarks.tasks import Answer, Task

if TYPE_CHECKING:
    from collections.abc import Callable

EPOCHS, FAST_EPOCHS = {"tinyvgg": 3}, 12
"""Of tinyvgg, and of models whose epochs take cvexp a fifth of a second: a few of those are over before a processor
has its pace."""

AGREEMENT = 0.02
"""Accuracies of contenders that did the same work may differ by so much; summation order differs."""


def run(*, models: list[str], repeats: int, threads: int, limit: int | None, name: str) -> None:
    """Measure, print the tables, and write them to `benchmarks/results/`."""
    tables: dict[str, list[Row]] = {}
    for model in models:
        task = Task(model=model, epochs=EPOCHS.get(model, FAST_EPOCHS), threads=threads, limit=limit)
        contenders = [Contender(name="course loop", module="course", task=task), *cvexp_runners(task)]
        answers = in_turns(contenders, repeats=repeats)
        if limit is None:
            check_agreement(answers)
        tables[f"{model}: epoch, training and evaluation"] = rows(answers, lambda t, e: t + e)
        tables[f"{model}: training pass"] = rows(answers, lambda t, _: t)
        tables[f"{model}: evaluation pass"] = rows(answers, lambda _, e: e)
    for title, measured in tables.items():
        print(f"\n{title}\n\n{table(measured, baseline='course loop')}")
    print(f"\nwritten to {save(name, tables)}")


def cvexp_runners(task: Task) -> list[Contender]:
    """The engine as a user gets it."""
    eager = replace(task, options={"step": "eager"})
    return [
        Contender(name="cvexp", module="cvexp_engine", task=task),
        Contender(name="cvexp, eager steps", module="cvexp_engine", task=eager),
    ]


def rows(answers: dict[str, list[Answer]], figure: Callable[[float, float], float]) -> list[Row]:
    """One figure of every contender, per repetition."""
    return [Row(name=name, samples=[figure(*steady(a)) for a in measured]) for name, measured in answers.items()]


def check_agreement(answers: dict[str, list[Answer]]) -> None:
    """Stop where contenders did not reach the same accuracy: then they did not do the same work."""
    accuracies = {name: measured[0].test_accuracy for name, measured in answers.items()}
    if max(accuracies.values()) - min(accuracies.values()) > AGREEMENT:
        raise SystemExit(f"the contenders disagree: {accuracies}")
