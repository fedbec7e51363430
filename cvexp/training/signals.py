"""Ctrl-C, SIGTERM and SIGHUP while training: the first stops it between two steps, the second at once."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from typing import TYPE_CHECKING, Any, Self

from cvexp import process
from cvexp.errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from types import FrameType

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


class StopSignals:
    """Handles signals while it is entered; only the main thread can, elsewhere nothing is handled.

    The second signal ends cvexp's own process at once; in another process it raises Interrupted where it arrives.
    A signal that the process ignores, as `nohup` has it ignore SIGHUP, stays ignored. `signum` is the signal that asked
    for a stop; None while none has.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self._deferred = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for name in NAMES:
                signum = int(getattr(signal, name, 0))
                if signum and signal.getsignal(signum) is not signal.SIG_IGN:
                    self._before[signum] = signal.signal(signum, self._handle)
        return self

    def __exit__(self, *_exc: object) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)

    def ask(self, signum: int) -> None:
        """Ask for a stop as a signal would; any thread may."""
        self.signum = self.signum or signum

    def should_stop(self) -> bool:
        """Whether a signal asked for a stop."""
        return self.signum is not None

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Within the block a first signal only sets `signum`; outside it raises Interrupted where it arrives."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False

    def _handle(self, signum: int, _frame: FrameType | None) -> None:
        again = self.signum is not None
        if again and process.is_own():  # without any cleanup, which the files on the disk do not need
            name = signal.Signals(signum).name
            text = f"error: stopped at once by a second signal ({name}); the last checkpoint is intact\n"
            os.write(2, text.encode())
            os._exit(128 + signum)
        self.signum = signum
        if again or not self._deferred:
            raise Interrupted(signum)


def entered(signals: StopSignals | None) -> AbstractContextManager[StopSignals]:
    """Signals to heed within the block: those of a caller who has entered them already, or else new ones."""
    return StopSignals() if signals is None else contextlib.nullcontext(signals)
