"""What other programs use, read from a folder that looks like /proc."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import NamedTuple

import pytest

from cvexp import machine
from cvexp.machine import MachineTimes, Occupancy, occupancy_since, read_machine_state, read_machine_times

TICKS = os.sysconf("SC_CLK_TCK")
STAT = """cpu  900 0 0 900 0 0 0 0 0 0
cpu0 {busy} 10 20 300 40 5 5 60 7 7
cpu1 100 0 0 500 0 0 0 0 0 0
cpu7 9999999 0 0 0 0 0 0 0 0 0
intr 5
"""


@pytest.fixture
def proc(monkeypatch, tmp_path):
    """A folder in place of /proc, and two CPUs that this process may use."""
    monkeypatch.setattr(machine, "PROC", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1}, raising=False)
    return tmp_path


def times(wall, busy, idle, own, n_cpus=2):
    return MachineTimes(wall=wall, busy=busy, idle=idle, own=own, n_cpus=n_cpus)


def test_a_reading_is_of_the_cpus_that_this_process_may_use(proc):
    (proc / "stat").write_text(STAT.format(busy=200))
    read = read_machine_times()
    assert read.n_cpus == 2
    assert read.busy * TICKS == pytest.approx(200 + 10 + 20 + 5 + 5 + 60 + 100)  # steal is taken by others too
    assert read.idle * TICKS == pytest.approx(300 + 40 + 500)
    assert read.own > 0


@pytest.mark.parametrize("text", ["", "cpu  1 2 3 4\n", "cpu0 one two\n", "\0"])
def test_a_file_that_says_nothing_is_no_reading(proc, text):
    (proc / "stat").write_text(text)
    assert read_machine_times() is None


def test_where_there_is_no_such_file_psutil_is_asked(monkeypatch, proc):
    import psutil

    class Times(NamedTuple):
        user: float
        idle: float

    times = [Times(20.0, 30.0), Times(5.0, 30.0)]
    monkeypatch.setattr(psutil, "cpu_times", lambda **_: times)
    read = read_machine_times()
    assert (read.busy, read.idle, read.n_cpus) == (25.0, 60.0, 2)


def test_a_system_that_says_nothing_at_all_is_no_reading(monkeypatch, proc):
    import psutil

    def refuse(**_):
        raise PermissionError

    monkeypatch.setattr(psutil, "cpu_times", refuse)
    assert read_machine_times() is None
    assert occupancy_since(None) is None


@pytest.mark.parametrize(
    ("later", "taken"),
    [
        (times(10, 10, 10, 10), 0.0),  # one CPU busy, with this process
        (times(10, 20, 0, 10), 1.0),
        (times(10, 20, 0, 1), 1.9),
        (times(10, 5, 15, 10), 0.0),  # the system counts in ticks, and may come out below this process's own time
        (times(10, 40, 40, 10, n_cpus=8), 3.0),
    ],
)
def test_what_others_use_is_what_this_process_does_not(later, taken):
    assert times(0, 0, 0, 0).until(later).taken == pytest.approx(taken)


@pytest.mark.parametrize("later", [times(10, 0, 0, 10), times(10, 4, 5, 10), times(0, 5, 5, 1)])
def test_a_system_that_does_not_count_cpu_time_says_nothing_of_others(later):
    assert times(0, 0, 0, 0).until(later) is None


@pytest.mark.parametrize(
    ("taken", "n_cpus", "n_free"),
    [(0.0, 2, 2), (0.49, 2, 2), (0.51, 2, 1), (1.9, 2, 1), (2.0, 2, 1), (0.3, 1, 1), (3.6, 16, 12), (16.0, 16, 1)],
)
def test_a_cpu_used_for_half_of_the_time_counts_as_taken_and_one_is_always_left(taken, n_cpus, n_free):
    assert Occupancy(taken=taken, n_cpus=n_cpus).n_free == n_free


def test_it_waits_until_the_readings_are_far_enough_apart(proc, monkeypatch):
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    (proc / "stat").write_text(STAT.format(busy=200))
    now = replace(read_machine_times(), wall=time.monotonic())
    assert occupancy_since(now) is None  # the file stands still
    assert 0 < slept[-1] <= machine.LEAST_SECONDS
    occupancy_since(replace(now, wall=now.wall - 5))
    assert slept[-1] == 0


@pytest.mark.parametrize(
    ("pressure", "text"),
    [
        ("some avg10=45.20 avg60=1.00 avg300=0.00 total=1\nfull avg10=9.00\n", "load 3.1, CPU pressure 45%"),
        ("nothing\n", "load 3.1"),
        (None, "load 3.1"),
    ],
)
def test_load_and_pressure_in_words(proc, monkeypatch, pressure, text):
    monkeypatch.setattr(os, "getloadavg", lambda: (3.14, 2.0, 1.0))
    if pressure is not None:
        (proc / "pressure").mkdir()
        (proc / "pressure" / "cpu").write_text(pressure)
    assert str(read_machine_state()) == text


def test_a_system_without_either_says_nothing(proc, monkeypatch):
    monkeypatch.delattr(os, "getloadavg")
    assert str(read_machine_state()) == ""
