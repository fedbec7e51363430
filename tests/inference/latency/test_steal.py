from __future__ import annotations

import pytest

from cvexp.inference.latency.steal import Ticks, read_ticks, steal_share


def test_ticks_are_read_from_the_first_line_and_guests_are_not_counted_twice(tmp_path, monkeypatch):
    monkeypatch.setattr("cvexp.inference.latency.steal.PROC", tmp_path)
    (tmp_path / "stat").write_text("cpu  10 1 5 80 2 0 1 7 9 0\ncpu0 10 1 5 80 2 0 1 7 9 0\n")
    assert read_ticks() == Ticks(every=106, stolen=7)


@pytest.mark.parametrize("text", ["", "cpu", "cpu 1 2 3", "cpu a b c d e f g h"])
def test_a_system_that_does_not_count_them_gives_none(text, tmp_path, monkeypatch):
    monkeypatch.setattr("cvexp.inference.latency.steal.PROC", tmp_path)
    assert read_ticks() is None
    (tmp_path / "stat").write_text(text)
    assert read_ticks() is None


def test_the_share_is_of_the_time_between_two_readings():
    assert steal_share(Ticks(100, 5), Ticks(300, 25)) == 0.1
    assert steal_share(Ticks(100, 5), Ticks(100, 5)) == 0.0
    assert steal_share(None, Ticks(1, 1)) is None
