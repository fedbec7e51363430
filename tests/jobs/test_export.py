"""Exported files: none takes the place of another run's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

WORDS = ("train", "linear", "--dataset", "digits", "--epochs", "1", "--device", "cpu", "--limit", "60", "--json")


def trained(cvexp, name, *more):
    outcome = cvexp(*WORDS, "--name", name, *more)
    assert outcome.code == 0, outcome.stderr
    return outcome.document["run_id"]


def exported(cvexp, run_id, *more):
    outcome = cvexp("export", run_id, "--json", *more)
    assert outcome.code == 0, outcome.stderr
    return outcome.document["path"]


def owner(path):
    return json.loads(Path(f"{path}.json").read_text())["run_id"]


@pytest.mark.slow
def test_two_runs_of_one_name_get_a_file_each(record, cvexp):
    first, second = trained(cvexp, "same"), trained(cvexp, "same", "--seed", "1")
    one, two = exported(cvexp, first), exported(cvexp, second)
    assert one != two
    assert (owner(one), owner(two)) == (first, second)
    assert exported(cvexp, second) == two
    assert exported(cvexp, first) == one
    assert cvexp("evaluate", one).code == cvexp("evaluate", two).code == 0


@pytest.mark.slow
def test_names_that_make_one_file_name_get_a_file_each_and_all_lie_in_the_folder(record, cvexp):
    first, second = trained(cvexp, "sweep/one"), trained(cvexp, "sweep-one", "--seed", "1")
    one, two = exported(cvexp, first), exported(cvexp, second)
    assert one != two
    assert {Path(one).parent, Path(two).parent} == {Path("models")}
    assert (owner(one), owner(two)) == (first, second)


@pytest.mark.slow
def test_a_file_that_is_no_export_is_left_as_it_is(record, cvexp, tmp_path):
    run_id = trained(cvexp, "mine")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "mine.pt").write_bytes(b"precious")
    assert exported(cvexp, run_id) != "models/mine.pt"
    assert (tmp_path / "models" / "mine.pt").read_bytes() == b"precious"
