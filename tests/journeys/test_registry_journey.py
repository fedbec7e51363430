"""From a run to a registered version, as real processes: on a local store and on a running MLflow server."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.faults.serving import Server

pytestmark = pytest.mark.slow

TRAIN = ("--dataset", "digits", "--device", "cpu")
LOCAL_FIRST = pytest.mark.parametrize(
    "flags", ["local", pytest.param("server", marks=pytest.mark.campaign)], indirect=True
)
WORDS = ("--name", "digits", "--alias", "champion")


def cvexp(folder, *words, expected=0):
    done = subprocess.run(
        [sys.executable, "-m", "cvexp", *words], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == expected, done.stderr
    return done


SERVER_FIRST = pytest.mark.parametrize(
    "flags", [pytest.param("local", marks=pytest.mark.campaign), "server"], indirect=True
)


@pytest.fixture
def flags(request, tmp_path):
    """The flags that name the store."""
    if request.param == "local":
        yield ()
        return
    serving = Server(tmp_path).start()
    yield ("--tracking-uri", serving.uri)
    serving.kill()


@SERVER_FIRST
def test_train_register_and_use_the_version(flags, tmp_path):
    cvexp(tmp_path, "train", "linear", *TRAIN, "--epochs", "1", "--name", "weak", *flags)
    cvexp(tmp_path, "train", "linear", *TRAIN, "--epochs", "20", "--name", "strong", *flags)
    cvexp(tmp_path, "register", "weak", *WORDS, *flags)
    moved = cvexp(tmp_path, "register", "strong", *WORDS, "--if-better", *flags)
    assert "champion is this version now, before it was version 1" in moved.stdout
    stays = cvexp(tmp_path, "register", "weak", *WORDS, "--if-better", *flags, expected=4)
    assert "registered before" in stays.stdout
    champion = cvexp(tmp_path, "evaluate", "models:/digits@champion", "--json", *flags)
    assert json.loads(champion.stdout)["run_name"] == "strong"
    both = cvexp(tmp_path, "compare", "models:/digits@champion", "models:/digits/1", "--json", *flags)
    assert {run["run_name"] for run in json.loads(both.stdout)["runs"]} == {"weak", "strong"}
    cvexp(tmp_path, "predict", "models:/digits/2", *flags)
    cvexp(tmp_path, "export", "models:/digits@champion", *flags)
    assert (tmp_path / "models" / "strong.pt").is_file()


@LOCAL_FIRST
def test_mlflow_itself_loads_a_registered_version(flags, tmp_path):
    cvexp(tmp_path, "train", "linear", *TRAIN, "--epochs", "1", "--name", "weak", *flags)
    cvexp(tmp_path, "register", "weak", *WORDS, *flags)
    load = (
        "import sys, numpy as np, mlflow; mlflow.set_tracking_uri(sys.argv[1]); "
        "model = mlflow.pyfunc.load_model('models:/digits@champion'); "
        "print(model.predict(np.zeros((2, 1, 8, 8), np.uint8)).shape)"
    )
    uri = flags[1] if flags else f"sqlite:///{tmp_path}/mlflow.db"
    done = subprocess.run([sys.executable, "-c", load, uri], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.stdout.strip() == "(2, 10)", done.stderr


@LOCAL_FIRST
def test_an_onnx_version_is_proven_and_served_without_torch(flags, tmp_path):
    cvexp(tmp_path, "train", "linear", *TRAIN, "--epochs", "1", "--name", "weak", *flags)
    words = ("register", "weak", *WORDS, "--format", "onnx", "--json", *flags)
    first, again = (json.loads(cvexp(tmp_path, *words).stdout) for _ in range(2))
    assert (first["new"], again["new"], first["version"], again["version"]) == (True, False, 1, 1)
    assert float(first["tags"]["export/onnx/top1_agreement"]) == 1
    load = (
        "import sys; sys.modules['torch'] = None; import numpy as np, mlflow; mlflow.set_tracking_uri(sys.argv[1]); "
        "model = mlflow.pyfunc.load_model('models:/digits@champion'); "
        "print(model.predict(np.zeros((2, 1, 8, 8), np.uint8)).shape)"
    )
    uri = flags[1] if flags else f"sqlite:///{tmp_path}/mlflow.db"
    done = subprocess.run([sys.executable, "-c", load, uri], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.stdout.strip() == "(2, 10)", done.stderr


def test_processes_that_register_one_run_at_once_make_one_version_with_its_tags(tmp_path):
    cvexp(tmp_path, "train", "linear", *TRAIN, "--epochs", "1", "--name", "weak")
    words = [sys.executable, "-m", "cvexp", "register", "weak", *WORDS, "--json"]
    at_once = [subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    found = [json.loads(process.communicate()[0]) for process in at_once]
    assert [one["version"] for one in found] == [1] * 4
    assert sum(one["new"] for one in found) == 1
    assert all("test/accuracy" in one["tags"] for one in found)
