"""What follows from a component's fields, shown on a component of the test's own."""

from dataclasses import dataclass
from typing import Annotated, Literal

import pytest

from cvexp.config import RunConfig
from cvexp.config.checkpoint import CheckpointPolicy
from cvexp.config.option import Component, Option, settings_of, validated
from cvexp.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Rule(Component):
    PANEL = "Rule"

    rule: Annotated[Literal["plain", "heavy"], Option("Which rule.")] = "plain"
    weight_in_kg: Annotated[float | None, Option("How heavy.", default_by=("rule", {"plain": 0.0, "heavy": 0.9}))] = (
        None
    )
    ahead: Annotated[bool, Option("Look ahead.", flag="--ahead", advanced=True)] = False

    def check(self):
        if self.ahead and not self.effective("weight_in_kg"):
            self.refuse("ahead", "needs a --weight-in-kg above 0")


@dataclass(frozen=True, kw_only=True)
class Both(Rule, RunConfig):
    pass


def test_a_default_follows_the_field_it_depends_on():
    assert [Rule(rule=rule).effective("weight_in_kg") for rule in ("plain", "heavy")] == [0.0, 0.9]
    assert Rule(rule="heavy", weight_in_kg=0.0).params() == {"rule": "heavy", "weight_in_kg": "0.0", "ahead": "false"}


def test_components_are_combined_with_their_panels_and_checks():
    settings = settings_of(Both)
    assert list(settings)[-3:] == ["rule", "weight_in_kg", "ahead"]
    assert (settings["ahead"].flag, settings["ahead"].panel, settings["lr"].panel) == ("--ahead", "Rule", "Optimizer")
    with pytest.raises(ConfigError, match=r"^--ahead true: needs a --weight-in-kg above 0$"):
        validated(Both, {"model": "linear", "ahead": True})
    with pytest.raises(ConfigError, match=r"^--model-arg a=nan: not a finite number$"):
        validated(Both, {"model": "linear", "model_args": {"a": float("nan")}})


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("epochs", "an integer"),
        ("lr", "a number"),
        ("dataset", "text"),
        ("limit", "an integer"),
        ("step", "one of auto, eager, captured, cuda-graph"),
    ],
)
def test_true_in_place_of_a_value_is_refused_with_what_was_expected(name, expected):
    with pytest.raises(ConfigError) as refused:
        validated(RunConfig, {"model": "linear", name: True})
    assert refused.value.what == f"--{name}: expected {expected}, got true"


@pytest.mark.parametrize("values", [{"every": -1}, {"minutes": float("nan")}, {"minutes": float("inf")}, {"keep": 0}])
def test_a_checkpoint_policy_out_of_range_is_refused_however_it_is_made(values):
    for make in (lambda: CheckpointPolicy(**values), lambda: validated(CheckpointPolicy, values)):
        with pytest.raises(ConfigError, match=r"^--(checkpoint-every|checkpoint-minutes|keep) .*: at least [01]$"):
            make()
