from __future__ import annotations

import pytest
import typer

from cvexp.cli import flags
from cvexp.cli.main import app
from cvexp.config import RunConfig, run_config
from cvexp.config.option import settings_of
from cvexp.config.stored import config_of, typed_words
from cvexp.errors import ConfigError

CONFIGS = [
    {"model": "linear"},
    {"model": "mlp", "model_args": {"output_relu": False, "rate": 0.5, "name": "x"}, "hidden_units": 32},
    {"model": "tinyvgg", "optimizer": "adam", "lr": 0.0005, "val_split": 0.2, "limit": 300, "threads": 2, "seed": 7},
    {"model": "package.module:factory", "allow_nan": True, "step": "eager", "device": "cpu", "batch_size": 64},
]


@pytest.mark.parametrize("settings", CONFIGS, ids=lambda one: one["model"])
def test_a_configuration_is_what_its_parameters_say(settings):
    config = run_config(settings)
    assert config_of(config.params()).params() == config.params()


@pytest.mark.parametrize("settings", CONFIGS, ids=lambda one: one["model"])
def test_the_typed_command_asks_for_the_same_configuration(settings):
    config = run_config(settings)
    command = typer.main.get_command(app).commands["train"]
    with command.make_context("train", typed_words(config)) as ctx:
        given = flags._given(ctx, settings_of(RunConfig))
    assert run_config(given.of(RunConfig)).params() == config.params()


@pytest.mark.parametrize(
    "params", [{"epochs": "many"}, {"epochs": "none"}, {"momentun": "0.9"}, {"model_args.x": ""}, {"seed": "-1"}]
)
def test_parameters_that_are_no_configuration_are_refused(params):
    with pytest.raises(ConfigError):
        config_of({"model": "linear", **params})


def test_parameters_without_a_model_are_refused():
    with pytest.raises(ConfigError):
        config_of({})
