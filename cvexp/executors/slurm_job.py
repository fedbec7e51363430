"""What a job of the queue runs: one attempt, whose events and orders are files in a folder that the driver shares."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cvexp import process
from cvexp.executors.perform import perform
from cvexp.executors.seam import from_plain, function, to_plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cvexp.executors.seam import Event, Stop

EVENTS, ORDER, ALIVE = "events.jsonl", "order", "driver-is-alive"
"""In an attempt's folder: its events, a line each, and how it shall stop; beside it: what the driver touches."""

LOOK_SECONDS = 0.5
ALIVE_SECONDS, GONE_SECONDS = 5.0, 90.0
"""How often a driver says that it is alive, and after how long a silence its jobs stop with a checkpoint."""


def work(folder: str, plain: Mapping[str, Any], run: str) -> None:
    """Run the attempt to its end, unless it has begun already: a job that the queue starts again does nothing."""
    process.take()
    channel = FileChannel(Path(folder))
    if channel.begin():
        perform(function(run), from_plain(plain), channel)
        channel.end()


class FileChannel:
    """See `seam.Channel`. The time limit's signal, and a driver that is silent for too long, stop it as `now` does."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stop: Stop | None = None
        self._ended = threading.Event()
        self._writing = threading.Lock()

    def begin(self) -> bool:
        """Take the attempt's folder; returns whether no other process has."""
        try:
            (self._folder / EVENTS).open("x").close()
        except FileExistsError:
            return False
        for name in ("SIGUSR1", "SIGUSR2"):  # what SLURM sends before the time is over, see submitit
            signal.signal(getattr(signal, name), lambda *_: self._now())
        threading.Thread(target=self._watch, name="cvexp-orders", daemon=True).start()
        return True

    def end(self) -> None:
        """Take no further order."""
        self._ended.set()

    def emit(self, event: Event) -> None:
        """See seam.Channel."""
        line = json.dumps(to_plain(event)).encode() + b"\n"
        with self._writing, (self._folder / EVENTS).open("ab", buffering=0) as stream:
            stream.write(line)
            os.fsync(stream.fileno())

    def asked(self) -> Stop | None:
        """See seam.Channel."""
        return self._stop

    def _watch(self) -> None:
        alive, since = 0, time.monotonic()
        while not self._ended.wait(LOOK_SECONDS):
            order = _read(self._folder / ORDER)
            if order == "early" and self._stop is None:
                self._stop = "early"
            now, touched = time.monotonic(), _touched(self._folder.parent / ALIVE)
            if touched and touched != alive:
                alive, since = touched, now
            if order == "now" or now - since > GONE_SECONDS:
                self._now()
                return

    def _now(self) -> None:
        """Stop as a signal from outside would."""
        if self._stop != "now":
            self._stop = "now"
            os.kill(os.getpid(), signal.SIGTERM)


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""


def _touched(file: Path) -> int:
    """When the file was, by the clock of whoever keeps it; 0 where it cannot be seen."""
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0
