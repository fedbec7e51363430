"""One slot of a Ray cluster: an actor on some node, and the local executor with one worker process in it.

The process that trains is no Ray worker but a child of one. So it is stopped by signals, leaves with a checkpoint when
the actor is gone, and outlives it for as long as that takes: what a local worker can do, see executors.local.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cvexp.executors.delivery import deliver
from cvexp.executors.registry import open_executor
from cvexp.executors.seam import Ended, Lost, event_from_plain, from_plain, to_plain
from cvexp.settings import STATE_DIR, VERSION, StoreSettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cvexp.executors.seam import Executor

TICK_SECONDS = 0.05
DELIVERY_SECONDS = 20.0
"""How long a node waits, when the driver closes, for a store that makes no progress."""


class RaySlot:
    """The actor's class. Its methods take and give plain JSON, one call at a time.

    Orders are numbered, and so are events: what a call lost on its way is sent again, and taken once.
    """

    def __init__(self, run: str, driver: Mapping[str, str]) -> None:
        """`driver` is what `place` says of the driver's process."""
        sys.modules["__main__"].__dict__.pop("__file__", None)  # Ray's program, which no child need import
        self._run, self._driver = run, driver
        self._executor: Executor | None = None
        self._at_work: str | None = None
        self._n_orders = 0
        self._n_events = 0
        self._events: list[tuple[int, dict[str, Any]]] = []

    def about(self) -> dict[str, str]:
        """What the driver needs to know of the node, see `place`."""
        return place()

    def turn(
        self, seen: int, orders: Sequence[tuple[int, str, dict[str, Any]]], seconds: float
    ) -> tuple[int, list[tuple[int, dict[str, Any]]]]:
        """Take orders, and wait for events at most so many seconds.

        `seen` is the number of the last event that the driver has. Returns the number of the last order that was taken,
        and the events that the driver does not have.
        """
        for n, kind, content in orders:
            if n == self._n_orders + 1:
                self._n_orders = n
                self._take(kind, content)
        self._events = [(n, event) for n, event in self._events if n > seen]
        deadline = time.monotonic() + seconds
        while not self._events and time.monotonic() < deadline:
            self._collect()
        return self._n_orders, self._events

    def _take(self, kind: str, content: Mapping[str, Any]) -> None:
        if kind == "submit":
            attempt = from_plain(content)
            self._at_work = attempt.trial
            self._choose_state_dir(attempt.store)
            self._executor = self._executor or open_executor("local", n_slots=1, run=self._run)
            self._executor.submit(
                replace(
                    attempt,
                    data_dir=os.environ.get("CVEXP_DATA_DIR") or attempt.data_dir,
                    resume=_left_here(attempt.resume, attempt.store),
                    continues=attempt.continues or attempt.resume,
                )
            )
        elif self._executor is not None:
            self._executor.stop(str(content["trial"]), early=bool(content["early"]))

    def _choose_state_dir(self, store: Mapping[str, str]) -> None:
        """Let runs keep their folders where the driver finds them, or else where they survive Ray's own folder."""
        if os.environ.get(STATE_DIR) or StoreSettings(tracking_uri=store["tracking_uri"]).sqlite_file is not None:
            return
        import platformdirs

        near = self._driver["host"] == socket.gethostname()
        os.environ[STATE_DIR] = self._driver["state_dir"] if near else str(platformdirs.user_state_path("cvexp"))

    def _collect(self) -> None:
        if self._executor is None or self._at_work is None:
            time.sleep(TICK_SECONDS)
            return
        for event in self._executor.events(TICK_SECONDS):
            self._n_events += 1
            self._events.append((self._n_events, to_plain(event)))
            if isinstance(event, (Ended, Lost)):
                self._at_work = None

    def close(self, stores: Sequence[Mapping[str, str]], *, kill: bool) -> int:
        """End the worker, and deliver what waits on this node for these stores; how many records still wait."""
        if self._executor is not None:
            self._executor.close(kill=kill)
        return 0 if kill else deliver(stores, seconds=DELIVERY_SECONDS)


def place() -> dict[str, str]:
    """Where this process is: its host, its version of cvexp, and its folder for local state."""
    return {"host": socket.gethostname(), "version": VERSION, "state_dir": str(StoreSettings().state_dir.absolute())}


def _left_here(run_id: str | None, store: Mapping[str, str]) -> str | None:
    """The run to go on with, if its folder is on this node; else only its shared checkpoint may help."""
    from cvexp.tracking.local import folder_of

    settings = StoreSettings(tracking_uri=store["tracking_uri"], experiment=store["experiment"])
    return run_id if run_id is not None and folder_of(settings, run_id) is not None else None


def events_of(plain: Sequence[tuple[int, dict[str, Any]]], seen: int) -> list[Any]:
    """The events of a reply of `turn` that the driver has not seen; raises ValueError where one has another shape."""
    return [event_from_plain(event) for n, event in plain if n > seen]
