"""Ended runs of one experiment, kept in the folder for local state: a large file, and a small one with what came later.

Both are replaced atomically, and the small one names the large one that it belongs to, so that processes that read and
write at once see one state or another, older perhaps, never a mixture. What an older state lacks is asked for again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cvexp.errors import ConfigError, StoreError
from cvexp.files import write_atomically
from cvexp.text import shown
from cvexp.tracking.columns import DamagedError, encoded, read_columns
from cvexp.tracking.local import address_of
from cvexp.tracking.store import make_state_dir

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from cvexp.runs import RunSummary
    from cvexp.settings import StoreSettings
    from cvexp.tracking.store import Store

VERSION = 1
"""Of the files; those of another version are not read."""

VARIABLE = "CVEXP_RUN_CACHE"
"""The environment variable that says `off` where every run is to be read from the store again."""

MIN_RUNS, MAX_RUNS = 5000, 1_000_000
"""Experiments with fewer ended runs are read quickly without; of more, the files would be too large."""

MAX_AGE_SECONDS = 7 * 86_400
"""After so long everything is read again."""

MERGED_SHARE = 0.05
"""The small file is merged into the large one when it has so many of its runs."""

FOLDER, LARGE, SMALL = "run-cache", "ended.npz", "later.npz"


@dataclass(kw_only=True, slots=True)
class RunCache:
    """The ended runs of an experiment by id, and the marks by which its source finds what has changed since.

    Attributes:
        made: When the large file was written, in seconds since the Unix epoch.
        later: Ids of the runs that are not in the large file as they are.
        dropped: Ids in the large file that do not count any more.
    """

    runs: dict[str, RunSummary]
    marks: dict[str, Any]
    base: str = ""
    made: float = 0.0
    n_base: int = 0
    later: set[str] = field(default_factory=set)
    dropped: set[str] = field(default_factory=set)

    def change(self, changed: Collection[RunSummary], dropped: Collection[str], marks: dict[str, Any]) -> None:
        """Take in what has changed, and the marks up to which that is all."""
        for run_id in dropped:
            if self.runs.pop(run_id, None) is not None:
                self.later.discard(run_id)
                self.dropped.add(run_id)
        for run in changed:
            self.runs[run.run_id] = run
            self.later.add(run.run_id)
            self.dropped.discard(run.run_id)
        self.marks = marks


def is_on() -> bool:
    """Whether the cache is to be used; raises ConfigError for a value of the variable that is none."""
    typed = os.environ.get(VARIABLE, "on")
    if typed not in ("on", "off", ""):
        raise ConfigError(f"{VARIABLE}={shown(typed)}: expected on or off", f"for example: {VARIABLE}=off")
    return typed != "off"


def is_kept(store: Store) -> bool:
    """Whether there are files of the store's experiment, and they are used."""
    return is_on() and (_folder(store) / LARGE).exists()


def load(store: Store) -> RunCache | None:
    """What is kept of the store's experiment; None where there is nothing, or nothing that can be used."""
    folder = _folder(store)
    try:
        if any(hasattr(os, "geteuid") and path.stat().st_uid != os.geteuid() for path in (folder, folder / LARGE)):
            return None
        runs, about = read_columns(folder / LARGE)
        if not _fits(about, store) or not 0 <= time.time() - about["made"] < MAX_AGE_SECONDS:
            return None
        cache = RunCache(
            runs={run.run_id: run for run in runs},
            marks=dict(about["marks"]),
            base=str(about["base"]),
            made=float(about["made"]),
            n_base=len(runs),
        )
    except (OSError, DamagedError, KeyError, TypeError, ValueError):
        return None
    with contextlib.suppress(OSError, DamagedError, KeyError, TypeError, ValueError):
        later, about = read_columns(folder / SMALL)
        dropped, marks = [str(one) for one in about["dropped"]], dict(about["marks"])
        if _fits(about, store) and about["base"] == cache.base:
            cache.change(later, dropped, marks)
    return cache


def save(store: Store, cache: RunCache) -> bool:
    """Write what has changed; returns whether it is kept now. A folder that cannot be written is left alone."""
    if not MIN_RUNS <= len(cache.runs) <= MAX_RUNS:
        return False
    whole = not cache.base or len(cache.later) + len(cache.dropped) > MERGED_SHARE * cache.n_base
    if whole:
        cache.base, cache.made = secrets.token_hex(8), time.time()
        cache.later, cache.dropped, cache.n_base = set(), set(), len(cache.runs)
    runs = list(cache.runs.values()) if whole else [cache.runs[run_id] for run_id in cache.later]
    about = {
        **_identity(store),
        "base": cache.base,
        "made": cache.made,
        "marks": cache.marks,
        "dropped": sorted(cache.dropped),
    }
    try:
        folder = _folder(store)
        make_state_dir(store.settings)
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / (LARGE if whole else SMALL), encoded(runs, about))
    except (OSError, StoreError):
        return False
    return True


def _identity(store: Store) -> dict[str, object]:
    settings = store.settings
    address = address_of(settings, state_dir=settings.state_dir)
    return {"version": VERSION, "address": address, "experiment_id": store.experiment_id}


def _fits(about: dict[str, Any], store: Store) -> bool:
    return all(about.get(name) == value for name, value in _identity(store).items())


def _folder(store: Store) -> Path:
    settings: StoreSettings = store.settings
    address = address_of(settings, state_dir=settings.state_dir)
    digest = hashlib.sha256(f"{address}\n{store.experiment_id}".encode()).hexdigest()[:16]
    return settings.state_dir / FOLDER / digest
