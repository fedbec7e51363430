from __future__ import annotations

import dataclasses
import math

import pytest

from cvexp.config import RunConfig, run_config
from cvexp.config.experiment import read_experiment
from cvexp.config.model import parse_model_args
from cvexp.config.option import settings_of
from cvexp.config.run import run_name
from cvexp.errors import ConfigError


def refusal(**settings):
    with pytest.raises(ConfigError) as caught:
        run_config({"model": "mlp", **settings})
    return caught.value.lines()


def test_what_is_not_said_takes_the_course_settings():
    config = run_config({"model": "tinyvgg"})
    assert config == RunConfig(
        model="tinyvgg",
        model_args={},
        hidden_units=10,
        dataset="fashion-mnist",
        epochs=3,
        batch_size=32,
        optimizer="sgd",
        lr=None,
        seed=42,
        val_split=0.0,
        split_seed=42,
        limit=None,
        device="auto",
    )


def test_a_figure_to_monitor_goes_with_what_follows_it():
    assert refusal(monitor="macro-f1")[0] == "--monitor macro-f1: it goes with --early-stop or --keep-best"
    assert "balanced-accuracy" in "".join(refusal(monitor="balanced_acuracy", keep_best=True))
    config = run_config({"model": "mlp", "monitor": "balanced-accuracy", "keep_best": True})
    assert (config.val_split, config.monitored) == (0.1, "balanced accuracy")


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ("flip-crp,mixup", "unknown: 'flip-crp'"),
        ("flip-crop,", "unknown: ''"),
        ("", "unknown: ''"),
        ("none,mixup", "none goes with no other"),
        ("trivial,mixup,randaugment", "at most one of trivial, randaugment"),
        ("flip-crop,flip-crop", "at most one of flip-crop"),
    ],
)
def test_augmentations_that_are_unknown_or_do_not_go_together_are_refused(names, reason):
    first, second = refusal(augment=names)
    assert first == f"--augment {names}: {reason}"
    assert "flip-crop" in second or "--help" in second


def test_a_whole_number_stands_for_text_where_text_is_wanted():
    assert run_config({"model": "mlp", "freeze": 2}) == run_config({"model": "mlp", "freeze": "2"})
    assert run_config({"model": "mlp", "freeze": 2}).params()["freeze"] == "2"
    with pytest.raises(ConfigError, match="--freeze 0: features, all-but-head, or how many blocks"):
        run_config({"model": "mlp", "freeze": 0})


def test_a_config_cannot_be_changed_afterwards():
    config = run_config({"model": "mlp"})
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.epochs = 5


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("model", ""),
        ("dataset", ""),
        ("dataset", 2.5),
        ("device", ""),
        ("epochs", 0),
        ("epochs", 2.5),
        ("epochs", "many"),
        ("batch_size", 0),
        ("hidden_units", -1),
        ("optimizer", "rmsprop"),
        ("lr", 0),
        ("lr", -0.1),
        ("lr", math.inf),
        ("lr", math.nan),
        ("seed", -1),
        ("seed", 2**63),
        ("split_seed", 2**32),
        ("val_split", 1),
        ("val_split", -0.1),
        ("val_split", math.nan),
        ("limit", 0),
    ],
)
def test_a_value_out_of_range_is_refused_by_flag_and_value(setting, value):
    complaint, hint = refusal(**{setting: value})
    assert complaint.startswith(f"--{setting.replace('_', '-')} {value}:")
    assert hint == "see: cvexp train --help"


@pytest.mark.parametrize(
    ("setting", "value"),
    [("lr", 1e-12), ("seed", 2**63 - 1), ("split_seed", 2**32 - 1), ("val_split", 0.99), ("limit", 1), ("epochs", 1)],
)
def test_the_last_value_in_range_is_taken(setting, value):
    assert getattr(run_config({"model": "mlp", setting: value}), setting) == value


def test_a_mistyped_setting_is_refused_and_the_nearest_named():
    complaint, hint = refusal(epoch=3)
    assert complaint == "unknown setting: 'epoch'"
    assert hint.startswith("did you mean 'epochs'?")


def test_a_model_is_required():
    with pytest.raises(ConfigError, match=r"^--model is required$"):
        run_config({})


@pytest.mark.parametrize("value", [None, [1], {"deep": 1}])
def test_a_model_argument_that_is_no_scalar_is_refused(value):
    with pytest.raises(ConfigError):
        run_config({"model": "mlp", "model_args": {"a": value}})


def test_model_arguments_keep_their_types():
    args = {"flag": True, "count": 1, "rate": 1.0, "word": "x"}
    kept = run_config({"model": "mlp", "model_args": args}).model_args
    assert {name: (type(value), value) for name, value in kept.items()} == {
        name: (type(value), value) for name, value in args.items()
    }


@pytest.mark.parametrize(("optimizer", "rate"), [("sgd", 0.1), ("adam", 1e-3), ("adamw", 1e-3)])
def test_the_learning_rate_is_the_optimisers_default_unless_given(optimizer, rate):
    assert run_config({"model": "mlp", "optimizer": optimizer}).learning_rate == rate
    assert run_config({"model": "mlp", "optimizer": optimizer, "lr": 0.5}).learning_rate == 0.5


def test_every_optimizer_has_a_default_rate():
    settings = settings_of(RunConfig)
    other, rates = settings["lr"].option.default_by
    assert (other, set(rates)) == ("optimizer", set(settings["optimizer"].choices))


def test_parameters_are_text_as_one_would_type_it():
    config = run_config({"model": "mlp", "model_args": {"output_relu": False, "p": 0.5}, "val_split": 0.1})
    assert (
        config.params().items()
        >= {
            "model": "mlp",
            "model_args.output_relu": "false",
            "model_args.p": "0.5",
            "hidden_units": "10",
            "dataset": "fashion-mnist",
            "epochs": "3",
            "batch_size": "32",
            "optimizer": "sgd",
            "lr": "0.1",
            "seed": "42",
            "val_split": "0.1",
            "split_seed": "42",
            "limit": "none",
            "device": "auto",
            "step": "auto",
            "threads": "none",
            "log_every": "0",
            "allow_nan": "false",
        }.items()
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("false", False),
        ("true", True),
        ("3", 3),
        ("-2", -2),
        ("0.5", 0.5),
        ("gelu", "gelu"),
        ("1e-3", 1e-3),
        ("12:30", "12:30"),
        ("2020-13-45", "2020-13-45"),
        ("[1, 2]", "[1, 2]"),
        (" 7 ", 7),
        ("a=b", "a=b"),
    ],
)
def test_a_model_argument_is_read_as_it_was_meant(text, value):
    parsed = parse_model_args([f"name={text}"])
    assert parsed == {"name": value}
    assert type(parsed["name"]) is type(value)


def test_model_arguments_are_gathered_by_name():
    assert parse_model_args(["a=1", " b =2"]) == {"a": 1, "b": 2}
    assert parse_model_args([]) == {}


@pytest.mark.parametrize("pair", ["output_relu", "=3", " =3", "", "a=", "a= "])
def test_a_model_argument_that_is_no_pair_of_name_and_value_is_refused(pair):
    with pytest.raises(ConfigError, match="--model-arg") as caught:
        parse_model_args([pair])
    assert repr(pair) in caught.value.what


def test_a_model_argument_given_twice_is_refused():
    with pytest.raises(ConfigError, match="--model-arg a is given twice"):
        parse_model_args(["a=1", "b=1", "a =2"])


@pytest.mark.parametrize("name", ["model.pt", "x.safetensors", "X.PT", "@x", "@best", "-x"])
def test_a_name_by_which_no_run_could_be_selected_is_refused(name, tmp_path):
    with pytest.raises(ConfigError, match="--name"):
        run_name(name)
    path = tmp_path / "file.yaml"
    path.write_text(f"runs: [{{model: linear, name: '{name}'}}]")
    with pytest.raises(ConfigError, match="--name"):
        read_experiment(path)


@pytest.mark.parametrize("name", [None, "a", "sweep/lr 0.1", "point.ptx", "a@b", "x-y", "1.5"])
def test_other_names_are_taken(name):
    assert run_name(name) == name
