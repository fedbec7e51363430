from __future__ import annotations

import functools
import subprocess
import sys

import pytest
import torch

import cvexp
from cvexp import compare, history, load_model, train
from cvexp.errors import ConfigError, ModelError
from cvexp.tracking.deadline import Deadline


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
    assert set(frame) == {*measured[0], "test/loss", "test/accuracy"}
    assert frame["test/accuracy"].isna().tolist() == [True, True, False]
