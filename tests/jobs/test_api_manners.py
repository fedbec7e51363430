"""The Python API in somebody else's process: their settings of MLflow hold, and their process stays theirs."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.faults import killing

pytestmark = pytest.mark.slow  # processes that import torch and MLflow and train

TRAIN = "train('linear', dataset='digits', epochs=1, device='cpu', threads=1)"


def python(code, folder, **env):
    """What the code prints last, as JSON."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**inherited, "PYTHONPATH": str(killing.ROOT), **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_training_leaves_the_callers_environment_and_loggers_alone(tmp_path):
    code = f"""
import json, logging, os, mlflow, mlflow.store.tracking.sqlalchemy_store
names = ("mlflow", "alembic", "sqlalchemy", "urllib3", "mlflow.store.db.utils")
before = dict(os.environ), [logging.getLogger(name).level for name in names]
from cvexp import train, compare, load_model
{TRAIN}
compare()
load_model("@last")
levels = [logging.getLogger(name).level for name in names]
added = sorted(set(os.environ.items()) - set(before[0].items()))
print(json.dumps([added, levels == before[1], levels]))
"""
    added, same, levels = python(code, tmp_path)
    assert [name for name, _ in added if name.startswith(("MLFLOW_", "GIT_"))] == []
    assert same, levels


def test_what_the_caller_told_mlflow_is_where_runs_go(tmp_path):
    code = f"""
import json, mlflow
mlflow.set_tracking_uri("sqlite:///told.db")
mlflow.set_experiment("told")
from cvexp import train, compare, load_model
first = {TRAIN}
second = train('linear', dataset='digits', epochs=1, device='cpu', experiment='typed')
elsewhere = train('linear', dataset='digits', epochs=1, device='cpu', tracking_uri='sqlite:///typed.db')
def name(run, uri):
    client = mlflow.MlflowClient(uri)
    return client.get_experiment(client.get_run(run.run_id).info.experiment_id).name
names = [name(first, 'sqlite:///told.db'), name(second, 'sqlite:///told.db'), name(elsewhere, 'sqlite:///typed.db')]
load_model(first.run_name)
print(json.dumps([names, len(compare()), len(mlflow.search_runs())]))
"""
    names, compared, found = python(code, tmp_path, MLFLOW_EXPERIMENT_NAME="of the environment")
    assert names == ["told", "typed", "of the environment"]
    assert compared == found == 1


def test_what_the_caller_told_mlflow_does_not_make_importing_cvexp_import_it(tmp_path):
    code = (
        "import sys, json; from cvexp import compare\ntry: compare()\nexcept Exception as e: print(type(e).__name__)\n"
    )
    code += "print(json.dumps('mlflow' in sys.modules))"
    assert python(code, tmp_path) is False  # there is no store here, and that was seen without it


TWICE = """
import os, signal, sys, threading, time
import cvexp.engine.backends.captured as captured

plain = captured.CapturedSteps.run


def interrupted(self, *arguments):
    # From within a step, so that the first one cannot be obeyed before the second one.
    os.kill(os.getpid(), signal.SIGNAME)
    time.sleep(0.2)
    os.kill(os.getpid(), signal.SIGNAME)
    time.sleep(20)
    return plain(self, *arguments)


captured.CapturedSteps.run = interrupted
from cvexp import train

before = signal.getsignal(signal.SIGNAME)
try:
    TRAIN
except KeyboardInterrupt as error:
    print("caught", flush=True)
finally:
    print("finally", flush=True)
print("handler", signal.getsignal(signal.SIGNAME) == before)
print("goes on")
"""


@pytest.mark.parametrize("signame", ["SIGINT", pytest.param("SIGTERM", marks=pytest.mark.campaign)])
def test_a_second_signal_ends_the_training_and_not_the_callers_process(signame, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", TWICE.replace("SIGNAME", signame).replace("TRAIN", TRAIN)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(killing.ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        preexec_fn=killing.heeding,
    )
    assert done.stdout.splitlines() == ["caught", "finally", "handler True", "goes on"], done.stderr
    assert done.returncode == 0
    assert killing.logged(tmp_path)[0].info.status == "KILLED"


def test_the_logged_model_takes_no_files_of_the_callers_project_along(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "theirs"\nversion = "1"\n')
    (tmp_path / "uv.lock").write_text('version = 1\nrequires-python = ">=3.11"\n')
    code = f"import json\nfrom cvexp import train\n{TRAIN}\nprint(json.dumps(0))"
    python(code, tmp_path)
    assert list(tmp_path.rglob("MLmodel"))
    assert [path.parent for path in tmp_path.rglob("uv.lock")] == [tmp_path]
