from __future__ import annotations

import pytest

from cvexp import errors
from cvexp.errors import CvexpError, InputError, Interrupted, nearest

BAD_INPUT = ["ConfigError", "DatasetError", "DeviceError", "ModelError", "RunError", "StoreError", "WeightsError"]


@pytest.mark.parametrize("name", BAD_INPUT)
def test_what_the_user_got_wrong_exits_with_2(name):
    kind = getattr(errors, name)
    assert issubclass(kind, InputError)
    assert kind.exit_code == 2


def test_other_failures_exit_with_1_and_a_gate_with_4():
    assert CvexpError.exit_code == 1
    assert errors.GateError.exit_code == 4


def test_the_complaint_comes_first_and_the_hints_follow_in_order():
    error = CvexpError("no such cat: 'Tim'", "try Tom", "see: cats --help")
    assert error.lines() == ["no such cat: 'Tim'", "try Tom", "see: cats --help"]
    assert str(error) == "no such cat: 'Tim'"


def test_a_message_never_takes_more_than_three_lines():
    error = CvexpError("first\nand  more\r\n", "a\n\tb", "c", "d", "e")
    assert error.lines() == ["first and more", "a b", "c"]


@pytest.mark.parametrize(
    ("typed", "valid", "hint"),
    [
        ("tinyvg", ["linear", "mlp", "tinyvgg"], "did you mean 'tinyvgg'? valid: linear, mlp, tinyvgg"),
        ("lp", ["linear", "mlp"], "did you mean 'mlp'? valid: linear, mlp"),
        ("resnet50", ["linear", "mlp"], "valid: linear, mlp"),
    ],
)
def test_the_nearest_name_is_suggested_only_when_it_is_near(typed, valid, hint):
    assert nearest(typed, valid) == hint


def test_the_names_to_choose_from_may_come_from_an_iterator():
    assert nearest("digts", iter(["digits", "mnist"])) == "did you mean 'digits'? valid: digits, mnist"


def test_an_interruption_keeps_its_signal_and_slips_past_except_exception():
    error = Interrupted(15)
    assert error.signum == 15
    assert isinstance(error, KeyboardInterrupt)
    assert not isinstance(error, Exception)
