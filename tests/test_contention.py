"""Waiting for cores, read from a folder that looks like /proc/self/task."""

from __future__ import annotations

import threading

import pytest

from cvexp import contention
from cvexp.contention import CpuTimes, CpuTotal, CpuUse, read_cpu_times


@pytest.fixture
def tasks(monkeypatch, tmp_path):
    """Set the text of each thread's schedstat; None takes the thread away."""
    monkeypatch.setattr(contention, "TASKS", tmp_path)

    def write(texts):
        for thread, text in texts.items():
            (tmp_path / str(thread)).mkdir(exist_ok=True)
            (tmp_path / str(thread) / "schedstat").unlink(missing_ok=True)
            if text is not None:
                (tmp_path / str(thread) / "schedstat").write_text(text)

    return write


@pytest.fixture
def readings(monkeypatch):
    """Let readings be these, one after the other."""

    def set_(*values):
        given = iter([CpuTimes(wall=wall, cpu=cpu, waited=waited) for wall, cpu, waited in values])
        monkeypatch.setattr(contention, "read_cpu_times", lambda: next(given))

    return set_


def test_a_reading_adds_up_what_the_threads_waited(tasks):
    tasks({1_000_001: "5000 2000000000 17\n", 1_000_002: "70 500000000 3\n", 1_000_003: None})
    assert read_cpu_times().waited == 2.5


def test_threads_of_python_that_write_and_send_do_not_count(tasks):
    leave = threading.Event()
    helper = threading.Thread(target=leave.wait)
    helper.start()
    try:
        tasks({threading.get_native_id(): "9 1000000000 1\n", helper.native_id: "9 7000000000 1\n"})
        assert read_cpu_times().waited == 1.0
    finally:
        leave.set()
        helper.join()


@pytest.mark.parametrize("text", ["0 0 0\n", "", "one two three\n", None])
def test_a_system_that_does_not_count_says_so(tasks, text):
    tasks({1_000_001: text})
    assert read_cpu_times().waited is None


def test_there_need_not_be_such_a_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(contention, "TASKS", tmp_path / "none")
    assert read_cpu_times().waited is None


def test_what_lies_between_two_readings():
    before = CpuTimes(wall=10.0, cpu=3.0, waited=1.0)
    assert before.until(CpuTimes(wall=14.0, cpu=9.0, waited=1.5)) == CpuUse(wall=4.0, cpu=6.0, waited=0.5)
    ended = before.until(CpuTimes(wall=14.0, cpu=9.0, waited=0.25))  # a thread took its count along
    assert ended.waited == 0.0
    assert before.until(CpuTimes(wall=14.0, cpu=9.0, waited=None)).waited is None


@pytest.mark.parametrize(
    ("wall", "cpu", "waited", "n_threads", "share"),
    [
        (10.0, 10.0, 0.0, 1, 0.0),
        (10.0, 7.0, 3.0, 1, 0.3),
        (10.0, 17.0, 3.0, 2, 0.3),  # one thread without a core delays both
        (10.0, 9.0, 11.0, 2, 1.0),
        (10.0, 7.0, None, 1, 0.3),
        (10.0, 13.0, None, 1, 0.0),
        (10.0, 13.0, None, 2, 0.7),
        (0.0, 0.0, 0.0, 1, 0.0),
    ],
)
def test_the_share_of_the_time_that_was_waited(wall, cpu, waited, n_threads, share):
    assert CpuUse(wall=wall, cpu=cpu, waited=waited).waited_share(n_threads) == pytest.approx(share)


def test_a_total_adds_up_pieces_and_leaves_out_what_lies_between_them(readings):
    readings((0, 0, 0.0), (4, 3, 1.0), (100, 50, 90.0), (102, 52, 90.5))
    total = CpuTotal(never_sleeps=True)
    for _ in range(2):
        total.start()
        total.stop()
    assert (total.cpu, total.waited) == (5, 1.5)


def test_a_total_that_is_stored_within_a_piece_goes_on_elsewhere(readings):
    readings((0, 0, 0.0), (4, 3, 1.0), (4, 3, 1.0), (5, 4, 1.25))
    total = CpuTotal(never_sleeps=True)
    total.start()
    stored = total.plain()
    total.stop()
    assert stored == {"cpu": 3, "waited": 1.0}
    assert (total.cpu, total.waited) == (4, 1.25)

    readings((500, 0, 7.0), (501, 1, 7.5))
    again = CpuTotal(never_sleeps=True)
    again.go_on_from(stored)
    again.start()
    again.stop()
    assert (again.cpu, again.waited) == (4, 1.5)


def test_nothing_is_known_of_a_total_that_an_early_version_did_not_count(readings):
    readings((0, 0, 0.0), (4, 3, 1.0))
    total = CpuTotal(never_sleeps=True)
    total.go_on_from({})
    total.start()
    total.stop()
    assert (total.cpu, total.waited) == (3, None)


@pytest.mark.parametrize(("never_sleeps", "waited"), [(True, 1), (False, None)])
def test_without_a_count_only_work_that_never_sleeps_has_waited(readings, never_sleeps, waited):
    readings((0, 0, None), (4, 3, None))
    total = CpuTotal(never_sleeps=never_sleeps)
    total.start()
    total.stop()
    assert total.waited == waited
