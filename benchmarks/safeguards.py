"""What checkpoints and the journal cost: the loop over the epochs with both and with neither, in turns."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.measure import Contender, Row, in_turns, save, table
from benchmarks.tasks import Task


def run(*, models: list[str], repeats: int, threads: int, limit: int | None, name: str) -> None:
    """Measure, print the tables, and write them to `benchmarks/results/`."""
    tables: dict[str, list[Row]] = {}
    for model in models:
        task = Task(model=model, epochs=3, threads=threads, limit=limit)
        contenders = [
            Contender(
                name=f"safeguards {state}", module="safeguarded", task=replace(task, options={"safeguards": state})
            )
            for state in ("off", "on")
        ]
        answers = in_turns(contenders, repeats=repeats)
        rows = [Row(name=n, samples=[a.train_seconds[0] for a in measured]) for n, measured in answers.items()]
        tables[f"{model}: three epochs, seconds"] = rows
    for title, rows in tables.items():
        print(f"\n{title}\n\n{table(rows, baseline='safeguards off')}")
    print(f"\nwritten to {save(name, tables)}")
