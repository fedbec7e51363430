"""`cvexp register`: a version with its proof, and an alias that moves, or says why it stays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient

from cvexp.image_records import write_records
from cvexp.settings import store_settings
from cvexp.tracking.queries import find
from cvexp.tracking.registry import WEIGHTS
from cvexp.tracking.store import open_store
from tests.comparison.made import records_of

pytestmark = pytest.mark.slow

N = 2000


@pytest.fixture
def store(record, tmp_path):
    """An empty store whose runs have their artifacts beside it."""
    MlflowClient(record.uri).create_experiment("mine", artifact_location=str(tmp_path / "mlruns" / "1"))
    return open_store(store_settings(record.uri, "mine"), create=False)


@pytest.fixture
def trained(record, store, tmp_path):
    """Records a finished run with a logged model and per-image records, of a given accuracy."""

    def make(name, accuracy, *, model="linear", ready=True, status="FINISHED", figures=None, **settings):
        right = np.arange(N) < accuracy * N
        run_id = record(
            name,
            experiment="mine",
            model=model,
            status=status,
            figures={"test/accuracy": float(right.mean()), "export/onnx/latency_ms": 0.25, **(figures or {})},
            tags={WEIGHTS: name.encode().hex().ljust(64, "0"), "cvexp.recipe": name.encode().hex().ljust(16, "0")},
            **settings,
        )
        if ready:
            made = store.client.create_logged_model(store.experiment_id, name="model", source_run_id=run_id)
            Path(made.artifact_location.removeprefix("file://")).mkdir(parents=True)
            store.client.finalize_logged_model(made.model_id, "READY")
        folder = Path(store.client.get_run(run_id).info.artifact_uri.removeprefix("file://")) / "records"
        folder.mkdir(parents=True)
        write_records(folder / "test.parquet", records_of(right))
        return run_id

    return make


def test_the_proof_is_in_the_tags_of_the_version(trained, cvexp):
    trained("small", 0.8, figures={"bench/latency_ms": 0.125})
    done = cvexp("register", "small", "--name", "digits", "--json")
    found = done.document
    assert (done.code, found["version"], found["new"], found["alias"]) == (0, 1, True, None)
    tags = found["tags"]
    assert tags["test/accuracy"] == "0.8"
    assert float(tags["test/accuracy_low"]) < 0.8 < float(tags["test/accuracy_high"])
    assert "2,000 test images" in tags["test/accuracy_interval"]
    assert (tags["bench/latency_ms"], tags["export/onnx/latency_ms"]) == ("0.125", "0.25")
    assert (tags["cvexp.dataset"], tags["cvexp.run_name"], tags["cvexp.format"]) == ("digits", "small", "logged")
    again = cvexp("register", "small", "--name", "digits")
    assert again.code == 0
    assert again.stdout.startswith("models:/digits/1  registered before: run small")


def test_repeats_are_counted_in_the_proof(trained, record, cvexp):
    trained("small", 0.8)
    for seed, accuracy in ((1, 0.82), (2, 0.84)):
        recipe = b"small".hex().ljust(16, "0")
        more = {"figures": {"test/accuracy": accuracy}, "tags": {"cvexp.recipe": recipe}}
        record(f"other-{seed}", experiment="mine", seed=seed, **more)
    tags = cvexp("register", "small", "--name", "digits", "--json").document["tags"]
    assert (tags["seeds/n"], tags["seeds/list"], tags["seeds/accuracy_mean"]) == ("3", "1 2 42", "0.820000")
    assert float(tags["seeds/accuracy_low"]) < 0.82 < float(tags["seeds/accuracy_high"])


def test_the_alias_moves_to_what_is_better_and_stays_otherwise(trained, store, cvexp):
    for name, accuracy, model in (("small", 0.8, "linear"), ("worse", 0.7, "mlp"), ("better", 0.9, "tinyvgg")):
        trained(name, accuracy, model=model)
    words = ("--name", "digits", "--alias", "champion", "--if-better")
    first = cvexp("register", "small", *words)
    assert (first.code, first.stdout.splitlines()[-1]) == (0, "champion is this version now")
    stays = cvexp("register", "worse", *words)
    assert stays.code == 4
    assert stays.stdout.splitlines()[-1] == "champion stays on version 1"
    assert "error: digits@champion stays on version 1: this run is worse" in stays.stderr
    assert find(store, "models:/digits/2").run.name == "worse"
    assert find(store, "models:/digits@champion").run.name == "small"
    moves = cvexp("register", "better", *words)
    assert moves.code == 0
    assert "better minus small +10.00 points" in moves.stdout
    assert moves.stdout.splitlines()[-1] == "champion is this version now, before it was version 1"
    anyway = cvexp("register", "worse", "--name", "digits", "--alias", "champion")
    assert (anyway.code, find(store, "models:/digits@champion").run.name) == (0, "worse")
    balanced = cvexp("register", "better", *words, "--by", "balanced-accuracy")  # the records of the images say it
    assert (balanced.code, find(store, "models:/digits@champion").run.name) == (0, "better")


def test_a_present_version_that_cannot_be_compared_stays(trained, store, cvexp):
    run_id = trained("small", 0.8)
    trained("better", 0.9, model="mlp")
    words = ("--name", "digits", "--alias", "champion", "--if-better")
    assert cvexp("register", "small", *words).code == 0
    store.client.delete_run(run_id)
    stays = cvexp("register", "better", *words, "--json")
    assert stays.code == 4
    assert stays.document["alias"]["moved"] is False
    assert "was deleted" in stays.document["alias"]["text"]
    assert len(stays.stderr.splitlines()) <= 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("register", "small.pt", "--name", "digits"), "is a file"),
        (("register", "unfinished", "--name", "digits"), "has not finished"),
        (("register", "bare", "--name", "digits"), "no logged model"),
        (("register", "nobody", "--name", "digits"), "no run here is 'nobody'"),
        (("register", "small", "--name", "a/b"), "--name 'a/b'"),
        (("register", "small", "--name", "digits", "--alias", "latest"), "--alias 'latest'"),
        (("register", "small", "--name", "digits", "--if-better"), "--alias champion"),
        (("register", "small", "--name", "digits", "--margin", "0"), "--margin 0"),
        (("register", "small", "--name", "digits", "--by", "balanced-accuracy"), "add --if-better"),
        (("register", "small", "--name", "digits", "--by", "f1"), "is not one of 'accuracy', 'balanced-accuracy'"),
        (("register", "small"), "--name"),
        (("register", "small", "--name", "digits", "--format", "onxn"), "did you mean 'onnx'"),
        (("compare", "models:/nothing@champion"), "no model is registered as 'nothing'"),
        (("evaluate", "models:/nothing/1"), "no model is registered as 'nothing'"),
        (("reproduce", "models:/nothing"), "valid: models:/NAME@ALIAS"),
    ],
)
def test_wrong_use_is_explained_and_registers_nothing(words, said, trained, store, cvexp):
    trained("small", 0.8)
    trained("unfinished", 0.8, status="RUNNING")
    trained("bare", 0.8, ready=False)
    wrong = cvexp(*words)
    assert (wrong.code, wrong.stdout) == (2, "")
    assert said in wrong.stderr
    assert len(wrong.stderr.splitlines()) <= 3
    assert not list(store.client.search_registered_models())
