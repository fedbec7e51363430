"""Which run `@last` and `@best` mean, in a store with several experiments and several test sets."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest

from cvexp.errors import RunError
from cvexp.runs import RunSummary
from cvexp.tracking import best

NAN, INF = float("nan"), float("inf")


def figures(accuracy, loss=0.5, seconds=2.0):
    return {"test/accuracy": accuracy, "test/loss": loss, "time/train_seconds": seconds}


def chosen(cvexp, *words):
    """The name of the only run that the selectors in `words` mean."""
    outcome = cvexp("compare", *words, "--json")
    assert outcome.code == 0, outcome.stderr
    (run,) = outcome.document["runs"]
    return run["run_name"]


def refused(cvexp, *words):
    outcome = cvexp("compare", *words)
    assert outcome.code == 2, outcome.stdout
    assert len(outcome.stderr.splitlines()) <= 3
    return outcome.stderr


def test_the_best_of_several_test_sets_is_not_guessed(record, cvexp):
    record("easy", dataset="digits", figures=figures(0.99))
    record("hard", dataset="mnist-5k", figures=figures(0.90))
    record("harder", dataset="mnist-5k", figures=figures(0.80))
    complaint = refused(cvexp, "@best")
    assert "@best@digits" in complaint
    assert "@best@mnist-5k" in complaint
    assert chosen(cvexp, "@best@digits") == "easy"
    assert chosen(cvexp, "@best@mnist-5k") == "hard"
    assert chosen(cvexp, "@best@mnist-5k:test/accuracy") == "hard"
    assert "no finished run" in refused(cvexp, "@best@cifar10")


def test_images_of_the_users_own_are_selected_by_what_was_typed_for_them(record, cvexp):
    own = {"npz": "npz:pets/rare.npz", "csv": "csv:list.csv", "comma": "a,b", "colon": "x:y", "blank": "my pets"}
    for n, (name, dataset) in enumerate(own.items()):
        tags = {"cvexp.test_set": f"{n:016x}"}
        record(name, dataset=dataset, figures={**figures(0.5), "test/macro_f1": n / 10}, tags=tags)
    complaint = refused(cvexp, "@best:test/macro_f1")
    digests = {name: f"{n:016x}" for n, name in enumerate(own)}
    typed = [f"@best@{digests['comma']}", "'@best@my pets:test/macro_f1'", "@best@csv:list.csv:test/macro_f1"]
    assert all(form in complaint for form in (*typed, "@best@npz:pets/rare.npz:test/macro_f1"))
    assert chosen(cvexp, "@best@npz:pets/rare.npz:test/macro_f1") == "npz"
    assert chosen(cvexp, "@best@csv:list.csv") == "csv"
    assert chosen(cvexp, "@best@my pets") == "blank"
    assert chosen(cvexp, f"@best@{digests['colon']}:test/macro_f1") == "colon"
    assert "no finished run" in refused(cvexp, "@best@npz:other.npz")


def test_a_run_that_saw_one_test_image_does_not_beat_the_others(record, cvexp):
    record("whole", figures=figures(0.90))
    record("one image", figures=figures(1.0), limit=1)
    complaint = refused(cvexp, "@best")
    assert "@best@digits,limit=1" in complaint
    assert chosen(cvexp, "@best@digits") == "whole"
    assert chosen(cvexp, "@best@digits,limit=1") == "one image"


def test_test_images_drawn_with_different_seeds_are_different_test_sets(record, cvexp):
    record("a", figures=figures(0.9), limit=100, split_seed=1)
    record("b", figures=figures(0.8), limit=100, split_seed=2)
    assert "@best@digits,limit=100,split_seed=2" in refused(cvexp, "@best")
    assert chosen(cvexp, "@best@digits,limit=100,split_seed=2") == "b"
    assert "different test images" in refused(cvexp, "@best@digits")


def test_the_split_seed_does_not_matter_where_all_test_images_are_used(record, cvexp):
    record("a", figures=figures(0.9), split_seed=1)
    record("b", figures=figures(0.8), split_seed=2)
    assert chosen(cvexp, "@best") == "a"


def test_the_same_dataset_under_another_content_is_another_test_set(record, cvexp):
    record("before", figures=figures(0.9))
    record("after", figures=figures(0.8), tags={"cvexp.conditions": '{"dataset": "feedfeedfeedfeed"}'})
    assert "@best@feedfeedfeedfeed" in refused(cvexp, "@best")
    assert chosen(cvexp, "@best@feedfeedfeedfeed") == "after"


def test_validation_accuracies_over_different_images_are_not_ranked(record, cvexp):
    for seed in (1, 2):
        record(f"seed {seed}", figures={**figures(0.9), "val/accuracy": 0.9}, val_split=0.1, split_seed=seed)
    assert "split_seed=2" in refused(cvexp, "@best")
    assert chosen(cvexp, "@best@digits,val_split=0.1,split_seed=2") == "seed 2"


@pytest.mark.parametrize(
    "bad",
    ["@best@", "@best@digits,limit", "@best@digits,limits=3", "@best@digits:", "@best@npz:", "@best@csv:,limit=3"],
)
def test_a_selector_that_cannot_be_read_is_explained(record, cvexp, bad):
    record("only", figures=figures(0.9))
    assert "@best@DATASET" in refused(cvexp, bad)


@pytest.mark.parametrize(("metric", "worst"), [("test/loss", NAN), ("test/loss", INF), ("test/accuracy", NAN)])
def test_a_figure_that_is_no_finite_number_is_the_worst(record, cvexp, metric, worst):
    record("sound", figures=figures(0.1, loss=9.0))
    record("broken", figures=figures(0.9, loss=0.1) | {metric: worst})
    record("sound too", figures=figures(0.2, loss=8.0))
    assert chosen(cvexp, f"@best:{metric}") == "sound too"
    shown = cvexp("compare", "--sort", metric, "--json").document["runs"]
    assert [run["run_name"] for run in shown] == ["sound too", "sound", "broken"]


def test_the_store_s_largest_number_is_the_infinity_it_stands_for(record, cvexp):
    record("broken", figures=figures(0.1, loss=INF))
    assert cvexp("compare", "--json").document["runs"][0]["metrics"]["test/loss"] is None


def test_there_is_no_best_where_every_figure_is_not_a_number(record, cvexp):
    record("broken", figures=figures(NAN))
    assert "not a finite number" in refused(cvexp, "@best:test/accuracy")


def test_the_last_run_is_found_whatever_its_experiment(record, cvexp):
    record("first", figures=figures(0.9))
    record("last", experiment="pair", figures=figures(0.8))
    assert chosen(cvexp, "@last") == "last"
    assert chosen(cvexp, "@last", "--experiment", "Default") == "last"


def test_the_best_run_is_the_store_s_unless_an_experiment_is_named(record, cvexp, monkeypatch):
    record("here", figures=figures(0.8))
    record("elsewhere", experiment="pair", figures=figures(0.9))
    assert chosen(cvexp, "@best") == "elsewhere"
    assert chosen(cvexp, "@best", "--experiment", "Default") == "here"
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "Default")
    assert chosen(cvexp, "@best") == "here"


def answer(runs, selector):
    try:
        chosen, note = best.best(runs, selector, command=lambda *words: " ".join(words))
    except RunError as error:
        return error.lines()
    return chosen.run_id, note


@pytest.mark.parametrize("selector", ["@best", "@best@a", "@best:loss", "@best@b,limit=9:loss", "@best@a:no/such"])
def test_looking_at_the_best_runs_on_the_same_images_alone_changes_no_answer(selector, monkeypatch):
    draw = random.Random(selector)
    for _ in range(100):
        one_set = draw.random() < 0.5  # else hardly any selector has an answer
        runs = []
        for n in range(draw.randrange(1, 9)):
            dataset, limit = (
                (selector[6:7] or "a", "none") if one_set else (draw.choice("ab"), draw.choice(["none", "9"]))
            )
            keys = draw.sample(["val/accuracy", "test/accuracy", "loss"], draw.randrange(1, 4))
            params = {"dataset": dataset, "limit": limit, "split_seed": draw.choice("12"), "val_split": "0.1"}
            runs.append(
                RunSummary(
                    run_id=str(n),
                    name="",
                    status="FINISHED",
                    experiment_id="0",
                    artifacts_uri="",
                    started_at=datetime(2026, 1, 1, tzinfo=UTC),
                    params=params,
                    metrics={key: draw.choice([NAN, INF, 0.1, 0.2, 0.2, 0.3]) for key in keys},
                )
            )
        found = answer(runs, selector)
        with monkeypatch.context() as patched:
            patched.setattr(best, "_representatives", lambda finished, _metric: list(finished))
            assert answer(runs, selector) == found
