"""Durations as people read them."""

from __future__ import annotations

import pytest

from cvexp.report.terminal import seconds


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.123, "0.12 s"),
        (12.34, "12.3 s"),
        (59.94, "59.9 s"),
        (59.97, "1 min 0 s"),
        (119.6, "2 min 0 s"),
        (3661, "61 min 1 s"),
    ],
)
def test_a_duration_is_rounded_before_it_is_split_into_minutes_and_seconds(value, text):
    assert seconds(value) == text
