"""Wrong uses of shared checkpoints and of a team's server: three lines, exit code 2, and no run."""

from __future__ import annotations

import pytest

from tests.faults.answering import check_refusal

TRAIN = ("train", "linear", "--dataset", "digits", "--epochs", "1", "--device", "cpu")
WRONG = {
    "take over without a run": ((*TRAIN, "--take-over"), "cvexp train --resume RUN --take-over"),
    "a protocol that is none": ((*TRAIN, "--checkpoints", "nosuch://bucket"), "nosuch"),
    "a protocol whose driver is not here": ((*TRAIN, "--checkpoints", "gs://bucket"), "pip install gcsfs"),
    "two addresses in one": ((*TRAIN, "--checkpoints", "simplecache::s3://bucket"), "one path or URL"),
    "a file as the folder": ((*TRAIN, "--checkpoints", "a-file"), "File exists"),
    "a store that is read only": ((*TRAIN, "--checkpoints", "https://127.0.0.1:1/x"), "cannot be written"),
    "no folder and nothing shared": (("train", "--resume", "@last"), "--checkpoints"),
    "nothing of the run in the folder": (
        ("train", "--resume", "@last", "--checkpoints", "shared"),
        "no checkpoint of it",
    ),
}


@pytest.fixture
def elsewhere(record, tmp_path):
    """A store with a run that another machine has begun."""
    record("begun", status="FAILED")
    (tmp_path / "a-file").write_text("")
    return tmp_path


@pytest.mark.parametrize(("words", "named"), WRONG.values(), ids=WRONG)
def test_a_wrong_use_is_refused_and_leaves_no_run(words, named, elsewhere, cvexp):
    outcome = cvexp(*words)
    check_refusal(outcome.code, outcome.stdout, outcome.stderr, named)
    assert list(elsewhere.glob(".cvexp/runs/*")) == []


def test_the_variable_is_refused_like_the_flag(elsewhere, cvexp, monkeypatch):
    monkeypatch.setenv("CVEXP_CHECKPOINTS", "nosuch://bucket")
    outcome = cvexp(*TRAIN)
    check_refusal(outcome.code, outcome.stdout, outcome.stderr, "nosuch")
