"""Where runs are trained several at once, by how many workers, and what those leave behind when they die."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cvexp.errors import ConfigError, DeliveryError, RunError
from cvexp.executors.registry import CLUSTERS, open_executor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from cvexp.config import RunConfig
    from cvexp.executors.seam import Executor
    from cvexp.runs import RunSummary
    from cvexp.settings import StoreSettings

POLL_SECONDS = 0.2
ORPHAN_SECONDS = 15.0
"""How long a command waits for the workers of one that was killed, which keep their checkpoints."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where runs are trained: an executor of the registry, where it answers, and what each of its slots has."""

    executor: str
    address: str | None = None
    slot: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_here(self) -> bool:
        """Whether it is this machine, whose CPUs and GPUs can be looked at."""
        return self.executor not in CLUSTERS


def open_in(where: Place, n_workers: int | None) -> Executor:
    """The executor of that place; its owner closes it."""
    return open_executor(where.executor, n_slots=n_workers, address=where.address, slot=where.slot)


@contextlib.contextmanager
def opened(where: Place, n_workers: int | None) -> Iterator[Executor]:
    """The executor of that place, whose workers leave when the block does; those that still train are ended first."""
    executor = open_in(where, n_workers)
    try:
        yield executor
    finally:
        executor.close()


def check_delivered(run_ids: Sequence[str], settings: StoreSettings) -> None:
    """Raise DeliveryError where these runs left records that the store does not have, not even by now."""
    from cvexp.tracking.recovery import recover

    if not waiting(run_ids, settings):
        return
    recover(settings)
    if left := waiting(run_ids, settings):
        raise DeliveryError(
            f"all runs are trained, and {sum(left.values()):,} records wait for the store",
            f"deliver them when it answers: {settings.command('sync')}",
        )


def waiting(run_ids: Sequence[str], settings: StoreSettings) -> dict[str, int]:
    """By run, of these runs, how many records wait here, whatever process made or may deliver them."""
    from cvexp.tracking.journal import Journal
    from cvexp.tracking.local import folders

    found = {}
    for folder in folders(settings):
        with contextlib.suppress(RunError):  # a damaged journal concerns its own run only
            journal = Journal(folder)
            if journal.unsent and journal.run_id in run_ids:
                found[journal.run_id] = journal.unsent
    return found


def runs_of(run_ids: Sequence[str], settings: StoreSettings) -> dict[str, RunSummary]:
    """By id, runs that workers here have trained: from the store, or as left here where records wait for it.

    Raises:
        RunError: One was deleted meanwhile.
        StoreError: The store cannot be read.
    """
    from cvexp.tracking.finished import search_ids
    from cvexp.tracking.local import local_runs
    from cvexp.tracking.store import open_store

    if not run_ids:
        return {}
    unsent = waiting(run_ids, settings)
    found = [run for run in local_runs(settings, experiment=settings.experiment) if run.run_id in unsent]
    if delivered := [run_id for run_id in run_ids if run_id not in unsent]:
        found += search_ids(open_store(settings, create=False), delivered)
    by_id = {run.run_id: run for run in found}
    for run_id in run_ids:
        if run_id not in by_id:
            raise RunError(f"run {run_id} was deleted while others were trained", "give the same command again")
    return by_id


def check_workers(n_workers: int, configs: Iterable[RunConfig]) -> None:
    """Refuse more workers than there are CPUs, and settings that take what other workers were given.

    Raises:
        ConfigError: It says which.
    """
    from cvexp.device import usable_cpus

    n_cpus = usable_cpus()
    if not 1 <= n_workers <= n_cpus:
        raise ConfigError(
            f"--workers {n_workers}: a worker needs a CPU, and {n_cpus} may be used here", f"give 1 to {n_cpus}"
        )
    for config in configs:
        if n_workers > 1 and config.threads is not None and config.threads * n_workers > n_cpus:
            raise ConfigError(
                f"--workers {n_workers} with threads {config.threads} takes more than the {n_cpus} CPUs here",
                "leave threads out: each worker takes its share",
            )
        if n_workers > 1 and ":" in config.device:
            raise ConfigError(
                f"--workers {n_workers} with device {config.device}: each worker is given a GPU of its own",
                "leave device out, or name its kind alone: cuda",
            )


def wait_for_orphans(settings: StoreSettings) -> None:
    """Wait some seconds for workers whose driver was killed: they keep their checkpoints and leave."""
    from cvexp.executors.worker import is_orphan
    from cvexp.tracking.journal import Journal
    from cvexp.tracking.liveness import PID
    from cvexp.tracking.local import folders, lock_if_free

    deadline = time.monotonic() + ORPHAN_SECONDS
    for folder in folders(settings):
        pid = ""
        with contextlib.suppress(RunError):  # a damaged journal concerns its own run only
            pid = Journal(folder).tags.get(PID, "")
        while pid.isdecimal() and is_orphan(int(pid)) and time.monotonic() < deadline:
            with lock_if_free(folder) as free:
                if free or not folder.is_dir():
                    break
            time.sleep(POLL_SECONDS)
