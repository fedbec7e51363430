"""What other programs use, read from a folder that looks like /proc."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import NamedTuple

import pytest

from cvexp import machine
from cvexp.machine import (
    MachineTimes,
    Occupancy,
    memory_for_files,
    occupancy_since,
    read_machine_state,
    read_machine_times,
)

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


@pytest.fixture
def groups(proc, monkeypatch):
    """A folder in place of /sys/fs/cgroup, on a machine with 8 GB of memory available."""
    (proc / "meminfo").write_text("MemTotal: 9999999 kB\nMemAvailable:    8000000 kB\n")
    monkeypatch.setattr(machine, "GROUPS", proc / "groups")

    def group(path, cgroup_line, **content):
        (proc / "self").mkdir(exist_ok=True)
        (proc / "self/cgroup").write_text(cgroup_line)
        (proc / "groups" / path).mkdir(parents=True, exist_ok=True)
        for name, value in content.items():
            (proc / "groups" / path / f"memory.{name}").write_text(f"{value}\n")

    return group


def test_files_may_have_the_memory_that_is_available(groups):
    assert memory_for_files() == 8_192_000_000


def test_without_such_counts_the_memory_for_files_is_not_known(proc):
    assert memory_for_files() is None


@pytest.mark.parametrize("where", ["own group", "group above", "no such group"])
def test_a_memory_group_of_version_2_counts_what_is_not_of_files(groups, where):
    above = {"own group": "a/b", "group above": "a", "no such group": ""}[where]
    line = "0::/elsewhere\n" if where == "no such group" else "0::/a/b\n"
    groups("a/b", line, max="max", current=5)
    groups(above, line, max=1000, current=700, stat="anon 300\nfile 400\nfile_mapped 17")
    assert memory_for_files() == 1000 - 700 + 400


def test_a_memory_group_of_version_1_counts_what_is_not_of_files(groups):
    lines = "4:cpu,cpuacct:/other\n3:memory:/a\n0::/\n"
    groups("memory", lines, limit_in_bytes=2**63 - 4096, usage_in_bytes=1, stat="total_cache 0")
    groups("memory/a", lines, limit_in_bytes=1000, usage_in_bytes=900, stat="cache 5\ntotal_cache 600")
    assert memory_for_files() == 700


def test_a_group_without_limit_or_with_counts_that_cannot_be_read_is_passed_over(groups):
    groups("a", "0::/a\n", max="max", current=5, stat="file 3")
    assert memory_for_files() == 8_192_000_000
    groups("a", "0::/a\n", max="10", current="much", stat="file 3")
    assert memory_for_files() == 8_192_000_000
