"""Which runs are repeats of each other, what a group's figures are, and what it is called."""

from __future__ import annotations

import json
import math

import pytest

from cvexp.comparison.analysis import tables_of
from tests.comparison.made import analysis_of, repeats_of, run_of


def groups_of(runs, **asked):
    return {group.label: group for table in tables_of(analysis_of(runs, **asked))[0] for group in table.groups}


def test_runs_of_one_recipe_are_one_group_with_the_mean_and_its_t_interval():
    found = groups_of(repeats_of(1, [0.80, 0.82, 0.84]))
    (group,) = found.values()
    figure = group.figure("test/accuracy")
    half = 4.302653 * 0.02 / math.sqrt(3)  # t(0.975, 2 degrees of freedom)
    assert (group.n, group.seeds) == (3, (0, 1, 2))
    assert (figure.mean, figure.n) == (pytest.approx(0.82), 3)
    assert (figure.low, figure.high) == (pytest.approx(0.82 - half, abs=1e-6), pytest.approx(0.82 + half, abs=1e-6))


def test_without_repeats_every_run_is_a_group_of_its_own():
    runs = repeats_of(1, [0.80, 0.82])
    assert [group.n for group in groups_of(runs, repeats=False).values()] == [1, 1]


def test_unfinished_runs_and_runs_without_a_recipe_are_no_repeats():
    runs = [
        run_of(1, seed=1),
        run_of(2, seed=2, status="KILLED"),
        run_of(3, seed=3, tags={"cvexp.recipe": ""}),
        run_of(4, seed="what"),
    ]
    assert [group.n for group in groups_of(runs).values()] == [1, 1, 1, 1]


def test_the_same_seed_again_is_no_further_repeat_and_the_latest_counts():
    runs = [run_of(1, seed=1, accuracy=0.5), run_of(2, seed=1, accuracy=0.6), run_of(3, seed=2, accuracy=0.8)]
    (group,) = groups_of(runs).values()
    assert (group.n, group.n_again, group.mean("test/accuracy")) == (2, 1, pytest.approx(0.7))


def test_other_test_images_make_other_groups():
    runs = [run_of(1, seed=1), run_of(2, seed=2, test_set="f" * 16)]
    tables, captions = tables_of(analysis_of(runs))
    assert [len(table.groups) for table in tables] == [1, 1]
    assert any("one test set only" in line for line in captions)


def test_times_are_averaged_under_the_conditions_that_most_repeats_have():
    runs = repeats_of(1, [0.8, 0.8, 0.8], seconds=10.0)
    runs.append(run_of(9, seed=9, seconds=1000.0, conditions={"device": "another CPU"}))
    (group,) = groups_of(runs).values()
    seconds = group.figure("time/train_seconds")
    assert (seconds.mean, seconds.n, group.figure("test/accuracy").n) == (10.0, 3, 4)


def test_times_of_a_busy_machine_are_left_out_where_there_are_others():
    runs = [*repeats_of(1, [0.8, 0.8], seconds=10.0), run_of(9, seed=9, seconds=500.0, busy=True)]
    (group,) = groups_of(runs).values()
    assert (group.mean("time/train_seconds"), group.is_busy("time/train_seconds")) == (10.0, False)


def test_times_that_were_all_measured_on_a_busy_machine_are_marked():
    (group,) = groups_of(repeats_of(1, [0.8, 0.8], busy=True)).values()
    assert group.is_busy("time/train_seconds")
    assert not group.is_busy("test/accuracy")


def test_latencies_of_other_threads_have_another_capital_letter():
    four = {"cvexp.bench": json.dumps({"device": "cpu", "threads": 4, "busy": "load 3"})}
    runs = [run_of(1, model="linear", accuracy=0.9, latency=1.0), run_of(2, model="mlp", latency=2.0, tags=four)]
    found = groups_of(runs)
    assert (found["linear"].bench_conditions, found["mlp"].bench_conditions) == ("A", "B")
    assert (found["linear"].bench_busy, found["mlp"].bench_busy) == (False, True)


def test_a_bench_tag_that_cannot_be_read_is_a_condition_of_its_own():
    for text in ("[", "[]", '{"threads": ' + "[" * 9000):
        runs = [
            run_of(1, model="linear", accuracy=0.9, latency=1.0),
            run_of(2, model="mlp", latency=1.0, tags={"cvexp.bench": text}),
        ]
        assert groups_of(runs)["mlp"].bench_conditions == "B"


def test_a_collapsed_seed_is_counted_and_its_interval_withheld():
    (group,) = groups_of(repeats_of(1, [0.1, 0.88, 0.9])).values()
    figure = group.figure("test/accuracy")
    assert (group.n_collapsed, figure.low, figure.high) == (1, None, None)
    assert group.figure("time/train_seconds").low is not None


def test_a_figure_that_is_no_number_has_no_interval():
    (group,) = groups_of(repeats_of(1, [0.8, math.nan, 0.9])).values()
    figure = group.figure("test/accuracy")
    assert math.isnan(figure.mean)
    assert (figure.low, figure.n) == (None, 3)


@pytest.mark.parametrize(
    ("runs", "labels"),
    [
        ([run_of(1, model="linear"), run_of(2, model="mlp")], ["linear", "mlp"]),
        (
            [run_of(1, model="mlp"), run_of(2, model="mlp", settings={"hidden_units": "32"})],
            ["mlp", "mlp hidden_units=32"],
        ),
        ([run_of(1, name="mine"), run_of(2, name="mine", model="mlp")], ["linear", "mlp"]),
        (repeats_of(1, [0.8, 0.8], name="first try"), ["first try"]),
        ([run_of(1, seed=7, name="wide-7"), run_of(2, seed=8, name="wide-8")], ["wide"]),
    ],
)
def test_groups_are_called_by_their_name_model_or_settings(runs, labels):
    assert sorted(groups_of(runs)) == labels


def test_no_two_groups_of_a_table_have_one_name():
    runs = [run_of(n, name="same", recipe=f"{n}", settings={"lr": "0.1"}) for n in range(1, 6)]
    assert len(groups_of(runs)) == 5
