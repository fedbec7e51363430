"""`python -m benchmarks VERB`, where VERB is a module here that has a `run`: course, peers, startup and so on."""

from __future__ import annotations

import argparse
import importlib
import json
import resource
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TypeAlias

from benchmarks.tasks import Task

KIB_PER_MIB = 1024
Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 - it has no public name


def main() -> None:
    """Run one benchmark; see `--help`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    _add_timed(verbs)
    _add_others(verbs)
    asked = vars(parser.parse_args())
    verb = asked.pop("verb")
    if verb == "one":
        print(json.dumps(answer(**asked)))
        return
    importlib.import_module(f"benchmarks.{verb}").run(**asked)


def _add_timed(verbs: Verbs) -> None:
    """The benchmarks that take models in turns."""
    timed = (
        "course",
        "peers",
        "startup",
        "scaling",
        "memory",
        "safeguards",
        "versions",
        "contention",
        "latency",
        "folders",
        "augment",
        "devices",
    )
    for verb in timed:
        options = verbs.add_parser(verb)
        models = ["tinyvgg"] if verb in {"contention", "folders", "devices"} else ["linear", "mlp", "tinyvgg"]
        options.add_argument("--models", nargs="+", default=models)
        options.add_argument("--repeats", type=int, default=60 if verb == "latency" else 3)
        if verb != "memory":  # the command's own rule decides there
            options.add_argument("--threads", type=int, default=1 if verb == "latency" else 2)
        options.add_argument("--limit", type=int, default=None, help="first so many images only: a rehearsal")
        name = f"{verb}-cpu" if verb in {"versions", "contention", "devices"} else verb
        options.add_argument("--name", default=name, help="of the file in benchmarks/results")
        if verb in {"versions", "contention"}:
            required = verb == "versions"
            options.add_argument("--before", type=Path, required=required, help="a checkout with its own .venv")
        if verb == "devices":
            options.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
            options.add_argument("--devices", type=int, default=2)
        if verb == "folders":
            options.add_argument("--memory-mib", type=int, default=1024, help="allowed for a set four times as large")


def _add_others(verbs: Verbs) -> None:
    options = verbs.add_parser("calibration")
    options.add_argument("--repeats", type=int, default=2000, help="repetitions of each cell")
    options.add_argument("--processes", type=int, default=2)
    options.add_argument("--name", default="calibration", help="of the file in benchmarks/results")
    options = verbs.add_parser("transfer")
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--limit", type=int, default=1500, help="images of each split")
    options.add_argument("--name", default="transfer", help="of the file in benchmarks/results")
    options = verbs.add_parser("stores")
    options.add_argument("--runs", nargs="+", type=int, default=[1000, 10_000, 100_000])
    options.add_argument("--kinds", nargs="+", default=[], choices=["SQLite", "PostgreSQL"])
    options.add_argument("--postgres", default="", help="postgresql+psycopg2://user@host/{}, with runs1000 and so on")
    options.add_argument("--folder", type=Path, required=True, help="where the stores are made, and found again")
    options.add_argument("--only", nargs="+", default=[], help="commands, as the table names them")
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--name", default="stores-cpu", help="of the file in benchmarks/results")
    options = verbs.add_parser("serve")
    options.add_argument("--models", nargs="+", default=["linear", "tinyvgg"])
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--seconds", type=int, default=10, help="of each load")
    options.add_argument("--name", default="serve-cpu", help="of the file in benchmarks/results")
    options = verbs.add_parser("overhead")
    options.add_argument("--runs", type=int, default=1000, help="of the plan")
    options.add_argument("--others", type=int, default=12, help="runs of those that take longer")
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--name", default="overhead-cpu", help="of the file in benchmarks/results")
    one = verbs.add_parser("one", help="one contender in this process; prints its answer as JSON")
    one.add_argument("module")
    one.add_argument("task")
    one.add_argument("scratch")


def answer(*, module: str, task: str, scratch: str) -> dict[str, object]:
    """Run one contender here, and add how much memory it took."""
    contender = importlib.import_module(f"benchmarks.contenders.{module}")
    imported = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB_PER_MIB
    given = contender.run(Task.from_json(task), Path(scratch))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB_PER_MIB
    return asdict(replace(given, peak_mib=peak, import_mib=imported))


if __name__ == "__main__":
    sys.exit(main())
