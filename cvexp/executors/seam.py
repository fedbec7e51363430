"""The seam between a driver, which decides what is to run, and an executor, which runs it somewhere.

An attempt at a trial goes to a worker as plain JSON, and events come back as plain JSON; what is read on either side is
validated. The function that runs an attempt is named `package.module:function`, so that only names travel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from importlib import import_module
from typing import Any, Literal, Protocol, TypeVar, cast

from cvexp.config.checkpoint import CheckpointPolicy
from cvexp.training.outputs import Outputs  # noqa: TC001 - pydantic looks for it

Read = TypeVar("Read")

Status = Literal["FINISHED", "FAILED", "KILLED"]

Stop = Literal["early", "now"]
"""`early`: the epoch under way is the last one, and the run ends FINISHED. `now`: KILLED, with a checkpoint."""

ATTEMPT = "cvexp.jobs.attempt:run"
"""Trains a run, and is what workers run by default."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One attempt at a trial.

    Attributes:
        trial: The trial's key, such as its recipe's digest and its seed.
        number: Of this attempt at the trial, from 1.
        config: `RunConfig.params()`; `config.stored.config_of` reads it.
        name: The run's name; None leaves it to the run.
        store: `tracking_uri` and `experiment`.
        data_dir: Where datasets are.
        tags: What the run is tagged with besides its own tags.
        outputs: What the run leaves; None for everything, or what a run that goes on began with.
        resume: The id of a run to go on with, whose checkpoint the worker can reach.
        continues: The id of a run of the trial that another machine may have left: where a checkpoint of it is shared,
            a new run continues it.
        seeds: Those of the repeats that the run is one of; see jobs.repeats.
        policy: When checkpoints are written, and how many stay.
        checkpoints: Where they are shared, unless the policy or CVEXP_CHECKPOINTS on the worker's machine says.
        threads: CPU threads of the slot, part of the comparability key; None until an executor gives it a slot.
        device: The slot's device, such as `cuda:0`; None leaves it to the configuration.
        command: What was typed, for a tag; by default the worker's own command line.
        n_slots: How many attempts may run on the slot's machine at once, part of the comparability key too.
    """

    trial: str
    number: int = 1
    config: Mapping[str, str]
    name: str | None = None
    store: Mapping[str, str]
    data_dir: str
    tags: Mapping[str, str] = field(default_factory=dict)
    outputs: Outputs | None = None
    resume: str | None = None
    continues: str | None = None
    seeds: tuple[int, ...] = ()
    policy: CheckpointPolicy = field(default_factory=CheckpointPolicy)
    checkpoints: str | None = None
    threads: int | None = None
    device: str | None = None
    command: tuple[str, ...] = ()
    n_slots: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Started:
    """The run of an attempt is open, and its first step comes next."""

    trial: str
    number: int
    run_id: str
    run_name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Epoch:
    """An epoch, counted from 1, was trained and evaluated; `values` are its figures by metric key."""

    trial: str
    number: int
    epoch: int
    n_epochs: int
    values: Mapping[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """An attempt has ended; `run_id` is empty where no run was opened.

    Attributes:
        metrics: The run's figures, by metric key, where it finished.
        reason: Why it ended as FAILED or KILLED, in one line; `hints` as for CvexpError.
        exit_code: What a process that trained nothing else would exit with.
        waiting: Records that still wait to be delivered; `trouble` says why.
        chatter: The last lines that its worker printed, where it failed.
    """

    trial: str
    number: int
    run_id: str = ""
    run_name: str = ""
    status: Status
    metrics: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""
    hints: tuple[str, ...] = ()
    exit_code: int = 0
    waiting: int = 0
    trouble: str = ""
    chatter: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lost:
    """The worker of an attempt ended, or cannot be reached, without a word of how the attempt did.

    `chatter` are the last lines that the worker printed.
    """

    trial: str
    number: int
    reason: str
    chatter: str = ""


Event = Started | Epoch | Ended | Lost

EVENTS: dict[str, type[Event]] = {"started": Started, "epoch": Epoch, "ended": Ended, "lost": Lost}
"""By the name that a plain event has as its `event`."""


class Executor(Protocol):
    """Runs attempts in slots, each slot one at a time. One thread uses it."""

    n_slots: int

    def submit(self, attempt: Attempt) -> None:
        """Queue an attempt until a slot is free; never blocks."""
        ...

    def events(self, timeout: float) -> Iterator[Event]:
        """The events that come within `timeout` seconds, in order for each trial.

        It ends early when there is nothing more to wait for. After a trial's `Ended` or `Lost` nothing of that attempt
        follows.
        """
        ...

    def stop(self, trial: str, *, early: bool = False) -> None:
        """Ask a trial to stop, see `Stop`; what is still queued ends as KILLED. Asked `now` twice, it ends at once."""
        ...

    def close(self, *, kill: bool = False) -> None:
        """End the workers, those that train as `stop` does; with `kill` at once."""
        ...


class Channel(Protocol):
    """What the function that runs an attempt has of its executor."""

    def emit(self, event: Event) -> None:
        """Pass an event on to the driver; any thread may."""
        ...

    def asked(self) -> Stop | None:
        """How the attempt has been asked to stop; None as long as it has not."""
        ...


Run = Callable[[Attempt, Channel], Ended]
"""Runs an attempt to its end in the calling thread. It raises for what it did not expect."""


def function(name: str) -> Run:
    """The function called `package.module:function`, which is our own code."""
    module, _, attribute = name.partition(":")
    return cast("Run", getattr(import_module(module), attribute))


def to_plain(value: Attempt | Event) -> dict[str, Any]:
    """As JSON has it; `from_plain` and `event_from_plain` read it."""
    plain = asdict(value)
    names = [name for name, kind in EVENTS.items() if isinstance(value, kind)]
    return {"event": names[0], **plain} if names else plain


def from_plain(plain: object) -> Attempt:
    """The attempt that `to_plain` wrote; raises ValueError where it has another shape."""
    return _read(Attempt, plain)


def event_from_plain(plain: object) -> Event:
    """The event that `to_plain` wrote; raises ValueError where it has another shape."""
    content = dict(plain) if isinstance(plain, dict) else {}
    kind = EVENTS.get(content.pop("event", ""))
    if kind is None:
        raise ValueError("not an event")
    return _read(kind, content)


def _read(kind: type[Read], plain: object) -> Read:
    from pydantic import TypeAdapter

    return TypeAdapter(kind).validate_python(plain)
