"""Slots on this machine: a worker process each, so that one that dies takes no other with it.

The driver and a worker exchange lines of JSON through the worker's stdin and stdout. A worker whose stdin ends knows
that the driver has gone. GPUs are divided among the slots; so are cores, by the function that runs attempts.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

from cvexp.errors import ConfigError
from cvexp.executors.perform import killed_in_queue
from cvexp.executors.seam import ATTEMPT, Ended, Lost, event_from_plain, to_plain
from cvexp.executors.worker import START
from cvexp.imports import child_environment
from cvexp.text import clean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cvexp.executors.seam import Attempt, Event, Executor

MOST_SLOTS = 64
LEAVE_SECONDS = 10.0
"""How long a worker may take to end after it was asked to."""

CHATTER_BYTES, CHATTER_LINES = 8192, 12
VISIBLE = "CUDA_VISIBLE_DEVICES"


def open_local(*, n_slots: int = 1, run: str = ATTEMPT, address: str | None = None) -> Executor:
    """The executor with `n_slots` worker processes, started when they are needed; raises ConfigError for bad ones."""
    if not 1 <= n_slots <= MOST_SLOTS:
        raise ConfigError(f"{n_slots} workers on one machine", f"give 1 to {MOST_SLOTS}")
    if address is not None:
        raise ConfigError("the local executor has no address: its workers are on this machine", "leave --address out")
    return Local(run, n_slots)


def visible_gpus(environment: dict[str, str], devices: Path = Path("/dev")) -> list[str]:
    """The GPUs that CUDA would show a process, as it is told them."""
    if VISIBLE in environment:
        return [name for name in environment[VISIBLE].split(",") if name]
    found = [one for one in devices.glob("nvidia*") if re.fullmatch(r"nvidia\d+", one.name)]
    return [str(index) for index in range(len(found))]


@dataclass(kw_only=True, slots=True)
class _Slot:
    """A slot, and its worker if it has one.

    Attributes:
        attempt: What runs in it.
        asked: How often it was asked to stop at once.
        chatter: The file with what the worker printed; `read_to` is where that of the attempt begins.
    """

    gpu: str | None
    attempt: Attempt | None = None
    asked: int = 0
    worker: subprocess.Popen[str] | None = None
    chatter: IO[bytes] | None = None
    read_to: int = 0

    def tail(self) -> str:
        """The last lines of what the worker printed while it ran the attempt."""
        if self.chatter is None:
            return ""
        size = os.fstat(self.chatter.fileno()).st_size
        content = os.pread(self.chatter.fileno(), CHATTER_BYTES, max(self.read_to, size - CHATTER_BYTES))
        lines = [clean(line) for line in content.decode(errors="replace").splitlines() if line.strip()]
        return "\n".join(lines[-CHATTER_LINES:])


@dataclass(slots=True)
class Local:
    """See `seam.Executor`."""

    run: str
    n_slots: int
    _waiting: deque[Attempt] = field(default_factory=deque)
    _found: queue.SimpleQueue[tuple[_Slot, Event | None]] = field(default_factory=queue.SimpleQueue)
    _dropped: deque[Event] = field(default_factory=deque)
    _slots: list[_Slot] = field(init=False)

    def __post_init__(self) -> None:
        gpus = visible_gpus(dict(os.environ))
        self._slots = [_Slot(gpu=gpus[n % len(gpus)] if gpus else None) for n in range(self.n_slots)]

    def submit(self, attempt: Attempt) -> None:
        """See seam.Executor."""
        self._waiting.append(replace(attempt, n_slots=max(attempt.n_slots, self.n_slots)))
        self._fill()

    def events(self, timeout: float) -> Iterator[Event]:
        """See seam.Executor."""
        deadline = time.monotonic() + timeout
        while True:
            while self._dropped:
                yield self._dropped.popleft()
            self._fill()
            if not any(slot.attempt for slot in self._slots):
                return
            try:
                slot, event = self._found.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return
            if (event := self._taken(slot, event)) is not None:
                yield event

    def stop(self, trial: str, *, early: bool = False) -> None:
        """See seam.Executor."""
        for attempt in [one for one in self._waiting if one.trial == trial]:
            self._waiting.remove(attempt)
            self._dropped.append(killed_in_queue(attempt))
        for slot in self._slots:
            if slot.attempt is None or slot.attempt.trial != trial or slot.worker is None:
                continue
            slot.asked += not early
            if slot.asked > 1:
                slot.worker.kill()
            else:
                _send(slot.worker, {"trial": trial, "stop": "early" if early else "now"})

    def close(self, *, kill: bool = False) -> None:
        """See seam.Executor."""
        self._waiting.clear()
        workers = [slot.worker for slot in self._slots if slot.worker is not None]
        for worker in workers:
            with contextlib.suppress(OSError):
                assert worker.stdin is not None  # noqa: S101 - it is a pipe
                worker.stdin.close()  # a worker stops and leaves when its driver has gone
            if kill:
                worker.kill()
        deadline = time.monotonic() + LEAVE_SECONDS
        for worker in workers:
            try:
                worker.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()

    def _fill(self) -> None:
        """Give what waits to slots that are free."""
        for slot in self._slots:
            if slot.attempt is None and self._waiting:
                slot.attempt, slot.asked = self._waiting.popleft(), 0
                if slot.worker is None:
                    self._start(slot)
                assert slot.worker is not None  # noqa: S101 - it was started
                assert slot.chatter is not None  # noqa: S101
                slot.read_to = os.fstat(slot.chatter.fileno()).st_size
                _send(slot.worker, {"attempt": to_plain(slot.attempt)})

    def _start(self, slot: _Slot) -> None:
        environment = child_environment()
        if slot.gpu is not None:
            environment[VISIBLE] = slot.gpu
        slot.chatter = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the worker lives
        slot.worker = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, *START, self.run, str(os.getpid())],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=slot.chatter,
            text=True,
            encoding="utf-8",
        )
        reading = threading.Thread(target=self._read, args=(slot, slot.worker), name="cvexp-worker", daemon=True)
        reading.start()

    def _read(self, slot: _Slot, worker: subprocess.Popen[str]) -> None:
        """Queue the events of a worker until it ends; None stands for its end."""
        assert worker.stdout is not None  # noqa: S101 - it is a pipe
        with contextlib.suppress(ValueError):  # a line that was cut when the worker died, which follows
            for line in worker.stdout:
                self._found.put((slot, event_from_plain(json.loads(line))))
        worker.kill()
        worker.wait()
        self._found.put((slot, None))

    def _taken(self, slot: _Slot, event: Event | None) -> Event | None:
        """What to pass on of what was found of a slot."""
        if event is None:
            attempt, worker, tail = slot.attempt, slot.worker, slot.tail()
            slot.attempt = slot.worker = slot.chatter = None
            if attempt is None or worker is None:
                return None
            return Lost(trial=attempt.trial, number=attempt.number, reason=_death(worker.returncode), chatter=tail)
        if isinstance(event, Ended):
            slot.attempt = None
            if event.status == "FAILED":
                return replace(event, chatter=slot.tail())
        return event


def _send(worker: subprocess.Popen[str], message: dict[str, object]) -> None:
    assert worker.stdin is not None  # noqa: S101 - it is a pipe
    with contextlib.suppress(OSError):  # it has ended, which its reader finds out
        worker.stdin.write(json.dumps(message) + "\n")
        worker.stdin.flush()


def _death(code: int) -> str:
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"its worker was killed by {signal.Signals(-code).name}"
    return f"its worker ended with exit code {code}"
