"""Worker processes: what they run, how they are stopped, and what is known of one that dies."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from cvexp.errors import ConfigError
from cvexp.executors.local import Local, open_local, visible_gpus
from cvexp.executors.seam import Attempt, Ended, Lost, Started
from cvexp.executors.worker import is_orphan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cvexp.executors.seam import Event

ROOT = Path(__file__).parents[2]
RUN = "tests.executors.attempts:run"
WITHIN = 30.0


def attempt(trial: str) -> Attempt:
    return Attempt(trial=trial, config={}, store={}, data_dir=".")


@pytest.fixture
def executor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Local]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    made = Local(RUN, 2)
    yield made
    made.close(kill=True)


def ends(executor: Local, on_start: Callable[[Event], object] = lambda _: None) -> dict[str, Ended | Lost]:
    """How everything that was submitted ended."""
    found: dict[str, Ended | Lost] = {}
    for event in executor.events(WITHIN):
        if isinstance(event, Ended | Lost):
            found[event.trial] = event
        else:
            on_start(event)
    return found


def test_slots_share_the_gpus_and_keep_their_process_from_one_attempt_to_the_next(executor: Local) -> None:
    for n in range(6):
        executor.submit(attempt(f"finish-{n}"))
    started: list[str] = []
    found = ends(executor, lambda event: started.append(event.run_name) if isinstance(event, Started) else None)
    assert [one.status for one in found.values() if isinstance(one, Ended)] == ["FINISHED"] * 6
    processes = {about.split()[0] for about in started}
    assert {tuple(about.split()[1:]) for about in started} == {("3", "2"), ("5", "2")}
    assert len(processes) == 2


def test_a_worker_that_dies_loses_its_own_attempt_and_its_slot_goes_on(executor: Local) -> None:
    for trial in ("die-0", "finish-0", "finish-1", "fail-0"):
        executor.submit(attempt(trial))
    found = ends(executor)
    lost, failed = found["die-0"], found["fail-0"]
    assert isinstance(lost, Lost)
    assert lost.reason == "its worker was killed by SIGKILL"
    assert all(isinstance(found[f"finish-{n}"], Ended) for n in range(2))
    assert isinstance(failed, Ended)
    assert (failed.status, failed.reason) == ("FAILED", "KeyError: 'missing'")
    assert "this is printed" in failed.chatter
    assert "attempts.py" in failed.chatter


@pytest.mark.parametrize(("early", "reason"), [(True, "early"), (False, "interrupted by SIGTERM")])
def test_a_stop_reaches_the_worker(executor: Local, *, early: bool, reason: str) -> None:
    for n in range(3):
        executor.submit(attempt(f"wait-{n}"))
    executor.stop("wait-2")
    found = ends(executor, lambda event: executor.stop(event.trial, early=early))
    assert [found[f"wait-{n}"].reason for n in range(2)] == [reason] * 2
    assert found["wait-2"].reason == "stopped before it began"


def test_a_second_stop_kills_the_worker(executor: Local) -> None:
    executor.submit(attempt("wait-0"))

    def stop_twice(event: Event) -> None:
        worker = psutil.Process(int(event.run_name.split()[0])) if isinstance(event, Started) else None
        assert worker is not None
        worker.suspend()
        executor.stop("wait-0")
        executor.stop("wait-0")

    found = ends(executor, stop_twice)
    assert found["wait-0"].reason == "its worker was killed by SIGKILL"


def test_workers_leave_when_their_driver_is_killed(tmp_path: Path) -> None:
    code = "from cvexp.executors.local import Local\nfrom tests.executors.test_local import attempt\n"
    code += f"e = Local({RUN!r}, 2)\n[e.submit(attempt(t)) for t in ('wait-0', 'finish-0')]\n"
    code += "found = e.events(30)\npids = set()\nwhile len(pids) < 2:\n    event = next(found)\n"
    code += "    pids.add(event.run_name.split()[0]) if hasattr(event, 'run_name') and event.run_name else None\n"
    code += "print(*pids, flush=True)\nimport time\ntime.sleep(60)"
    driver = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert driver.stdout is not None
    workers = [psutil.Process(int(pid)) for pid in driver.stdout.readline().split()]
    assert len(workers) == 2
    assert not any(is_orphan(worker.pid) for worker in workers)
    for worker in workers:
        worker.suspend()
    driver.kill()
    driver.wait()
    assert all(is_orphan(worker.pid) for worker in workers)
    assert not is_orphan(os.getpid())
    for worker in workers:
        worker.resume()
    _, alive = psutil.wait_procs(workers, timeout=WITHIN)
    assert not alive


@pytest.mark.parametrize(("n_slots", "address"), [(0, None), (1000, None), (2, "ray://host")])
def test_what_cannot_be_opened_is_refused(n_slots: int, address: str | None) -> None:
    with pytest.raises(ConfigError):
        open_local(n_slots=n_slots, address=address)


def test_gpus_are_those_that_cuda_shows(tmp_path: Path) -> None:
    for name in ("nvidia0", "nvidia7", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    assert visible_gpus({}, tmp_path) == ["0", "1"]
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": ""}, tmp_path) == []
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "GPU-8932f937,2"}, tmp_path) == ["GPU-8932f937", "2"]


def test_an_event_comes_within_the_timeout_or_not_at_all(executor: Local) -> None:
    executor.submit(attempt("wait-0"))
    assert any(isinstance(event, Started) for event in executor.events(5))
    begun = time.monotonic()
    assert list(executor.events(0.05)) == []
    assert time.monotonic() - begun < 5
