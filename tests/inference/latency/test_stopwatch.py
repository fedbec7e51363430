from __future__ import annotations

import time

import pytest
import torch

from cvexp.contention import CpuMeter, read_cpu_times
from cvexp.inference.latency.stopwatch import Stopwatch

CPU = torch.device("cpu")


def test_a_block_lasts_as_long_as_asked_and_counts_every_call():
    calls = []
    with CpuMeter() as meter:
        block = Stopwatch(CPU, meter, n_threads=1).block(lambda: calls.append(time.perf_counter()), seconds=0.005)
    assert len(block.calls) == len(calls)
    assert (block.calls > 0).all()
    assert 0.005 <= block.calls.sum() < 0.005 + block.calls[-1] + 1e-6
    assert block.seconds_per_call == pytest.approx(block.calls.mean())
    assert 0 <= block.waited <= 1


def test_a_block_of_a_slow_model_is_one_call():
    with CpuMeter() as meter:
        block = Stopwatch(CPU, meter, n_threads=1).block(lambda: time.sleep(0.006), seconds=0.005)
    assert len(block.calls) == 1
    assert 0.006 <= block.calls[0] < 0.1


def test_readings_of_the_meter_lie_between_those_of_read_cpu_times():
    with CpuMeter() as meter:
        meter.read()
        before, quick, after = read_cpu_times(), meter.read(), read_cpu_times()
    assert before.wall <= quick.wall <= after.wall
    assert before.cpu <= quick.cpu <= after.cpu
    assert (quick.waited is None) == (before.waited is None)
    if quick.waited is not None:
        assert before.waited <= quick.waited <= after.waited


def write(tasks, thread, ran, waited):
    (tasks / str(thread)).mkdir(exist_ok=True)
    (tasks / str(thread) / "schedstat").write_text(f"{ran} {waited} 3\n")


def test_waiting_is_summed_over_the_threads_that_compute(tmp_path, monkeypatch):
    monkeypatch.setattr("cvexp.contention.TASKS", tmp_path)
    write(tmp_path, 1, 10, 2_000_000_000)
    write(tmp_path, 2, 10, 500_000_000)
    with CpuMeter() as meter:
        before = meter.read()
        assert before.waited == 2.5
        write(tmp_path, 2, 20, 600_000_000)
        meter._n_links = 0  # what a new thread changes in /proc
        write(tmp_path, 3, 20, 50_000_000)
        used = before.until(meter.read())
    assert used.waited == pytest.approx(0.15)


def test_a_thread_that_ended_keeps_what_it_had_waited(tmp_path, monkeypatch):
    monkeypatch.setattr("cvexp.contention.TASKS", tmp_path)
    write(tmp_path, 1, 10, 2_000_000_000)
    write(tmp_path, 2, 10, 500_000_000)
    with CpuMeter() as meter:
        meter.read()
        (tmp_path / "2" / "schedstat").write_text("")  # what a read gives is no count
        assert meter.read().waited == 2.5
        assert list(meter._files) == ["1"]


def test_a_system_that_counts_no_waiting_shows_zeros(tmp_path, monkeypatch):
    monkeypatch.setattr("cvexp.contention.TASKS", tmp_path)
    write(tmp_path, 1, 0, 0)
    with CpuMeter() as meter:
        assert meter.read().waited is None


def test_the_meter_closes_its_files():
    with CpuMeter() as meter:
        meter.read()
        opened = list(meter._files.values())
    assert not meter._files
    assert opened or meter.read().waited is None
