from __future__ import annotations

import functools
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import cvexp
from cvexp import compare, history, load_model, train
from cvexp.config import RunConfig
from cvexp.errors import ConfigError, ModelError
from cvexp.tracking.deadline import Deadline

ROOT = Path(__file__).parents[2]
MYPY = (sys.executable, "-m", "mypy", "--config-file=", "--follow-imports=skip", "--ignore-missing-imports")
CONFIG = ("__init__", "option", "model", "data", "optimizer", "schedule", "loss", "loop", "execution", "run")


def test_importing_cvexp_loads_nothing_heavy():
    script = (
        "import sys, cvexp; print([m for m in ('torch', 'mlflow', 'pandas', 'numpy', 'typer') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_verbs_do_what_the_commands_do(lab):
    result = train("linear", dataset="digits", epochs=1, device="cpu", experiment="api", name="by hand")
    assert result.run_name == "by hand"
    frame = compare(experiment="api")
    assert list(frame["name"]) == ["by hand"]
    assert frame.loc[result.run_id, "metrics.test/accuracy"] == result.evaluation.metrics.accuracy
    model = load_model("by hand")
    assert not model.training
    assert model(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


def test_a_frame_of_every_run_is_sorted_the_best_first(lab):
    frame = compare(sort="loss")
    assert frame["metrics.test/loss"].is_monotonic_increasing
    assert set(frame.index) == {run.run_id for run in lab.runs.values()}
    assert compare(where='params.model = "none such"').empty


def test_bad_input_is_an_error_with_the_same_words(lab):
    with pytest.raises(ModelError, match="tinyvg"):
        train("tinyvg")
    with pytest.raises(ConfigError, match="unknown setting: 'epoch'"):
        train("linear", epoch=3)
    with pytest.raises(AttributeError):
        cvexp.no_such_verb  # noqa: B018 - asking is the test


def test_the_names_one_can_ask_for_are_listed():
    assert {"train", "load_model", "compare", "history", "__version__"} <= set(dir(cvexp))


@pytest.mark.parametrize("uri", ["sqlite:///mlflow.db", "http://127.0.0.1:9"], ids=["stored", "in the journal only"])
@pytest.mark.slow
def test_the_history_of_a_run_is_a_row_an_epoch(uri, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("cvexp.tracking.outbox.Deadline", functools.partial(Deadline, 1.0))
    asked = {"dataset": "digits", "epochs": 3, "device": "cpu", "val_split": 0.2, "log_every": 10, "tracking_uri": uri}
    result = train("linear", **asked)
    frame = history(result.run_name, tracking_uri=uri)
    assert list(frame.index) == [1, 2, 3]
    assert frame.index.name == "epoch"
    measured = [epoch.keyed() for epoch in result.history]
    assert frame[list(measured[0])].to_dict("records") == measured
    of_test = {f"test/{name}" for name in ("loss", "accuracy", "balanced_accuracy", "macro_f1")}
    assert set(frame) == {*measured[0], *of_test}
    assert frame["test/accuracy"].isna().tolist() == [True, True, False]


def test_the_arguments_of_train_are_the_fields_of_the_configuration():
    parameters = inspect.signature(cvexp.train).parameters
    assert set(RunConfig.__dataclass_fields__) < set(parameters)
    assert parameters["model"].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert parameters["epochs"].default == 3


@pytest.mark.slow
def test_a_type_checker_knows_the_arguments_of_train(tmp_path):
    snippet = tmp_path / "snippet.py"
    snippet.write_text(
        'import cvexp\ncvexp.train("linear", epochs=3, lr=None, optimizer="adam", name="x", data_dir="y")\n'
        'cvexp.train(model="linear").run_id.upper()\n'
        'cvexp.train("linear", epochs="3")\ncvexp.train("linear", epoch=3)\ncvexp.train()\n'
    )
    modules = ["__init__.py", "jobs/api.py", "results.py", *(f"config/{name}.py" for name in CONFIG)]
    done = subprocess.run(
        [*MYPY, "--cache-dir", str(tmp_path), str(snippet), *(f"cvexp/{name}" for name in modules)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    found = [line.partition("snippet.py:")[2] for line in done.stdout.splitlines() if "snippet.py:" in line]
    errors = [line for line in found if " error: " in line]
    assert [line.partition(":")[0] for line in errors] == ["4", "5", "6"], done.stdout
    assert '"epochs"' in errors[0]
