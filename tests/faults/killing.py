"""Start trainings, hit them, resume them, and take their fingerprint: what must be equal to the last bit."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch

LAUNCH = Path(__file__).with_name("launch.py")
ROOT = Path(__file__).parents[2]
TRAIN = {
    "linear": ["train", "linear", "--dataset", "mnist-5k", "--epochs", "3", "--optimizer", "adam", "--log-every", "7"],
    "tinyvgg": ["train", "tinyvgg", "--dataset", "digits", "--epochs", "3", "--optimizer", "adamw", "--threads", "1"],
}
KEEP = ["--device", "cpu", "--keep", "1"]


def heeding():
    """Heed every signal, also where the tests run in the background and ignore some."""
    for signum in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(signum, signal.SIG_DFL)


def start(words, folder, *, point="-", nth=0, signame="SIGKILL", env=None):
    """A cvexp command as a process of its own, to be hit at `point`."""
    return subprocess.Popen(
        [sys.executable, str(LAUNCH), point, str(nth), signame, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heeding,
    )


def until(found, seconds=600):
    """What `found()` gives as soon as it gives something."""
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return value


def finish(process, seconds=240):
    """The command's exit code, stdout and stderr."""
    out, err = process.communicate(timeout=seconds)
    return process.returncode, out, err


def run(words, folder, **settings):
    """Start a command and wait for its end."""
    return finish(start(words, folder, **settings))


def fingerprint(folder, tracking_uri=None):
    """SHA-256 of weights, optimiser and generators, every figure but times and memory, of the only run in `folder`."""
    (file,) = folder.glob(".cvexp/runs/*/checkpoints/*.pt")
    fit = torch.load(file, weights_only=True)["fit"]
    parts = {name: digest(fit[name]) for name in ("state", "generators", "step_losses")}
    run, history = logged(folder, tracking_uri)
    times = {key: [step for step, _ in points] for key, points in history.items() if is_time(key)}
    figures = {key: points for key, points in history.items() if not is_time(key)}
    return {
        **parts,
        "figures": figures,
        "times": times,
        "status": run.info.status,
        "weights": run.data.tags["cvexp.weights_sha256"],
        "params": run.data.params,
    }


def is_time(key):
    """Whether a figure is of the machine, and not of what was learnt."""
    return key.startswith(("time/", "throughput/", "memory/", "tracking/"))


def logged(folder, tracking_uri=None):
    """The only run of the store, and its metric history as (step, value) by key, but for when it was delivered."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=tracking_uri or f"sqlite:///{folder}/mlflow.db")
    (run,) = client.search_runs([e.experiment_id for e in client.search_experiments()])
    keys = set(run.data.metrics) - {"tracking/delivered_at"}
    history = {key: [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, key)] for key in keys}
    return run, {key: sorted(points) for key, points in history.items()}


def digest(value):
    """SHA-256 over the bytes of every tensor in nested containers, and over the plain values beside them."""
    whole = hashlib.sha256()

    def take(item, path):
        if isinstance(item, torch.Tensor):
            whole.update(f"{path}{tuple(item.shape)}{item.dtype}".encode())
            whole.update(item.contiguous().flatten().view(torch.uint8).numpy().tobytes())
        elif isinstance(item, dict):
            for key in sorted(item, key=str):
                take(item[key], f"{path}/{key}")
        elif isinstance(item, list | tuple):
            for index, one in enumerate(item):
                take(one, f"{path}/{index}")
        else:
            whole.update(f"{path}={item!r}".encode())

    take(value, "")
    return whole.hexdigest()


def resume(folder, *more):
    """Resume the last run of `folder`; its JSON result."""
    code, out, err = run(["train", "--resume", "@last", *KEEP[2:], "--json", *more], folder)
    assert code == 0, err
    return json.loads(out)


def leftovers(folder):
    """Temporary files that something left in the run's folder or beside it."""
    ours = (".cvexp", ".gitignore")
    return [path for path in folder.rglob("*") if path.name.startswith(".") and path.name not in ours]
