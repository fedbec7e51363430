from __future__ import annotations

import threading
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


def test_readings_of_the_meter_are_those_of_read_cpu_times():
    def work():
        end = time.perf_counter() + 0.02
        while time.perf_counter() < end:
            sum(range(1000))

    with CpuMeter() as meter:
        before, slow_before = meter.read(), read_cpu_times()
        workers = [threading.Thread(target=work) for _ in range(3)]
        for worker in workers:
            worker.start()
        work()
        for worker in workers:
            worker.join()
        quick, slow = before.until(meter.read()), slow_before.until(read_cpu_times())
    assert quick.wall == pytest.approx(slow.wall, abs=0.01)
    assert quick.cpu == pytest.approx(slow.cpu, abs=0.01)
    assert (quick.waited is None) == (slow.waited is None)


def test_the_meter_closes_its_files():
    with CpuMeter() as meter:
        meter.read()
        opened = list(meter._files.values())
    assert not meter._files
    assert opened or meter.read().waited is None
