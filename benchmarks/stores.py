"""Stores of 1,000 to 100,000 runs, SQLite and PostgreSQL: seconds and memory of the commands that look for runs.

Each figure is of a process of its own. Work is what a command does once everything is imported; the CPU's seconds are of
this process, which with PostgreSQL leaves out the database's own. Stores are made once in a folder, and kept there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.measure import Row, save
from benchmarks.recorded_runs import fill

PROBE = """
import json, re, sys, time
from pathlib import Path
def peak():  # of this program alone: getrusage also counts what the process was before it became this program
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
import mlflow, mlflow.utils, mlflow.store.tracking.sqlalchemy_store, cvexp.jobs.compare, cvexp.tracking.queries
from cvexp.comparison.request import Request
from cvexp.settings import store_settings
from cvexp.tracking.store import open_store
what, uri = sys.argv[1:]
settings = store_settings(uri)
if what == "run FILE":
    import cvexp.jobs.plan
    from cvexp.config import run_config
    from cvexp.config.experiment import PlannedRun
    asked = {"dataset": "digits", "epochs": 3, "val_split": 0.1}
    planned = [PlannedRun(config=run_config({**asked, "model": "mlp", "lr": lr}), name=None) for lr in (0.1, 0.2, 0.3)]
imported = peak(), time.process_time()
start = time.perf_counter()
if what.startswith("@"):
    cvexp.tracking.queries.find(open_store(settings, create=False), what)
elif what == "run FILE":
    cvexp.jobs.plan.steps_of(planned, settings)
else:
    last = int(what.split()[-1]) if "--last" in what else None
    found = cvexp.jobs.compare.run([], settings, request=Request(last=last))
    print(len(found.runs), file=sys.stderr)
seconds, cpu = time.perf_counter() - start, time.process_time() - imported[1]
print(json.dumps({"seconds": seconds, "cpu": cpu, "peak": peak(), "imports_cpu": imported[1]}))
"""
CHANGE = """
import sys
from mlflow import MlflowClient
client = MlflowClient(sys.argv[1])
run = client.search_runs(["0"], max_results=1)[0].info.run_id
client.set_tag(run, "cvexp.note", "changed")
"""
WITHOUT, UNCHANGED, CHANGED = "compare, nothing kept", "compare, kept runs", "compare, kept runs, one changed"
COMPLETION = "completion"
COMMANDS = ("@last", "@best", "compare --last 20", "run FILE", COMPLETION, WITHOUT, UNCHANGED, CHANGED)


def run(*, runs: list[int], postgres: str, folder: Path, repeats: int, only: list[str], name: str) -> None:
    """Fill what is missing, measure, print the table, and write the samples to `benchmarks/results/`.

    `postgres` is the URI of a server with `{}` for the database, which exists; empty for SQLite alone.
    """
    tables: dict[str, list[Row]] = {}
    for n in runs:
        for kind in ("SQLite", *(["PostgreSQL"] if postgres else [])):
            home = folder / f"{kind}-{n}"
            home.mkdir(parents=True, exist_ok=True)
            uri = postgres.format(f"runs{n}") if kind == "PostgreSQL" else f"sqlite:///{home}/mlflow.db"
            if not (home / "filled").exists():
                fill(uri, home, n)
                (home / "filled").touch()
            for command in only or COMMANDS:
                taken = [_measured(command, uri, home) for _ in range(repeats)]
                for measure in taken[0]:
                    row = Row(name=f"{kind}, {n:,} runs: {command}", samples=[one[measure] for one in taken])
                    tables.setdefault(measure, []).append(row)
                print(_line(tables), flush=True)
    print(f"\nwritten to {save(name, tables)}")


def _line(tables: dict[str, list[Row]]) -> str:
    last = {measure: rows[-1] for measure, rows in tables.items()}
    work, cpu, peak, process = (last[key].median for key in ("seconds", "cpu", "peak", "process_seconds"))
    name = last["seconds"].name
    return f"| {name} | {work:.2f} s | {cpu:.2f} s of the CPU | {peak:,.0f} MiB | whole process {process:.1f} s |"


def _measured(command: str, uri: str, home: Path) -> dict[str, float]:
    kept = command in (UNCHANGED, CHANGED)
    environment = {**os.environ, "CVEXP_RUN_CACHE": "on" if kept else "off"}
    if command == COMPLETION:
        return _completed(environment, home)
    if command == WITHOUT:
        shutil.rmtree(home / ".cvexp" / "run-cache", ignore_errors=True)
    elif kept and not list(home.rglob("ended.npz")):
        _python(PROBE, [command, uri], environment, home)
    if command == CHANGED:
        _python(CHANGE, [uri], environment, home)
    start = time.perf_counter()
    answer: dict[str, float] = json.loads(_python(PROBE, [command, uri], environment, home))
    return answer | {"process_seconds": time.perf_counter() - start}


def _completed(environment: dict[str, str], home: Path) -> dict[str, float]:
    """`cvexp compare --<TAB>`: the whole process, which opens no store."""
    asked = {"_CVEXP_COMPLETE": "complete_bash", "COMP_WORDS": "cvexp compare --", "COMP_CWORD": "2"}
    root = str(Path(__file__).parents[1])
    code = (
        f"import sys; sys.path.insert(0, {root!r}); sys.argv = ['cvexp']\n"
        "import atexit, json, re, time\nfrom pathlib import Path\n"
        "peak = lambda: int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]) / 1024\n"
        "atexit.register(lambda: print(json.dumps([time.process_time(), peak()]), file=sys.stderr))\n"
        "from cvexp.__main__ import main\nmain()"
    )
    start = time.perf_counter()
    done = subprocess.run(  # noqa: S603 - our own interpreter and words
        [sys.executable, "-c", code], env=environment | asked, cwd=home, capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - start
    if "--last" not in done.stdout:
        raise SystemExit(f"completion failed:\n{done.stdout[-500:]}{done.stderr[-3000:]}")
    cpu, peak = json.loads(done.stderr.splitlines()[-1])
    return {"seconds": seconds, "cpu": cpu, "peak": peak, "imports_cpu": 0.0, "process_seconds": seconds}


def _python(code: str, words: list[str], environment: dict[str, str], home: Path) -> str:
    root = str(Path(__file__).parents[1])
    command: list[Any] = [sys.executable, "-c", f"import sys; sys.path.insert(0, {root!r})\n{code}", *words]
    done = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise SystemExit(f"{words} failed:\n{done.stderr[-3000:]}")
    return done.stdout
