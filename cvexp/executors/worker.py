"""A worker process of the local executor: takes attempts from stdin, runs them, writes events. Lines are JSON.

Stdout carries nothing but events; what is printed goes to stderr. When stdin ends, the driver has gone: the attempt
under way is stopped with a checkpoint, and the worker leaves.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import queue
import signal
import sys
import threading
import warnings
from typing import IO, TYPE_CHECKING, NoReturn

from cvexp import process
from cvexp.errors import Interrupted
from cvexp.executors.perform import perform
from cvexp.executors.seam import Ended, from_plain, function, to_plain

if TYPE_CHECKING:
    from types import FrameType

    from cvexp.executors.seam import Attempt, Event, Stop

MODULE = "cvexp.executors.worker"
START = ("-m", MODULE)
"""Of the command line; the function's name and the driver's process follow."""

COLLECT_AFTER = (100_000, 20, 20)
"""See `cvexp.__main__`."""


class PipeChannel:
    """See seam.Channel; events are lines of a pipe."""

    def __init__(self, attempt: Attempt, out: IO[str]) -> None:
        self.attempt = attempt
        self._out, self._lock = out, threading.Lock()
        self.stop: Stop | None = None
        self.has_ended = False

    def emit(self, event: Event) -> None:
        """See seam.Channel; after the end, nothing is stopped any more."""
        self.has_ended = self.has_ended or isinstance(event, Ended)
        with self._lock, contextlib.suppress(OSError):  # the driver has gone
            self._out.write(json.dumps(to_plain(event)) + "\n")
            self._out.flush()

    def asked(self) -> Stop | None:
        """See seam.Channel."""
        return self.stop


class Worker:
    """Runs attempts in the main thread, while another one listens to the driver."""

    def __init__(self, name: str, out: IO[str]) -> None:
        self._run, self._out = name, out
        self._attempts: queue.SimpleQueue[Attempt | None] = queue.SimpleQueue()
        self._channel: PipeChannel | None = None
        self._is_orphan = False

    def work(self) -> None:
        """Run what the driver sends until it closes the pipe."""
        signal.signal(signal.SIGTERM, self._on_signal)
        for name in ("SIGINT", "SIGHUP"):  # the terminal sends them to the whole group: the driver decides
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), signal.SIG_IGN)
        threading.Thread(target=self._listen, name="cvexp-driver", daemon=True).start()
        while (attempt := self._attempts.get()) is not None and not self._is_orphan:
            self._channel = PipeChannel(attempt, self._out)
            perform(function(self._run), attempt, self._channel)
            self._channel = None

    def _listen(self) -> None:
        for line in sys.stdin:
            message = json.loads(line)
            if "attempt" in message:
                self._attempts.put(from_plain(message["attempt"]))
            else:
                self._stop(str(message["trial"]), "early" if message["stop"] == "early" else "now")
        self._is_orphan = True
        self._attempts.put(None)
        if self._channel is not None:
            self._stop(self._channel.attempt.trial, "now")

    def _stop(self, trial: str, how: Stop) -> None:
        channel = self._channel
        if channel is None or channel.attempt.trial != trial or channel.has_ended:
            return
        channel.stop = how if channel.stop != "now" else "now"
        if how == "now":
            os.kill(os.getpid(), signal.SIGTERM)  # it reaches the main thread wherever that is

    def _on_signal(self, signum: int, _frame: FrameType | None) -> None:
        """Between and before trainings, which heed signals themselves."""
        if self._channel is None:
            _leave(128 + signum)
        if not self._channel.has_ended:
            raise Interrupted(signum)


def _leave(code: int) -> NoReturn:
    """End the process without finalizing the interpreter, which takes seconds once torch and MLflow are loaded."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def is_orphan(pid: int) -> bool:
    """Whether a process is a worker whose driver has ended; False where that cannot be known."""
    import psutil

    try:
        worker = psutil.Process(pid)
        words, parent = worker.cmdline(), worker.ppid()
    except (psutil.Error, OverflowError, ValueError):
        return False
    return MODULE in words and words[-1] != str(parent)


def main() -> None:
    """What a worker process does, given the name of the function that runs attempts, and its driver's process."""
    gc.set_threshold(*COLLECT_AFTER)
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    os.environ.setdefault("MPLBACKEND", "Agg")
    process.take()
    Worker(sys.argv[1], out).work()
    _leave(0)


if __name__ == "__main__":
    main()
