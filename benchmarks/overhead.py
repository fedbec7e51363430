"""What a tiny tracked run costs beyond its training, in CPU seconds: one plan, a shell loop, Optuna with MLflow.

The work is linear on scikit-learn's digits, three epochs at one thread, with a validation part. Contenders take turns;
each begins in an empty folder with an empty store. CPU seconds are those of the command and of all its processes. What
imports and the store's schema cost once is in the totals, and is left out of the cost per further run: that is the
difference to the same command with two runs only.
"""

from __future__ import annotations

import importlib.util
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Row, save

EPOCHS = 3
SETTINGS = ["--dataset", "digits", "--epochs", str(EPOCHS), "--val-split", "0.2", "--device", "cpu", "--threads", "1"]
FEW = 2
PLAN = f"""
experiment: tiny
defaults: {{model: linear, dataset: digits, epochs: {EPOCHS}, val_split: 0.2, device: cpu, threads: 1}}
grid: {{seed: [SEEDS]}}
"""
STUDY = f"""
import sys, time, mlflow, optuna, torch
from optuna_integration.mlflow import MLflowCallback
from cvexp.config import run_config
from cvexp.data.dataset import load_dataset
torch.set_num_threads(1)
optuna.logging.set_verbosity(optuna.logging.WARNING)
callback = MLflowCallback(tracking_uri="sqlite:///mlflow.db", metric_name="val_accuracy")
config = run_config({{"model": "linear", "dataset": "digits", "val_split": 0.2}})
data = load_dataset(config, __import__("pathlib").Path("data"))
x, y = data.train.images.float().flatten(1) / 255, data.train.labels
vx, vy = data.val.images.float().flatten(1) / 255, data.val.labels
@callback.track_in_mlflow()
def objective(trial):
    torch.manual_seed(trial.suggest_int("seed", 0, 10**6))
    model = torch.nn.Sequential(torch.nn.Linear(x.shape[1], 10), torch.nn.Linear(10, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    figures, begun = [], time.perf_counter()
    for epoch in range({EPOCHS}):
        for batch in torch.randperm(len(x)).split(32):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(x[batch]), y[batch])
            loss.backward()
            optimizer.step()
        accuracy = (model(vx).argmax(1) == vy).float().mean().item()
        figures.append({{"train_loss": loss.item(), "val_accuracy": accuracy}})
    seconds = time.perf_counter() - begun
    for step, values in enumerate(figures, 1):
        mlflow.log_metrics(values, step=step)
    mlflow.log_metric("time/train_seconds", seconds)
    torch.save(model.state_dict(), "weights.pt")
    mlflow.log_artifact("weights.pt")
    return accuracy
optuna.create_study(direction="maximize").optimize(objective, n_trials=int(sys.argv[1]), callbacks=[callback])
"""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a contender took for `n_runs` runs, of which `training` CPU seconds are training and evaluation."""

    n_runs: int
    cpu: float
    wall: float
    training: float
    stored: int


def run(*, runs: int, others: int, workers: int, repeats: int, name: str) -> None:
    """Measure in turns, print a table, and write it to `benchmarks/results/`; slow contenders do `others` runs."""
    contenders = {"cvexp run --lean": _plan, "cvexp run": _full, "cvexp train, in a shell": _loop}
    counts = {"cvexp run --lean": runs, "cvexp run": others, "cvexp train, in a shell": others}
    if all(importlib.util.find_spec(package) for package in ("optuna", "optuna_integration")):
        contenders["Optuna, MLflowCallback"], counts["Optuna, MLflowCallback"] = _study, others
    else:
        print("left out: Optuna is not installed (optuna, optuna-integration)", file=sys.stderr)
    samples: dict[str, list[float]] = {contender: [] for contender in contenders}
    details: list[dict[str, object]] = []
    for turn in range(repeats):
        for contender, measure in contenders.items():
            print(f"turn {turn + 1}/{repeats}: {contender}", file=sys.stderr, flush=True)
            few, many = measure(FEW, workers), measure(counts[contender], workers)
            beyond = (many.cpu - many.training - few.cpu + few.training) / (many.n_runs - few.n_runs)
            samples[contender].append(beyond)
            details.append({"contender": contender, "turn": turn, "few": vars(few), "many": vars(many)})
            total = (many.cpu - many.training) / many.n_runs
            print(
                f"  {many.n_runs:,} runs, {many.stored:,} in the store: {many.wall:.0f} s; CPU beyond training "
                f"{total:.3f} s a run, {beyond:.3f} s a further run",
                file=sys.stderr,
                flush=True,
            )
    ours = samples["cvexp run --lean"]
    print("\n| | CPU s beyond training, a further run | of cvexp run --lean |\n|---|---|---|")
    for contender, found in samples.items():
        ratio = statistics.median(theirs / own for theirs, own in zip(found, ours, strict=True))
        spread = f"{statistics.median(found):.3f} ({min(found):.3f} to {max(found):.3f})"
        print(f"| {contender} | {spread} | {ratio:.2f} |")
    rows = [Row(name=contender, samples=found) for contender, found in samples.items()]
    save(name, {"CPU seconds beyond training, a further run": rows}, notes={"turns": details})


def _plan(n_runs: int, workers: int, *more: str) -> Cost:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "plan.yaml").write_text(PLAN.replace("SEEDS", ", ".join(map(str, range(n_runs)))))
        words = ["run", "plan.yaml", "--workers", str(workers), *(more or ["--lean"])]
        return _measured([[sys.executable, "-m", "cvexp", *words]], folder, n_runs)


def _full(n_runs: int, workers: int) -> Cost:
    return _plan(n_runs, workers, "--full")


def _loop(n_runs: int, _workers: int) -> Cost:
    with tempfile.TemporaryDirectory() as scratch:
        start = [sys.executable, "-m", "cvexp", "train", "linear", *SETTINGS, "--experiment", "tiny"]
        return _measured([[*start, "--seed", str(seed)] for seed in range(n_runs)], Path(scratch), n_runs)


def _study(n_runs: int, _workers: int) -> Cost:
    with tempfile.TemporaryDirectory() as scratch:
        return _measured([[sys.executable, "-W", "ignore", "-c", STUDY, str(n_runs)]], Path(scratch), n_runs)


def _measured(commands: list[list[str]], folder: Path, n_runs: int) -> Cost:
    """Run commands one after the other, and count what is in the store then."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    for words in commands:
        environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "OMP_NUM_THREADS": "1"}
        done = subprocess.run(  # noqa: S603 - our own commands
            words, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - start
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    found, token = [], None
    ids = [experiment.experiment_id for experiment in client.search_experiments()]
    while token is None or token:
        page = client.search_runs(ids, "attributes.status = 'FINISHED'", max_results=1000, page_token=token)
        found, token = found + list(page), page.token or ""
    keys = ("time/train_seconds", "time/evaluate_seconds")
    training = sum(one.data.metrics.get(key, 0.0) for one in found for key in keys)
    if len(found) != n_runs:
        raise RuntimeError(f"{len(found)} runs are in the store, and {n_runs} were asked for")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(n_runs=n_runs, cpu=cpu, wall=wall, training=training, stored=len(found))
