"""Jobs in a SLURM queue, through submitit, as the extra `cvexp[slurm]`: one job an attempt.

Driver and jobs share a folder, `.cvexp/slurm/<a number>`: a job appends its events to a file there, and reads how it
shall stop from another. Job scripts and logs are in it too. A job ends on its own once the driver says no more that it
is alive. The address `local` runs the jobs on this machine, without SLURM.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import threading
import time
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cvexp.errors import ConfigError, StorageError
from cvexp.executors.delivery import deliver
from cvexp.executors.lost import Runs
from cvexp.executors.perform import killed_in_queue
from cvexp.executors.seam import ATTEMPT, Ended, Lost, event_from_plain, to_plain
from cvexp.executors.slots import missing, slot_of
from cvexp.executors.slurm_job import ALIVE, ALIVE_SECONDS, EVENTS, ORDER, work
from cvexp.files import write_atomically
from cvexp.settings import StoreSettings
from cvexp.text import shown
from cvexp.tracking.attempts import remote_tags

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from cvexp.executors.seam import Attempt, Event, Executor
    from cvexp.executors.slots import Slot

PARAMETERS = {
    "partition": "slurm_partition",
    "account": "slurm_account",
    "qos": "slurm_qos",
    "constraint": "slurm_constraint",
    "time": "timeout_min",
    "mem_gb": "mem_gb",
}
"""Keys of `--slot`, and what submitit calls them; `time` is in minutes."""

MINUTES = 60
POLL_SECONDS = 0.2
CLOSE_SECONDS = 60.0
"""How long `close` waits for jobs to write a checkpoint and leave."""
DELIVERY_SECONDS = 20.0


def open_slurm(
    *, n_slots: int | None = None, run: str = ATTEMPT, address: str | None = None, slot: Mapping[str, str] | None = None
) -> Executor:
    """Have at most `n_slots` jobs in the queue at once.

    Raises:
        ConfigError: submitit is not installed, there is no SLURM here, or a parameter cannot be used.
    """
    asked = slot_of(slot or {}, others=tuple(PARAMETERS))
    if address not in (None, "local"):
        raise ConfigError(
            f"--address {shown(address)}: SLURM has none", "leave it out, or run jobs on this machine: --address local"
        )
    if n_slots is None:
        raise ConfigError("--executor slurm: how many jobs at once?", "for example: --workers 8")
    try:
        import submitit
    except ImportError as error:
        raise missing("submitit", "slurm") from error
    if address is None and shutil.which("srun") is None:
        raise ConfigError(
            "--executor slurm: there is no SLURM here, that is no srun",
            "go to a machine that submits jobs, or run them on this one: --address local",
        )
    return SlurmExecutor(n_slots, run=run, slot=asked, cluster=address or "slurm", library=submitit)


def parameters_of(slot: Slot) -> dict[str, Any]:
    """What `AutoExecutor.update_parameters` takes; raises ConfigError for a number that is none."""
    given: dict[str, Any] = {"time": str(MINUTES), **slot.others}
    for key in ("time", "mem_gb"):
        if key in given and not (given[key].isascii() and given[key].isdigit() and int(given[key])):
            raise ConfigError(f"--slot {key}={shown(given[key])}: not a whole number", f"for example: --slot {key}=30")
    numbers = {PARAMETERS[key]: int(given[key]) for key in ("time", "mem_gb") if key in given}
    words = {PARAMETERS[key]: value for key, value in given.items() if PARAMETERS[key] not in numbers}
    return {
        **numbers,
        **words,
        "name": "cvexp",
        "cpus_per_task": slot.cpus or 1,
        "gpus_per_node": slot.gpus,
        "slurm_additional_parameters": {"no-requeue": True},  # an attempt runs once; the driver decides on another
    }


@dataclass(kw_only=True, slots=True)
class _Job:
    attempt: Attempt
    folder: Path
    handle: Any
    read: int = 0
    stops: int = 0


class SlurmExecutor:
    """See `seam.Executor`."""

    def __init__(self, n_slots: int, *, run: str, slot: Slot, cluster: str, library: Any) -> None:
        self.n_slots = n_slots
        self._run, self._slot, self._cluster = run, slot, cluster
        self._library, self._parameters = library, parameters_of(slot)
        self._tags = remote_tags("slurm")
        self._queue: deque[Attempt] = deque()
        self._found: deque[Event] = deque()
        self._runs = Runs()
        self._jobs: list[_Job] = []
        self._stores: dict[str, Mapping[str, str]] = {}
        self._folder: Path | None = None
        self._submitter: Any = None
        self._closed = threading.Event()
        self._n = 0
        self._all_finished = True

    def submit(self, attempt: Attempt) -> None:
        """See seam.Executor; raises ConfigError for a store that other machines cannot reach."""
        settings = StoreSettings(tracking_uri=attempt.store["tracking_uri"])
        if settings.sqlite_file is not None and self._cluster != "local":
            raise ConfigError(
                f"the store {settings.sqlite_file} is a file, and jobs on other machines would damage it",
                "name one that all of them reach, such as an MLflow server: --tracking-uri http://host:5000",
            )
        self._stores[repr(sorted(attempt.store.items()))] = attempt.store
        if self._folder is None:
            self._begin(settings)
        self._queue.append(
            replace(
                attempt,
                tags={**attempt.tags, **self._tags},
                threads=attempt.threads or self._slot.cpus or 1,
                device=attempt.device or self._slot.device,
            )
        )
        self._assign()

    def events(self, timeout: float) -> Iterator[Event]:
        """See seam.Executor."""
        deadline = time.monotonic() + timeout
        while True:
            for job in list(self._jobs):
                self._look_at(job)
            self._assign()
            while self._found:
                yield self._found.popleft()
            left = deadline - time.monotonic()
            if left <= 0 or not self._jobs:
                return
            time.sleep(min(left, POLL_SECONDS))

    def stop(self, trial: str, *, early: bool = False) -> None:
        """See seam.Executor."""
        for job in self._jobs:
            if job.attempt.trial == trial:
                job.stops += not early
                if job.stops > 1:
                    job.handle.cancel()
                elif job.stops or early:
                    write_atomically(job.folder / ORDER, b"now" if job.stops else b"early")
        for attempt in [one for one in self._queue if one.trial == trial]:
            self._queue.remove(attempt)
            self._found.append(killed_in_queue(attempt))

    def close(self, *, kill: bool = False) -> None:
        """See seam.Executor; a job that has not left after a minute, or that waits in the queue, is cancelled."""
        self._queue.clear()
        for trial in [job.attempt.trial for job in self._jobs]:
            self.stop(trial)
        deadline = time.monotonic() + (0 if kill else CLOSE_SECONDS)
        while self._jobs and time.monotonic() < deadline:
            for _event in self.events(POLL_SECONDS):
                pass
        for job in self._jobs:
            job.handle.cancel()
        self._closed.set()
        self._runs.give_up_waiting()
        if not kill:
            deliver(list(self._stores.values()), seconds=DELIVERY_SECONDS)
        if self._folder is not None and self._all_finished and not self._jobs:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _begin(self, settings: StoreSettings) -> None:
        """Make the folder that driver and jobs share, and keep on saying that this process is alive."""
        folder = settings.state_dir.absolute() / "slurm" / secrets.token_hex(4)
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            raise StorageError(f"cannot make {folder}: {error.strerror}", "name another: CVEXP_STATE_DIR") from error
        (folder / ALIVE).touch()
        threading.Thread(target=self._say_alive, args=(folder / ALIVE,), name="cvexp-alive", daemon=True).start()
        self._folder = folder
        self._submitter = self._library.AutoExecutor(folder=folder / "jobs", cluster=self._cluster)
        self._submitter.update_parameters(**self._parameters)

    def _say_alive(self, file: Path) -> None:
        while not self._closed.wait(ALIVE_SECONDS):
            with contextlib.suppress(OSError):
                file.touch()

    def _assign(self) -> None:
        """Submit a job for each queued attempt, as long as there are slots."""
        while self._queue and len(self._jobs) < self.n_slots and self._folder is not None:
            attempt = self._queue.popleft()
            self._n += 1
            folder = self._folder / f"{self._n:05d}"
            folder.mkdir()
            handle = self._submitter.submit(work, str(folder), to_plain(attempt), self._run)
            self._jobs.append(_Job(attempt=attempt, folder=folder, handle=handle))

    def _look_at(self, job: _Job) -> None:
        """Take the job's new events; a job that is over without having said how it ended is lost."""
        is_over = job.handle.done()  # before its last event is looked for
        events = _new_events(job)
        if is_over and not any(isinstance(event, Ended) for event in events):
            reason = f"job {job.handle.job_id} ended as {job.handle.state}; its log: {job.handle.paths.stderr}"
            events.append(Lost(trial=job.attempt.trial, number=job.attempt.number, reason=reason))
        self._found.extend(self._runs.settle(event, job.attempt) for event in events)
        if events and isinstance(events[-1], (Ended, Lost)):
            self._jobs.remove(job)
            self._all_finished &= isinstance(events[-1], Ended) and events[-1].status == "FINISHED"


def _new_events(job: _Job) -> list[Event]:
    """The whole lines that its file of events has got since."""
    try:
        with (job.folder / EVENTS).open("rb") as stream:
            stream.seek(job.read)
            content = stream.read()
    except FileNotFoundError:  # it has not begun
        return []
    whole = content[: content.rfind(b"\n") + 1]
    job.read += len(whole)
    return [event_from_plain(json.loads(line)) for line in whole.splitlines()]
