"""`cvexp train --seeds` that is hit in the middle goes on where it was, and gives the bits of one that was not hit."""

from __future__ import annotations

import json

import pytest
from mlflow import MlflowClient

from tests.faults import killing

pytestmark = pytest.mark.slow

WORDS = ["train", "linear", "--dataset", "digits", "--epochs", "3", "--device", "cpu", "--threads", "1", "--seeds", "3"]
SECOND_SEED = 5
"""The evaluation after the second epoch of the second seed: there is one an epoch."""


def bits(folder):
    """By seed: the digest of the weights, and every figure after each epoch that is no time."""
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    found = {}
    for run in client.search_runs(["0"]):
        keys = [key for key in run.data.metrics if not killing.is_time(key)]
        figures = {key: [m.value for m in client.get_metric_history(run.info.run_id, key)] for key in keys}
        seed = run.data.params["seed"]
        assert seed not in found
        found[seed] = (run.info.status, run.data.tags["cvexp.weights_sha256"], figures)
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    code, _, err = killing.run(WORDS, folder)
    assert code == 0, err
    found = bits(folder)
    assert sorted(found) == ["42", "43", "44"]
    return found


@pytest.mark.parametrize(
    ("signame", "words"),
    [
        pytest.param("SIGINT", ["train", "--resume", "@last"], marks=pytest.mark.campaign),
        pytest.param("SIGTERM", WORDS, marks=pytest.mark.campaign),
        ("SIGKILL", ["train", "--resume", "@last"]),
    ],
)
def test_repeats_that_are_hit_in_the_second_seed_are_finished_bit_for_bit(signame, words, whole, tmp_path):
    code, _, err = killing.run(WORDS, tmp_path, point="evaluated", nth=SECOND_SEED, signame=signame)
    assert code == {"SIGINT": 130, "SIGTERM": 143, "SIGKILL": -9}[signame]
    if signame != "SIGKILL":
        said = err[err.index("interrupted by") :].splitlines()
        assert "1 of 3 seeds are trained; seed 43 is kept as of epoch" in said[1]
        assert "go on: cvexp train --resume" in said[2]
        assert len(said) == 3
    code, out, err = killing.run([*words, "--json"], tmp_path)
    assert code == 0, err
    runs = json.loads(out)["runs"]
    assert [(run["seed"], run["trained_now"]) for run in runs] == [(42, False), (43, True), (44, True)]
    assert bits(tmp_path) == whole
    assert not killing.leftovers(tmp_path)


def test_workers_whose_command_is_killed_keep_their_checkpoints_and_the_same_command_goes_on(whole, tmp_path):
    words = [*WORDS, "--workers", "2"]
    process = killing.start(words, tmp_path)
    killing.until(lambda: list(tmp_path.glob(".cvexp/runs/*/checkpoints/*.pt")))
    process.kill()
    killing.finish(process)
    code, out, err = killing.run([*words, "--json"], tmp_path)
    assert code == 0, err
    assert [run["seed"] for run in json.loads(out)["runs"]] == [42, 43, 44]
    assert bits(tmp_path) == whole
    assert not killing.leftovers(tmp_path)


@pytest.mark.campaign
def test_a_store_that_does_not_answer_leaves_records_of_every_seed(tmp_path):
    words = ["train", "linear", "--dataset", "digits", "--epochs", "1", "--device", "cpu", "--seeds", "2"]
    words += ["--tracking-uri", "http://127.0.0.1:9"]
    code, out, err = killing.run([*words, "--json"], tmp_path)
    assert code == 3, err
    runs = json.loads(out)["runs"]
    assert all(run["undelivered"] > 0 for run in runs)
    waiting = sum(run["undelivered"] for run in runs)
    assert f"error: {waiting} records of these runs wait to be delivered" in err
    assert "cvexp sync" in err
    code, out, err = killing.run([*words, "--json"], tmp_path)  # nothing is trained again, and nothing delivered
    assert [run["trained_now"] for run in json.loads(out)["runs"]] == [False, False], err
    assert code == 3
