"""Verdicts, the front and the pick: from runs with per-image records, without them, and with only some of them."""

from __future__ import annotations

import numpy as np
import pytest

from cvexp.comparison.analysis import COMPARED_GROUPS, SHOWN_GROUPS, tables_of
from cvexp.comparison.pair import pair_of
from cvexp.comparison.pick import pick_of
from cvexp.errors import ConfigError
from cvexp.stats import accuracy_difference
from tests.comparison.made import Reader, analysis_of, records_of, repeats_of, run_of

N_IMAGES = 2000


def correct_of(accuracy, seed, *, n_images=N_IMAGES):
    """Which images a run gets right: the easy ones, and by luck some others."""
    draw = np.random.default_rng(seed)
    ease = np.random.default_rng(0).normal(size=n_images)
    score = ease + draw.normal(scale=0.5, size=n_images)
    return score > np.quantile(score, 1 - accuracy)


def recorded(start, accuracy, *, n=5, **more):
    """Repeats and their records by run id; the accuracies are those of the records."""
    rights = [correct_of(accuracy + 0.002 * seed, start + seed) for seed in range(n)]
    runs = repeats_of(start, [float(right.mean()) for right in rights], **more)
    return runs, {run.run_id: records_of(right) for run, right in zip(runs, rights, strict=True)}


def table_of(*arms, records=True, **asked):
    runs = [run for some, _ in arms for run in some]
    reader = Reader({key: one for _, found in arms for key, one in found.items()} if records else {})
    (table,), _ = tables_of(analysis_of(runs, reader=reader, **asked))
    return table, reader, runs


def test_the_better_recipe_is_said_to_be_better_with_the_interval_of_the_statistics():
    good, poor = recorded(1, 0.90, model="mlp"), recorded(100, 0.80, model="linear")
    table, _, _ = table_of(good, poor)
    (verdict,) = table.verdicts
    a, b = (np.stack([records.correct for records in found.values()]) for _, found in (good, poor))
    expected = accuracy_difference(a, b, seeds_a=range(5), seeds_b=range(5))
    assert (verdict.a, verdict.b, verdict.verdict) == ("mlp", "linear", "better")
    assert (verdict.difference, verdict.low, verdict.high) == pytest.approx(
        (expected.mean, expected.low, expected.high)
    )
    assert "mlp is better than linear" in table.sentences[0]
    assert "2,000 images" in table.sentences[0]


def test_there_are_at_most_as_many_sentences_as_models():
    arms = [recorded(100 * k, 0.75 + 0.02 * k, model=f"model{k}") for k in range(1, 6)]
    table, _, _ = table_of(*arms)
    assert len(table.verdicts) == 4
    assert len(table.sentences) <= 5
    assert "model5" in table.contenders


def test_one_run_each_is_about_these_two_models_only():
    table, _, _ = table_of(recorded(1, 0.9, n=1, model="mlp"), recorded(100, 0.8, n=1, model="linear"))
    (verdict,) = table.verdicts
    assert verdict.verdict == "these-two-only"
    assert verdict.low is not None
    assert "retraining may reverse it" in table.sentences[0]
    assert any("--seeds" in sentence for sentence in table.sentences)


def test_runs_without_records_are_compared_and_it_says_how_to_add_them():
    table, _, _ = table_of(recorded(1, 0.9, model="mlp"), recorded(100, 0.8, model="linear"), records=False)
    (verdict,) = table.verdicts
    assert verdict.verdict == "better"
    assert "Welch" in verdict.text
    assert any("cvexp evaluate RUN --store" in sentence for sentence in table.sentences)


def test_records_of_other_weights_are_not_believed():
    good, poor = recorded(1, 0.9, model="mlp"), recorded(100, 0.8, model="linear")
    first = good[0][0].run_id
    table, _, _ = table_of((good[0], {**good[1], first: records_of(np.zeros(N_IMAGES, bool))}), poor)
    assert "Welch" in table.verdicts[0].text
    assert any("have accuracy 0.00%" in sentence for sentence in table.sentences)


def test_records_of_other_images_are_not_joined():
    good, poor = recorded(1, 0.9, model="mlp"), recorded(100, 0.8, model="linear")
    others = {key: records_of(one.correct, order="x" * 64) for key, one in poor[1].items()}
    table, _, _ = table_of(good, (poor[0], others))
    assert "Welch" in table.verdicts[0].text
    assert any("another order" in sentence for sentence in table.sentences)


def test_records_that_cannot_be_read_are_named():
    good, poor = recorded(1, 0.9, model="mlp"), recorded(100, 0.8, model="linear")
    table, _, _ = table_of(good, (poor[0], dict.fromkeys(poor[1], "the file is damaged")))
    assert any("the file is damaged" in sentence for sentence in table.sentences)


def test_a_collapsed_seed_withholds_the_verdict():
    good = recorded(1, 0.9, model="mlp")
    poor = repeats_of(100, [0.88, 0.1, 0.88], model="linear"), {}
    table, _, _ = table_of(good, poor)
    (verdict,) = table.verdicts
    assert (verdict.verdict, verdict.low) == ("cannot-tell", None)
    assert "1 of 3 seeds" in verdict.text


def test_figures_of_another_epoch_are_judged_without_the_records_of_the_last():
    table, reader, _ = table_of(recorded(1, 0.9, model="mlp"), recorded(100, 0.8, model="linear"), at="2")
    assert reader.asked == []
    assert "Welch" in table.verdicts[0].text


def test_many_groups_are_cut_to_the_best_and_records_of_few_are_read():
    runs = [run_of(n, model=f"model {n}", accuracy=n / 200) for n in range(1, 101)]
    reader = Reader()
    (table,), _ = tables_of(analysis_of(runs, reader=reader))
    assert (len(table.groups), table.n_left_out) == (SHOWN_GROUPS, 50)
    assert table.groups[0].label == "model 100"
    assert len(reader.asked) <= COMPARED_GROUPS
    assert any("50 of 100" in line for line in table.captions)
    assert any("88 more" in sentence for sentence in table.sentences)


def test_an_unfinished_run_is_shown_and_not_compared():
    runs = [*recorded(1, 0.9, model="mlp")[0], run_of(99, model="linear", accuracy=0.95, status="FAILED")]
    (table,), _ = tables_of(analysis_of(runs))
    assert (len(table.groups), table.best, table.verdicts) == (2, "mlp", ())
    assert table.front.of("linear").on_front is None


@pytest.mark.parametrize(
    ("balanced", "ahead"),
    [((0.70, 0.80), True), ((0.80, 0.80), False), ((0.80, 0.804), False), ((0.8, 0.7), False), ((0.7, None), False)],
)
def test_who_is_ahead_where_each_class_counts_the_same_is_said_if_it_is_another_one(balanced, ahead):
    runs = [
        run_of(n, model=model, accuracy=accuracy, metrics={"test/balanced_accuracy": mean})
        for n, model, accuracy, mean in ((1, "mlp", 0.9, balanced[0]), (2, "linear", 0.85, balanced[1]))
    ]
    (table,), _ = tables_of(analysis_of(runs))
    (said,) = [line for line in table.captions if "each class counts the same" in line] or [""]
    assert bool(said) == ahead
    if ahead:
        assert "linear is ahead with 80.0%, and mlp has 70.0%: see --by balanced-accuracy" in said


@pytest.mark.parametrize(("balanced", "shown"), [(0.7, True), (0.803, False), (None, False)])
def test_balanced_accuracy_is_a_usual_column_where_it_says_something_else(balanced, shown):
    runs = [run_of(1, accuracy=0.8, metrics={"test/balanced_accuracy": balanced})]
    assert ("test/balanced_accuracy" in analysis_of(runs).columns) == shown
    if balanced is not None:
        assert "test/balanced_accuracy" in analysis_of(runs, view="accuracy").columns


# ---- The front


def test_what_is_slower_and_less_accurate_is_off_the_front_and_names_what_beats_it():
    fast = recorded(1, 0.9, model="mlp", latency=0.1)
    slow = recorded(100, 0.8, model="linear", latency=5.0)
    for many, factor in ((fast[0], 0.1), (slow[0], 5.0)):
        for k, run in enumerate(many):
            run.metrics["bench/latency_ms"] = factor * (1 + 0.001 * k)
    table, _, _ = table_of(fast, slow)
    assert table.front.objectives == ("test/accuracy", "bench/latency_ms")
    assert (table.front.of("mlp").status, table.front.of("linear").status) == ("on", "off")
    assert table.front.of("linear").dominated_by == "mlp"


def test_a_difference_that_may_be_luck_takes_nobody_off_the_front():
    runs = [run_of(1, model="mlp", accuracy=0.81, seconds=4.9), run_of(2, model="linear", accuracy=0.80, seconds=5.0)]
    (table,), _ = tables_of(analysis_of(runs))
    assert (table.front.of("mlp").status, table.front.of("linear").status) == ("on", "undecided")


def test_times_of_a_busy_machine_and_of_other_conditions_are_not_placed_together():
    runs = [
        run_of(1, model="mlp", seconds=1.0),
        run_of(2, model="linear", seconds=1.0, busy=True),
        run_of(3, model="tinyvgg", seconds=9.0),
        run_of(4, model="vgg", seconds=9.0, conditions={"device": "a GPU"}),
    ]
    (table,), _ = tables_of(analysis_of(runs))
    found = {label: table.front.of(label) for label in ("mlp", "linear", "tinyvgg", "vgg")}
    assert {label for label, one in found.items() if one.status == "unplaced"} == {"linear", "vgg"}
    assert "busy" in found["linear"].reason
    assert any("busy machine" in line for line in table.captions)
    assert any("within one letter only" in line for line in table.captions)


def test_the_objectives_of_the_front_can_be_chosen():
    runs = [run_of(1, model="mlp", accuracy=0.9), run_of(2, model="linear", accuracy=0.8)]
    (table,), _ = tables_of(analysis_of(runs, front=("accuracy", "bytes")))
    assert table.front.objectives == ("test/accuracy", "model/bytes")
    with pytest.raises(ConfigError, match="loss is no accuracy"):
        tables_of(analysis_of(runs, front=("accuracy", "loss")))


# ---- The pick


def picked(*arms, budget="", **asked):
    runs = [run for some, _ in arms for run in some]
    reader = Reader({key: one for _, found in arms for key, one in found.items()})
    analysis = analysis_of(runs, reader=reader, budget=budget or None, pick=True, **asked)
    tables, _ = tables_of(analysis)
    return pick_of(tables, analysis)


def test_the_fastest_of_those_as_accurate_as_the_most_accurate_is_picked_with_its_price():
    slow, fast = recorded(1, 0.91, model="vgg", seconds=50.0), recorded(100, 0.90, model="mlp", seconds=5.0)
    poor = recorded(200, 0.80, model="linear", seconds=1.0)
    found = picked(slow, fast, poor, margin=0.05)
    assert (found.label, found.chosen_on) == ("mlp", "test")
    assert found.run_ids == tuple(run.run_id for run in fast[0])
    assert 0.005 < found.price < 0.05
    assert any("test images" in sentence for sentence in found.sentences)


def test_the_budget_leaves_the_models_whose_upper_limit_meets_it():
    big = recorded(1, 0.95, model="vgg", metrics={"model/bytes": 200_000.0})
    small = recorded(100, 0.80, model="linear")
    found = picked(big, small, budget="bytes<100k")
    assert (found.label, found.budget) == ("linear", ("bytes<100k",))
    assert "1 of 2 meet bytes<100k" in found.sentences[0]


def test_a_budget_that_nobody_meets_says_who_is_nearest():
    found = picked(recorded(1, 0.9, model="mlp", seconds=5.0), budget="train_seconds<1")
    assert (found.label, found.run_ids) == ("", ())
    assert "the nearest is mlp with 5.0 s" in found.sentences[0]


def test_a_figure_that_no_run_has_says_how_to_measure_it():
    found = picked(recorded(1, 0.9, model="mlp"), budget="latency_ms<1")
    assert "cvexp bench RUN" in found.sentences[0]


def test_validation_images_choose_where_there_are_some():
    runs = [
        run_of(1, model="mlp", accuracy=0.7, metrics={"val/accuracy": 0.9}),
        run_of(2, model="linear", accuracy=0.9, metrics={"val/accuracy": 0.7}),
    ]
    found = picked((runs, {}))
    assert (found.label, found.chosen_on) == ("mlp", "val")
    assert "test accuracy 70.00%" in " ".join(found.sentences)


def test_nothing_is_picked_over_different_test_images():
    runs = [run_of(1), run_of(2, test_set="f" * 16)]
    with pytest.raises(ConfigError, match="different test images"):
        picked((runs, {}))


# ---- Two groups in detail


def test_a_pair_says_what_differs_and_which_images_and_classes_changed():
    base = np.zeros(100, bool)
    base[:60] = True
    other = base.copy()
    other[[0, 10]] = False  # class 0
    other[[61, 71, 81]] = True  # class 1
    more = {"tags": {"cvexp.versions.torch": "2.14.0", "mlflow.source.git.commit": "a" * 40}}
    runs = [
        run_of(1, model="mlp", accuracy=0.60, settings={"lr": "0.1"}),
        run_of(2, model="mlp", accuracy=0.61, settings={"lr": "0.2"}, **more),
    ]
    (table,), _ = tables_of(analysis_of(runs))
    a, b = sorted(table.groups, key=lambda group: group.first.run_id)
    found = pair_of(a, b, records_a=[records_of(base)], records_b=[records_of(other)], class_names=("zero", "one"))
    assert [(one.name, one.a, one.b) for one in found.settings] == [("lr", "0.1", "0.2")]
    assert [(one.name, one.b) for one in found.environment] == [("torch", "2.14.0")]
    assert [one.b for one in found.code] == ["a" * 12]
    assert (found.lost.tolist(), found.gained.tolist()) == ([0, 10], [61, 71, 81])
    changes = {one.class_name: (one.n_images, pytest.approx(one.b - one.a)) for one in found.recalls}
    assert changes == {"one": (10, 0.3), "zero": (10, -0.2)}


def test_of_repeats_an_image_is_gained_where_most_seeds_of_one_get_it_and_not_of_the_other():
    a = [records_of(np.array(row, bool)) for row in ([1, 1, 0, 0], [1, 0, 0, 1], [1, 0, 0, 0])]
    b = [records_of(np.array(row, bool)) for row in ([1, 1, 1, 0], [0, 1, 1, 0], [0, 1, 0, 0])]
    runs = [*repeats_of(1, [0.5] * 3, model="mlp"), *repeats_of(9, [0.6] * 3, model="linear")]
    (table,), _ = tables_of(analysis_of(runs))
    groups = {group.label: group for group in table.groups}
    found = pair_of(groups["mlp"], groups["linear"], records_a=a, records_b=b)
    assert (found.gained.tolist(), found.lost.tolist()) == ([1, 2], [0])
    assert "3 pairs" in found.win_share
