"""`seeds:` in experiment files: where it may stand, what it means, and the order of the runs."""

from __future__ import annotations

import pytest

from cvexp.config.experiment import read_experiment
from cvexp.errors import ConfigError

BOTH = "runs: [{model: linear}, {model: mlp}]"


def planned(tmp_path, text):
    path = tmp_path / "file.yaml"
    path.write_text(text)
    return [(run.config.model, run.config.seed) for run in read_experiment(path).runs]


def test_seeds_are_outside_models_inside_and_every_other_round_is_reversed(tmp_path):
    assert planned(tmp_path, f"seeds: 3\n{BOTH}") == [
        ("linear", 42),
        ("mlp", 42),
        ("mlp", 43),
        ("linear", 43),
        ("linear", 44),
        ("mlp", 44),
    ]


def test_the_nearest_seeds_count(tmp_path):
    text = "seeds: 9\ndefaults: {seeds: [1, 2]}\nruns: [{model: linear, seeds: 1, seed: 7}, {model: mlp}]"
    assert planned(tmp_path, text) == [("linear", 7), ("mlp", 1), ("mlp", 2)]


def test_seeds_may_be_written_as_on_the_command_line(tmp_path):
    assert planned(tmp_path, "seeds: 3,1\nruns: [{model: linear}]") == [("linear", 3), ("linear", 1)]


def test_every_point_of_a_grid_is_repeated(tmp_path):
    text = "seeds: 2\ngrid: {model: [linear, mlp]}"
    assert planned(tmp_path, text) == [("linear", 42), ("mlp", 42), ("mlp", 43), ("linear", 43)]


def test_repeats_of_a_named_run_end_in_their_seed(tmp_path):
    path = tmp_path / "file.yaml"
    path.write_text("runs: [{model: linear, name: base, seeds: [3, 4]}, {model: mlp, name: other}]")
    assert [run.name for run in read_experiment(path).runs] == ["base-3", "other", "base-4"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (f"seeds: 0\n{BOTH}", "run 1: seeds: 0: a number of seeds is from 1 to 1,000"),
        (f"seeds: [1, 1]\n{BOTH}", "seed 1 is given twice"),
        (f"seeds: many\n{BOTH}", "expected a number of seeds"),
        (f"seeds: 600\n{BOTH}", "asks for 1,200 runs or more"),
        ("grid: {model: [linear], seeds: [1, 2]}", "grid: unknown key 'seeds'"),
        ("seeds: 2\ngrid: {model: [linear], seed: [1, 2]}", "`seed` is listed, and `seeds` is given too"),
        (f"seeds: 2\nruns: [{{model: linear, name: {'a' * 249}}}]", "1 to 250 characters"),
    ],
)
def test_seeds_that_are_wrong_are_explained(text, complaint, tmp_path):
    with pytest.raises(ConfigError) as refused:
        planned(tmp_path, text)
    assert complaint in refused.value.what
