from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace

import pytest

from cvexp.comparability import LATER, Conditions, condition_groups, digest

CONDITIONS = Conditions(
    device="a CPU",
    torch="2.15.0",
    precision="float32",
    threads="by model size, at most 2",
    batch_size=32,
    epochs=3,
    dataset="0123456789abcdef",
    train_images=60000,
    split="val 0.1, seed 42",
    step_runner="captured",
)
FIELDS = [field.name for field in dataclasses.fields(Conditions)]


def test_equal_conditions_have_equal_keys():
    assert CONDITIONS.key == dataclasses.replace(CONDITIONS).key
    assert len(CONDITIONS.key) == 10
    assert set(CONDITIONS.key) <= set("0123456789abcdef")


@pytest.mark.parametrize("field", FIELDS)
def test_each_condition_changes_the_key(field):
    value = getattr(CONDITIONS, field)
    other = dataclasses.replace(CONDITIONS, **{field: value + 1 if isinstance(value, int) else value + "1"})
    assert other != CONDITIONS
    assert other.key != CONDITIONS.key


def test_conditions_that_a_version_before_did_not_have_leave_its_keys_as_they_were():
    assert (CONDITIONS.augment, CONDITIONS.features) == ("none", "recomputed")
    before = {name: value for name, value in dataclasses.asdict(CONDITIONS).items() if name not in LATER}
    assert CONDITIONS.key == digest(before)
    assert json.loads(CONDITIONS.to_json()) == before


def test_a_run_that_says_nothing_of_augmentation_is_one_without():
    plain, mixed = (dataclasses.replace(CONDITIONS, augment=name) for name in ("none", "mixup"))
    runs = [SimpleNamespace(comparability_key=one.key, conditions=json.loads(one.to_json())) for one in (plain, mixed)]
    assert condition_groups(runs) == (("a", "b"), {"a": "augment none", "b": "augment mixup"})


def test_values_that_merely_change_places_change_the_key():
    swapped = dataclasses.replace(CONDITIONS, batch_size=CONDITIONS.epochs, epochs=CONDITIONS.batch_size)
    assert swapped.key != CONDITIONS.key


def test_conditions_can_be_read_back_from_their_json():
    assert Conditions(**json.loads(CONDITIONS.to_json())) == CONDITIONS
