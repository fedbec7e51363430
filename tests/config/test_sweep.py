"""`sweep:` in experiment files: what is read, what is coerced, and what is refused, with what to write instead."""

from __future__ import annotations

from fractions import Fraction

import pytest

from cvexp.config.experiment import read_experiment
from cvexp.config.goals import Goal
from cvexp.config.space import Choices, Range
from cvexp.config.sweep import Confirmation, Pruning
from cvexp.errors import ConfigError
from cvexp.sweep.points import grid_point

FILE = """
defaults: {dataset: digits, epochs: 9, val_split: 0.1}
sweep:
  search: random
  runs: 6
  goal: {maximize: val/accuracy}
  space:
    model: [linear, mlp]
    lr: {low: 1e-4, high: 0.1, log: true}
    hidden_units: {low: 8, high: 1e2, step: 4}
  prune: {min_epochs: 1, keep: 1/3}
  confirm: {best: 3, seeds: 4}
"""


def read(tmp_path, text=FILE):
    path = tmp_path / "file.yaml"
    path.write_text(text)
    return read_experiment(path)


def test_a_sweep_is_read(tmp_path):
    sweep = read(tmp_path).sweep
    assert (sweep.search, sweep.runs, sweep.minutes, sweep.seed) == ("random", 6, None, 0)
    assert sweep.goals == (Goal(figure="val/accuracy", maximize=True),)
    assert sweep.prune == Pruning(min_epochs=1, keep=Fraction(1, 3))
    assert sweep.confirm == Confirmation(best=3, seeds=(43, 44, 45, 46))
    assert sweep.fixed == {"dataset": "digits", "epochs": 9, "val_split": 0.1}


def test_text_that_yaml_does_not_read_as_a_number_is_one(tmp_path):
    sweep = read(tmp_path).sweep
    assert sweep.space == {
        "model": Choices(options=("linear", "mlp")),
        "lr": Range(low=0.0001, high=0.1, log=True),
        "hidden_units": Range(low=8, high=100, step=4, whole=True),
    }
    listed = read(tmp_path, FILE.replace("{low: 1e-4, high: 0.1, log: true}", "[1e-4, 1, 1e-2]")).sweep
    assert listed.space["lr"].options == (0.0001, 1.0, 0.01)
    assert [type(one) for one in listed.space["lr"].options] == [float] * 3


def test_a_sweep_stands_beside_runs(tmp_path):
    both = read(tmp_path, FILE + "seeds: 2\nruns: [{model: linear}]\n")
    assert [run.config.seed for run in both.runs] == [42, 43]
    assert both.sweep is not None


def test_budget_and_confirmation_are_not_what_a_sweep_is(tmp_path):
    digest = read(tmp_path).sweep.digest
    for more in (("runs: 6", "runs: 60"), ("runs: 6", "minutes: 5"), ("best: 3", "best: 2"), ("1e-4", "0.0001")):
        assert read(tmp_path, FILE.replace(*more)).sweep.digest == digest
    others = [("0.1, log", "0.2, log"), ("[linear, mlp]", "[mlp]"), ("epochs: 9", "epochs: 8"), ("1/3", "1/2")]
    others += [("random", "tpe"), ("maximize: val/accuracy", "minimize: val/loss"), ("runs: 6", "runs: 6\n  seed: 1")]
    assert len({digest, *(read(tmp_path, FILE.replace(*one)).sweep.digest for one in others)}) == 1 + len(others)


def test_a_point_is_found_again_in_the_parameters_of_its_run(tmp_path):
    sweep = read(tmp_path).sweep
    point = {"model": "mlp", "lr": 0.003217, "hidden_units": 12}
    assert sweep.point_of(sweep.config(point).params()) == point
    assert sweep.point_of(sweep.config(point).params() | {"lr": "7"}) is None
    assert sweep.point_of(sweep.config(point).params() | {"lr": "nan"}) is None
    assert sweep.point_of({"model": "mlp"}) is None


def test_values_that_stand_for_a_default_are_found_again(tmp_path):
    space = "{lr: [null, 0.5], optimizer: [sgd, adam], model_args: [{}, {output_relu: false}], early_stop: [null, 2]}"
    text = FILE[: FILE.index("  space:")] + f"  space: {space}\n"
    sweep = read(tmp_path, text.replace("digits,", "digits, model: mlp,")).sweep
    completed = {"model_args.output_relu": "true"}
    for number in range(16):
        point = grid_point(sweep.space, number)
        assert sweep.point_of(completed | sweep.config(point).params()) == point


@pytest.mark.parametrize(
    ("keep", "rungs"), [("1/3", (1, 3, 9, 27)), ("0.5", (1, 2, 4, 8, 16, 32, 64)), ("0.4", (1, 3, 7, 16, 40))]
)
def test_rungs_grow_by_the_share_that_is_kept(tmp_path, keep, rungs):
    pruning = read(tmp_path, FILE.replace("1/3", keep)).sweep.prune
    assert pruning.rungs(81) == rungs
    assert pruning.rungs(1) == ()


def test_values_of_a_range_are_rounded_within_it():
    rate = Range(low=1.23444e-4, high=0.1, log=True)
    assert rate.rounded(0.012345678) == 0.01235
    assert rate.rounded(1.23444e-4) == 1.23444e-4
    assert Range(low=1, high=10**6, whole=True).rounded(123456.2) == 123456
    stepped = Range(low=0.1, high=0.7, step=0.2)
    assert stepped.values() == (0.1, 0.3, 0.5, 0.7)
    assert Range(low=8, high=16, step=4, whole=True).values() == (8, 12, 16)
    assert Range(low=8, high=16, whole=True).rounded(15.2) == 15


WRONG = [
    ("search: random", "search: tpx", "did you mean 'tpe'?"),
    ("  runs: 6", "  run: 6", "did you mean 'runs'?"),
    ("low: 1e-4, high", "low: 1e-4, hgh", "did you mean 'high'?"),
    ("model: [", "modle: [", "did you mean 'model'?"),
    ("low: 1e-4", "low: 0", "a logarithmic range begins above 0"),
    ("low: 1e-4", "low: -1e-4", "a logarithmic range begins above 0"),
    ("low: 1e-4", "low: small", "`low` is a number, not 'small'"),
    ("low: 1e-4", "low: .nan", "`low` is a number"),
    ("low: 1e-4", f"low: {10**400}", "`low` is a number"),
    ("low: 1e-4", "low: 0.5", "low 0.5 is not below high 0.1"),
    ("low: 1e-4, high: 0.1", "low: 1e-4", "`high` is missing"),
    ("low: 8", "low: 8.5", "`low` is an integer, not 8.5"),
    ("low: 8", "low: 0", "hidden_units=0"),
    ("high: 1e2, step: 4", "high: 70000", "hidden_units=70000"),
    ("step: 4", "step: 5", "give high: 98"),
    ("step: 4", "step: 4, log: true", "`log` and `step` do not go together"),
    ("[linear, mlp]", "[linear, linear]", "linear is listed twice"),
    ("[linear, mlp]", "[]", "0 values are listed"),
    ("[linear, mlp]", "{low: 1, high: 2}", "only numbers have a range"),
    ("[linear, mlp]", "mlp", "a range or a list of values is wanted"),
    (
        "model: [linear",
        "momentum: [0, 0.9]\n    optimizer: [sgd, adam]\n    model: [linear",
        "momentum=0.9 with optimizer=adam",
    ),
    ("model: [linear", "seed: [1, 2]\n    model: [linear", "`seed` is the same for all trials"),
    ("model: [linear", "val_split: [0.1, 0.2]\n    model: [linear", "`val_split` is the same for all trials"),
    ("model: [linear", "dataset: [digits, mnist-5k]\n    model: [linear", "`dataset` is the same for all trials"),
    ("model: [linear", "device: [cpu]\n    model: [linear", "`device` is the same for all trials"),
    ("model: [linear", "threads: [1, 2]\n    model: [linear", "`threads` is the same for all trials"),
    ("model: [linear", "epochs: [1, 2]\n    model: [linear", "`epochs` is in `defaults` too"),
    (", val_split: 0.1", "", "there is no validation part"),
    ("maximize: val", "minimize: val", "val/accuracy is not to be minimized"),
    ("val/accuracy", "test/accuracy", "did you mean 'val/accuracy'?"),
    ("maximize: val/accuracy", "minimize: macs", "macs alone needs no training"),
    ("maximize: val/accuracy", "maximize: val/accuracy, minimize: macs", "two goals are not pruned"),
    ("maximize: val/accuracy", "maximize: val/accuracy, minimize: val/loss", "two goals are val/accuracy and one of"),
    ("keep: 1/3", "keep: 3", "`keep` is a share from 0.01 to 0.99"),
    ("keep: 1/3", "keep: 1/0", "`keep` is a share"),
    ("keep: 1/3", "keep: 1e999999999", "`keep` is a share"),
    ("maximize: val/accuracy", "maximize: [val/accuracy]", "no sweep is for ['val/accuracy']"),
    ("[linear, mlp]", f"[linear{', mlp' * 60}]", "61 values are listed"),
    ("min_epochs: 1", "min_epochs: 9", "no epoch of 9 is left"),
    ("seeds: 4", "seeds: [42, 43]", "seed 42 is the one the sweep's trials"),
    ("best: 3", "best: 0", "`best` is an integer from 1 to 50"),
    ("runs: 6", "runs: 0", "`runs` is an integer from 1 to 10,000"),
    ("runs: 6", "runs: true", "`runs` is an integer"),
    ("runs: 6", "minutes: 0", "`minutes` is a number above 0"),
    ("  runs: 6\n", "", "`runs` and `minutes` are missing"),
    ("search: random", "search: grid", "a grid takes lists and ranges with a step"),
    ("sweep:", "seeds: 3\nsweep:", "`seeds` is for `runs` and `grid`"),
]


@pytest.mark.parametrize(("old", "new", "complaint"), WRONG, ids=[new.replace("\n", " ")[:40] for _, new, _ in WRONG])
def test_a_sweep_that_is_wrong_is_explained(tmp_path, old, new, complaint):
    assert old in FILE
    with pytest.raises(ConfigError) as refused:
        read(tmp_path, FILE.replace(old, new, 1))
    lines = refused.value.lines()
    assert complaint in " ".join(lines)
    assert len(lines) in (2, 3)
    assert all(len(line) < 1000 for line in lines)
