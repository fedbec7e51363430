"""Slots on a Ray cluster, as the extra `cvexp[ray]`: one actor a slot, wherever Ray finds room for it.

The cluster is joined, never started, but for the address `local`, which starts one on this machine for as long as the
driver runs. Ray decides when a node is lost; its attempt is Lost then, and the slot waits for room elsewhere.
"""

from __future__ import annotations

import contextlib
import math
import socket
import time
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cvexp.errors import ConfigError, TrainingError
from cvexp.executors.lost import Runs
from cvexp.executors.perform import killed_in_queue
from cvexp.executors.ray_cluster import join, n_slots_of, ray_library, room_for
from cvexp.executors.ray_slot import RaySlot, events_of, place
from cvexp.executors.seam import ATTEMPT, Ended, Lost, to_plain
from cvexp.executors.slots import slot_of
from cvexp.settings import VERSION, StoreSettings
from cvexp.tracking.attempts import remote_tags

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cvexp.executors.seam import Attempt, Event, Executor
    from cvexp.executors.slots import Slot

TURN_SECONDS, IDLE_SECONDS = 0.5, 0.1
"""How long a slot waits for events before it takes the next orders."""
MOST_UNOPENED = 3
"""How often in a row a slot may die before it is open."""
UNAVAILABLE_SECONDS = 1.0
"""The pause before a node is asked again that did not answer, until Ray says that it is lost."""
END_SECONDS = 3.0
"""How long a node may take to answer that an attempt was ended at once."""
CLOSE_SECONDS = 60.0
"""How long the nodes may take to deliver what waits there."""

KEEP_CHILDREN = {"RAY_kill_child_processes_on_worker_exit": "false"}
"""Ray would kill the process that trains as soon as the actor ends, which leaves it no time for a checkpoint."""


def open_ray(
    *, n_slots: int | None = None, run: str = ATTEMPT, address: str | None = None, slot: Mapping[str, str] | None = None
) -> Executor:
    """Join the cluster at `address`; by default it has as many slots as find room.

    Raises:
        ConfigError: Ray is not installed, the cluster cannot be joined, or has no room for a slot.
    """
    asked = slot_of(slot or {})
    nodes = join(address)
    try:
        cpus, n = n_slots_of(nodes, asked, n_slots)
    except ConfigError:
        ray_library().shutdown()
        raise
    slot_here = replace(asked, cpus=cpus)
    at_once = max(room_for(slot_here, node) for node in nodes)
    return RayExecutor(n, run=run, slot=slot_here, at_once=min(n, at_once))


@dataclass(kw_only=True, slots=True)
class _Actor:
    """A slot as the driver sees it.

    Attributes:
        turn: The call under way; `waits_until` is when the next one may be made.
        seen: The number of the last event; `n_orders` that of the last order, and `orders` those not yet taken.
        n_stops: How often its attempt was asked to stop; `ends_by` is when that is given up on a node that is silent.
    """

    handle: Any
    turn: Any = None
    attempt: Attempt | None = None
    host: str = ""
    seen: int = 0
    orders: list[tuple[int, str, dict[str, Any]]] = field(default_factory=list)
    n_orders: int = 0
    waits_until: float = 0.0
    n_stops: int = 0
    ends_by: float = math.inf

    def order(self, kind: str, **content: Any) -> None:
        """Give an order with the next turn."""
        self.n_orders += 1
        self.orders.append((self.n_orders, kind, content))


class RayExecutor:
    """See `seam.Executor`."""

    def __init__(self, n_slots: int, *, run: str, slot: Slot, at_once: int) -> None:
        """`at_once` are the slots that one node may have."""
        self.n_slots, self._at_once = n_slots, at_once
        self._ray = ray_library()
        self._run, self._slot = run, slot
        self._tags = remote_tags("ray")
        self._queue: deque[Attempt] = deque()
        self._found: deque[Event] = deque()
        self._n_unopened = 0
        self._runs = Runs()
        self._stores: dict[str, Mapping[str, str]] = {}
        self._actors = [self._opened() for _ in range(n_slots)]

    def submit(self, attempt: Attempt) -> None:
        """See seam.Executor; raises ConfigError for a store that the nodes cannot reach."""
        self._check_store(attempt.store)
        self._stores[repr(sorted(attempt.store.items()))] = attempt.store
        self._queue.append(
            replace(
                attempt,
                tags={**attempt.tags, **self._tags},
                threads=attempt.threads or self._slot.cpus,
                device=attempt.device or self._slot.device,
                n_slots=self._at_once,
            )
        )
        self._assign()

    def events(self, timeout: float) -> Iterator[Event]:
        """See seam.Executor."""
        deadline = time.monotonic() + timeout
        while True:
            while self._found:
                yield self._found.popleft()
            left = deadline - time.monotonic()
            if left <= 0 or not (self._queue or any(actor.attempt for actor in self._actors)):
                return
            self._poll(left)

    def stop(self, trial: str, *, early: bool = False) -> None:
        """See seam.Executor."""
        for attempt in [one for one in self._queue if one.trial == trial]:
            self._queue.remove(attempt)
            self._found.append(killed_in_queue(attempt))
        for actor in self._actors:
            if actor.attempt is not None and actor.attempt.trial == trial:
                actor.order("stop", trial=trial, early=early)
                actor.n_stops += not early
                if actor.n_stops > 1:
                    actor.ends_by = time.monotonic() + END_SECONDS

    def close(self, *, kill: bool = False) -> None:
        """See seam.Executor; a node that does not answer in a minute is left."""
        self._runs.give_up_waiting()
        stores = list(self._stores.values())
        with contextlib.suppress(self._ray.exceptions.RayError):
            closing = [actor.handle.close.remote(stores, kill=kill) for actor in self._actors if actor.host]
            if closing:
                self._ray.wait(closing, num_returns=len(closing), timeout=CLOSE_SECONDS)
        self._ray.shutdown()

    def _opened(self) -> _Actor:
        actor = self._ray.remote(RaySlot).options(
            num_cpus=self._slot.cpus, num_gpus=self._slot.gpus, runtime_env={"env_vars": KEEP_CHILDREN}
        )
        opened = _Actor(handle=actor.remote(self._run, place()))
        opened.turn = opened.handle.about.remote()
        return opened

    def _assign(self) -> None:
        """Give queued attempts to slots that are open and free."""
        for actor in self._actors:
            if self._queue and actor.host and actor.attempt is None:
                actor.attempt, actor.n_stops, actor.ends_by = self._queue.popleft(), 0, math.inf
                actor.order("submit", **to_plain(actor.attempt))

    def _poll(self, seconds: float) -> None:
        """Wait for a slot's answer, and make the next call of each slot that may."""
        now = time.monotonic()
        for actor in self._actors:
            if actor.attempt is not None and now > actor.ends_by:
                self._ray.kill(actor.handle)
                self._lose(actor, TimeoutError("it does not answer"))
        for actor in self._actors:
            if actor.turn is None and now >= actor.waits_until:
                wait = IDLE_SECONDS if actor.attempt is None else TURN_SECONDS
                actor.turn = actor.handle.turn.remote(actor.seen, actor.orders, wait)
        turns = {actor.turn: actor for actor in self._actors if actor.turn is not None}
        if not turns:
            time.sleep(min(seconds, IDLE_SECONDS))
            return
        answered, _ = self._ray.wait(list(turns), timeout=min(seconds, TURN_SECONDS))
        for turn in answered:
            self._take(turns[turn], turn)

    def _take(self, actor: _Actor, turn: Any) -> None:
        errors = self._ray.exceptions
        actor.turn = None
        try:
            answer = self._ray.get(turn)
        except errors.ActorUnavailableError:  # the network may come back; Ray decides when the node is lost
            actor.waits_until = time.monotonic() + UNAVAILABLE_SECONDS
            if not actor.host:
                actor.turn = actor.handle.about.remote()
        except (errors.RayActorError, errors.ObjectLostError, errors.NodeDiedError) as error:
            self._lose(actor, error)
        except errors.RayTaskError as error:
            raise TrainingError(f"a slot on {actor.host or 'a node'} fails: {_line(error.cause or error)}") from error
        else:
            if actor.host:
                n_taken, plain = answer
                actor.orders = [order for order in actor.orders if order[0] > n_taken]
                self._receive(actor, plain)
            else:
                _check_version(answer)
                actor.host, self._n_unopened = answer["host"], 0
        self._assign()

    def _receive(self, actor: _Actor, plain: list[tuple[int, dict[str, Any]]]) -> None:
        for event in events_of(plain, actor.seen):
            if actor.attempt is not None:
                self._found.append(self._runs.settle(event, actor.attempt))
            if isinstance(event, (Ended, Lost)):
                actor.attempt = None
        actor.seen = max([actor.seen, *(n for n, _ in plain)])

    def _lose(self, actor: _Actor, error: Exception) -> None:
        """The actor has died, and with it what Ray knows of its attempt; its slot is opened again.

        Raises TrainingError where that has failed too often, as it does on a node without cvexp.
        """
        self._n_unopened = 0 if actor.host else self._n_unopened + 1
        if self._n_unopened > MOST_UNOPENED * self.n_slots:
            last = str(error).strip().splitlines()[-1][:160]
            raise TrainingError(f"no slot can be opened: {last}", "is the same cvexp installed on every node?")
        if actor.attempt is not None:
            reason = f"a slot on {actor.host} is lost: {_line(error)}"
            lost = Lost(trial=actor.attempt.trial, number=actor.attempt.number, reason=reason)
            self._found.append(self._runs.settle(lost, actor.attempt))
        self._actors[self._actors.index(actor)] = self._opened()

    def _check_store(self, store: Mapping[str, str]) -> None:
        file = StoreSettings(tracking_uri=store["tracking_uri"]).sqlite_file
        nodes = [] if file is None else self._ray.nodes()
        if others := {node["NodeManagerHostname"] for node in nodes if node["Alive"]} - {socket.gethostname()}:
            raise ConfigError(
                f"the store {file} is a file on this machine, and the cluster has others: {', '.join(sorted(others))}",
                "name one that all of them reach, such as an MLflow server: --tracking-uri http://host:5000",
            )


def _check_version(answer: Mapping[str, str]) -> None:
    if answer["version"] != VERSION:
        raise ConfigError(
            f"{answer['host']} has version {answer['version']} of cvexp, and this machine {VERSION}",
            "install the same version on every node",
        )


def _line(error: BaseException) -> str:
    """The first line of what Ray says, without its full stop."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].strip().rstrip(".")[:160]
