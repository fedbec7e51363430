"""Look over a working folder and its machine: store, local state, disk, versions, device. Nothing is written."""

from __future__ import annotations

import os
import shlex
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cvexp.jobs.doctor_machine import machine_findings, version_findings
from cvexp.redaction import without_credentials
from cvexp.runs import ID_DIGITS
from cvexp.settings import RUNS, cached_data_dir, image_cache_dir, image_cache_limit
from cvexp.tracking.finding import Finding, Level, of_error
from cvexp.tracking.health import store_findings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cvexp.settings import StoreSettings
    from cvexp.tracking.local import Leftover

FULL_BYTES, LITTLE_BYTES = 200e6, 2e9
"""Free on a disk: below the first training fails soon, below the second it may."""

WALK_SECONDS = 2.0
"""For adding up the files of one folder."""

CLEAR = "cvexp data --clear-cache"

SHOWN = 3
"""Of several things of one kind."""

_SECRET = ("PASSWORD", "TOKEN", "SECRET", "KEY", "CREDENTIAL", "AUTH")


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnosis:
    """All that was found, in the order in which it was looked at."""

    findings: tuple[Finding, ...]

    @property
    def n_problems(self) -> int:
        """How many findings are problems."""
        return sum(one.level is Level.PROBLEM for one in self.findings)


def run(settings: StoreSettings) -> Diagnosis:
    """Look at everything; what cannot be looked at is a finding."""
    environment = list(_of_environment())  # before MLflow is loaded, which gets defaults through it
    findings = [*store_findings(settings), *_of_leftovers(settings), *_of_staging(settings)]
    findings += [*_of_disks(settings), *_of_caches()]
    return Diagnosis(findings=(*findings, *version_findings(), *machine_findings(), *environment))


def _of_leftovers(settings: StoreSettings) -> Iterator[Finding]:
    """Journals under `.cvexp`: records that wait, runs that can be resumed, damage, folders without a journal."""
    from cvexp.tracking.local import leftovers

    found = leftovers(settings)
    for one in found:
        if one.problem:
            discard = settings.command("sync", "--discard", one.run_id[:ID_DIGITS])
            yield Finding(topic="journals", text=one.problem, level=Level.PROBLEM, remedy=discard)
    waiting = [one for one in found if one.waiting and one.status != "RUNNING"]
    if waiting:
        n, names = sum(one.waiting for one in waiting), _names(waiting)
        text = f"{n:,} record{' waits' if n == 1 else 's wait'} to be delivered, of {names}"
        yield Finding(topic="journals", text=text, level=Level.NOTE, remedy=settings.command("sync"))
    stopped = [one for one in found if one.resumable and one.status not in ("RUNNING", "FINISHED")]
    if stopped:
        text = f"{len(stopped):,} stopped run{'' if len(stopped) == 1 else 's'} can go on: {_names(stopped)}"
        resume = settings.command("train", "--resume", stopped[0].run_id[:ID_DIGITS])
        yield Finding(topic="journals", text=text, level=Level.NOTE, remedy=resume)
    runs = settings.state_dir / RUNS
    if (n_running := sum(one.status == "RUNNING" for one in found)) or not found:
        text = f"{n_running:,} run{'' if n_running == 1 else 's'} being written" if n_running else "nothing waits"
        yield Finding(topic="journals", text=f"{text} in {runs}")


def _names(runs: Iterable[Leftover]) -> str:
    names = [one.name or one.run_id[:ID_DIGITS] for one in runs]
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else "")


def _of_staging(settings: StoreSettings) -> Iterator[Finding]:
    """What a killed export left here and one folder below; `cvexp export` into the same folder removes it too."""
    from cvexp.jobs.staging import PREFIX, is_left

    here = (settings.sqlite_file or Path("mlflow.db")).absolute().parent
    left = []
    for folder in dict.fromkeys((here, Path.cwd())):
        left += [
            one for pattern in (f"{PREFIX}*", f"*/{PREFIX}*") for one in sorted(folder.glob(pattern)) if is_left(one)
        ]
    for one in dict.fromkeys(left):
        text = f"{one} is what an export that was killed left"
        yield Finding(topic="exports", text=text, level=Level.NOTE, remedy=f"rm -r {shlex.quote(str(one))}")


def _of_disks(settings: StoreSettings) -> Iterator[Finding]:
    """The free bytes of each disk, with what cvexp keeps on it."""
    from cvexp.tracking.store import artifact_root

    file, state = settings.sqlite_file, settings.state_dir.absolute()
    folders = {"checkpoints and journals": state, "decoded images": image_cache_dir(), "datasets": cached_data_dir()}
    if file is not None:
        folders = {"artifacts": artifact_root(file), **folders}
    disks: dict[int, list[str]] = {}
    places: dict[int, Path] = {}
    for name, folder in folders.items():
        there = next(one for one in (folder, *folder.parents) if one.exists())
        disk = there.stat().st_dev
        disks.setdefault(disk, []).append(f"{name} {_size(folder)}" if folder.is_dir() else f"{name} none")
        places.setdefault(disk, there)
    for disk, kept in disks.items():
        usage = shutil.disk_usage(places[disk])
        level = Level.PROBLEM if usage.free < FULL_BYTES else Level.NOTE if usage.free < LITTLE_BYTES else Level.OK
        text = f"{usage.free / 1e9:,.1f} of {usage.total / 1e9:,.1f} GB free; {', '.join(kept)}"
        yield Finding(topic="disk", text=text, level=level, remedy="" if level is Level.OK else CLEAR)


def _size(folder: Path) -> str:
    """What the files below a folder take, as far as they are added up in `WALK_SECONDS`."""
    end, total = time.monotonic() + WALK_SECONDS, 0
    for parent, _, names in os.walk(folder, onerror=lambda _: None):
        total += sum(_bytes_of(Path(parent, name)) for name in names)
        if time.monotonic() > end:
            return f"over {total / 1e6:,.1f} MB"
    return f"{total / 1e6:,.1f} MB"


def _bytes_of(file: Path) -> int:
    try:
        return file.lstat().st_size
    except OSError:  # removed meanwhile
        return 0


def _of_caches() -> Iterator[Finding]:
    """Decoded images beside what they may take."""
    from cvexp.errors import CvexpError
    from cvexp.jobs.data import decoded

    try:
        image_cache_limit()
        found = decoded()
    except CvexpError as error:
        yield of_error("caches", error)
        return
    if found is None or not found.n_sets:
        yield Finding(topic="caches", text="no decoded images")
        return
    used, most = found.n_bytes / 1e9, found.limit / 1e9
    sets = f"{found.n_sets:,} set{'' if found.n_sets == 1 else 's'} of decoded images"
    text = f"{sets}, {used:,.1f} of at most {most:,.1f} GB"
    if used > most:
        yield Finding(topic="caches", text=f"{text}; the oldest go when room is needed", level=Level.NOTE, remedy=CLEAR)
    else:
        yield Finding(topic="caches", text=text)


def _of_environment() -> Iterator[Finding]:
    """Variables of MLflow's and cvexp's that are set; values that may be secret are not shown."""
    names = sorted(name for name in os.environ if name.startswith(("MLFLOW_", "CVEXP_")))
    for name in names:
        secret = any(word in name for word in _SECRET)
        value = "(set, not shown)" if secret else without_credentials(os.environ[name])[:200]
        yield Finding(topic="variables", text=f"{name}={value}" if not secret else f"{name} {value}")
