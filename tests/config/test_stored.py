from __future__ import annotations

import pytest

from cvexp.config import run_config
from cvexp.config.stored import config_of
from cvexp.errors import ConfigError

ASKED = [
    {"model": "linear"},
    {"model": "mlp", "model_args": {"output_relu": False, "width": 3, "rate": 0.5, "kind": "wide"}},
    {"model": "tinyvgg", "optimizer": "adam", "limit": 300, "threads": 2, "val_split": 0.25, "allow_nan": True},
]


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: asked["model"])
def test_a_configuration_is_read_back_from_its_parameters(asked):
    params = run_config({"dataset": "digits", **asked}).params()
    assert config_of(params).params() == params


@pytest.mark.parametrize(
    "params", [{"epochs": "many"}, {"epochs": "none"}, {"momentun": "0.9"}, {"model_args.x": ""}, {"seed": "-1"}]
)
def test_parameters_that_no_configuration_has_are_refused(params):
    with pytest.raises(ConfigError):
        config_of({"model": "linear", **params})
