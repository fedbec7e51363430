"""Digests of configurations, which have to stay as they are when options and model arguments are added."""

from dataclasses import dataclass
from typing import Annotated

import pytest

from cvexp.config import RunConfig, run_config
from cvexp.config.option import Option
from cvexp.config.recipe import agree, recipe

MLP = {"output_relu": True}
GOLDEN = {
    "linear": ({"model": "linear"}, {}, "48e386db6aa50d18"),
    "mlp": ({"model": "mlp", "model_args": {"output_relu": False}, "epochs": 5}, MLP, "68c6937bd49a6e22"),
    "adamw": ({"model": "tinyvgg", "optimizer": "adamw", "val_split": 0.1, "limit": 300}, {}, "126bc34c22226522"),
    "augmented": ({"model": "linear", "augment": "trivial"}, {}, "b6e1c3a912a4ce62"),
}


@dataclass(frozen=True, kw_only=True)
class Later(RunConfig):
    """A configuration with options that a later version may have."""

    PANEL = "Later"

    momentum: Annotated[float, Option("")] = 0.0
    weight_decay: Annotated[
        float | None, Option("", default_by=("optimizer", {"sgd": 0.0, "adam": 0.0, "adamw": 0.01}))
    ] = None


@pytest.mark.parametrize(("settings", "defaults", "digest"), GOLDEN.values(), ids=GOLDEN)
def test_a_recipe_is_what_it_was_in_every_version_before(settings, defaults, digest):
    config = run_config(settings)
    assert recipe(config.params(), defaults) == digest
    assert recipe(Later(**vars(config)).params(), {**defaults, "new": 0.5}, kind=Later) == digest
    completed = run_config({**settings, "model_args": {**defaults, "new": 0.5, **config.model_args}})
    assert recipe(completed.params(), {**defaults, "new": 0.5}) == digest


def test_a_new_option_that_is_used_makes_another_recipe():
    plain = Later(model="linear")
    for changed in (Later(model="linear", momentum=0.9), Later(model="linear", weight_decay=0.01)):
        assert recipe(changed.params(), {}, kind=Later) != recipe(plain.params(), {}, kind=Later)


@pytest.mark.parametrize("name", sorted(set(RunConfig.__dataclass_fields__) - {"seed", "devices", "model_args"}))
def test_every_setting_but_seed_and_devices_makes_another_recipe(name):
    params = run_config({"model": "linear"}).params()
    assert recipe({**params, name: "another"}, {}) != recipe(params, {})


def test_the_seed_and_defaults_that_were_typed_make_no_other_recipe():
    plain = recipe(run_config({"model": "mlp"}).params(), MLP)
    assert recipe(run_config({"model": "mlp", "seed": 7, "lr": 0.1, "model_args": MLP}).params(), MLP) == plain
    assert recipe(run_config({"model": "mlp", "model_args": {"output_relu": False}}).params(), MLP) != plain


def test_augmentations_typed_in_another_order_make_no_other_recipe():
    one, other = (
        run_config({"model": "linear", "augment": names}) for names in ("mixup, flip-crop", "flip-crop,mixup")
    )
    assert recipe(one.params(), {}) == recipe(other.params(), {})
    assert one.augment == "flip-crop,mixup"


def test_settings_agree_where_both_have_them():
    assert agree({"lr": "0.1", "old": "1"}, {"lr": "0.1", "new": "2"})
    assert not agree({"lr": "0.1", "seed": "1"}, {"lr": "0.1", "seed": "2"})
