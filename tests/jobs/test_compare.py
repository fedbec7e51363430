"""Which runs are put side by side, in which order, and which of their times may be ranked."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime

import matplotlib.pyplot as plt
import pytest

from cvexp.comparability import group_label
from cvexp.jobs import drawing
from cvexp.runs import RunSummary
from tests.recorded import CONDITIONS


def figures(accuracy, seconds=2.0):
    return {"test/accuracy": accuracy, "test/loss": 0.5, "time/train_seconds": seconds}


def summaries(n):
    return [
        RunSummary(
            run_id=f"{k:032x}",
            name=f"run {k}",
            status="FINISHED",
            experiment_id="0",
            artifacts_uri="",
            started_at=datetime.fromtimestamp(k, tz=UTC),
            params={"dataset": "digits", "seed": str(k)},
            metrics=figures(k / n, seconds=1 + k),
            tags={"cvexp.comparability_key": f"{k:010x}", "cvexp.conditions": json.dumps(CONDITIONS | {"epochs": k})},
        )
        for k in range(n)
    ]


def ranked(figure):
    """The names of each ranking, from the top down."""
    found = [
        [text.get_text() for text in axes.texts if str(text.get_gid()).startswith("name-")] for axes in figure.axes
    ]
    return [names for names in found if names]


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are saved, open until the test ends."""
    kept = []
    monkeypatch.setattr(drawing, "save", lambda figure, _path: kept.append(figure))
    yield kept
    plt.close("all")


@pytest.fixture
def many(monkeypatch, record):
    """A store that seems to hold so many runs."""

    def with_runs(n):
        monkeypatch.setattr("cvexp.tracking.cached.search_cached", lambda *_args, **_kwargs: summaries(n))

    return with_runs


def letters(outcome):
    return {run["run_name"]: run["conditions"] for run in outcome.document["runs"]}


@pytest.mark.slow
def test_there_are_letters_for_any_number_of_conditions(many, cvexp):
    many(19_000)
    shown = cvexp("compare", "--json")
    assert shown.code == 0, shown.stderr
    assert len(set(letters(shown).values())) == 19_000


def test_letters_go_on_after_zz():
    found = [group_label(n) for n in (0, 25, 26, 701, 702, 703, 18277, 18278)]
    assert found == ["a", "z", "aa", "zz", "aaa", "aab", "zzz", "aaaa"]


@pytest.mark.slow
def test_a_picture_of_many_runs_shows_the_best_and_says_how_many_it_leaves_out(many, drawn, cvexp):
    many(300)
    outcome = cvexp("compare", "--plot", "x.png", "--json")
    assert outcome.code == 0, outcome.stderr
    (names,) = ranked(drawn[0])
    assert 10 <= len(names) <= 60
    assert names == [f"run {299 - k}" for k in range(len(names))]
    assert any("of 300 models" in note for note in outcome.document["notes"])
    assert len(outcome.document["runs"]) == 300


def test_models_of_different_test_sets_stand_apart_in_the_picture(record, drawn, cvexp):
    record("easy", dataset="digits", figures=figures(0.99))
    record("hard", dataset="mnist-5k", figures=figures(0.80))
    record("harder", dataset="mnist-5k", figures=figures(0.85))
    record("one image", dataset="mnist-5k", figures=figures(1.0), limit=1)
    assert cvexp("compare", "--plot", "x.png").code == 0
    assert sorted(ranked(drawn[0])) == [["easy"], ["harder", "hard"], ["one image"]]


def test_the_best_of_each_test_set_is_marked_and_the_caption_says_so(record, cvexp, monkeypatch):
    record("easy", dataset="digits", figures=figures(0.99))
    record("hard", dataset="mnist-5k", figures=figures(0.80))
    record("harder", dataset="mnist-5k", figures=figures(0.70))
    monkeypatch.setenv("FORCE_COLOR", "1")
    shown = cvexp("compare").stdout
    bold = [part.partition("\x1b")[0].strip() for part in shown.split("\x1b[1m")[1:]]
    assert [text for text in bold if text.endswith("%")] == ["99.00%", "80.00%"]
    monkeypatch.delenv("FORCE_COLOR")
    plain = cvexp("compare").stdout
    assert "test set" in plain
    assert "hard" in plain


def test_runs_are_ranked_within_their_test_set(record, cvexp):
    record("m1", dataset="mnist-5k", figures=figures(0.80))
    record("d1", dataset="digits", figures=figures(0.70))
    record("m2", dataset="mnist-5k", figures=figures(0.60))
    record("d2", dataset="digits", figures=figures(0.90))
    sets = [run["params"]["dataset"] for run in cvexp("compare", "--json").document["runs"]]
    assert len(list(itertools.groupby(sets))) == 2
    names = [run["run_name"] for run in cvexp("compare", "--json").document["runs"]]
    assert (names.index("d2") < names.index("d1"), names.index("m1") < names.index("m2")) == (True, True)


def test_times_of_different_training_images_are_not_ranked(record, cvexp):
    record("a", figures=figures(0.9), limit=300, split_seed=1)
    record("b", figures=figures(0.9), limit=300, split_seed=2)
    record("c", figures=figures(0.9), limit=300, split_seed=2)
    record("all, seed 1", figures=figures(0.9), split_seed=1)
    record("all, seed 2", figures=figures(0.9), split_seed=2)
    outcome = cvexp("compare", "--json")
    found = letters(outcome)
    assert found["b"] == found["c"] != found["a"]
    assert found["all, seed 1"] == found["all, seed 2"] != found["a"]
    assert any("seed 2" in text for text in outcome.document["conditions"].values())


def test_times_of_different_step_runners_are_not_ranked(record, cvexp):
    record("captured", figures=figures(0.9))
    record("eager", figures=figures(0.9), step="eager", tags={"cvexp.step_runner": "eager (asked for)"})
    record("eager too", figures=figures(0.9), tags={"cvexp.step_runner": "eager (not captured: a reason)"})
    outcome = cvexp("compare", "--json")
    found = letters(outcome)
    assert found["eager"] == found["eager too"] != found["captured"]
    assert any("step runner eager" in text for text in outcome.document["conditions"].values())


@pytest.mark.slow
def test_runs_say_what_their_times_may_be_ranked_with(record, cvexp, tmp_path):
    """Of real trainings, whose tags are written now."""
    words = ("train", "linear", "--dataset", "digits", "--epochs", "1", "--device", "cpu")
    for more in (
        ("--limit", "60", "--split-seed", "1", "--name", "seed 1"),
        ("--limit", "60", "--split-seed", "2", "--name", "seed 2"),
        ("--limit", "60", "--split-seed", "2", "--name", "eager", "--step", "eager"),
        ("--limit", "60", "--split-seed", "2", "--name", "again"),
    ):
        outcome = cvexp(*words, *more)
        assert outcome.code == 0, outcome.stderr
    shown = cvexp("compare", "--json")
    keys = {run["run_name"]: run["comparability_key"] for run in shown.document["runs"]}
    assert keys["seed 2"] == keys["again"]
    assert len(set(keys.values())) == 3
    assert len(set(letters(shown).values())) == 3


def test_an_experiment_without_runs_says_which_ones_have_some(record, cvexp):
    record("a", experiment="pair", figures=figures(0.9))
    record("b", experiment="pair", figures=figures(0.8))
    shown = cvexp("compare")
    assert shown.code == 0
    assert "pair (2" in shown.stderr
    assert "--experiment" in shown.stderr
    assert any("pair (2" in note for note in cvexp("compare", "--json").document["notes"])
    assert "pair" not in cvexp("compare", "--experiment", "Default").stderr
    record("c", figures=figures(0.7))
    assert "pair" not in cvexp("compare").stderr
