"""Checkpoints in a shared folder or an object store, from which another machine continues a training.

Each is one object, `URL/<local id of the run>/epoch-E-step-S-SHA256.pt`: the training's state, its history and what was
asked of it. The object is written whole, once, under the digest of its bytes, and the one before it is removed
afterwards. So a reader sees a checkpoint or none, and notices one that a store tore or altered.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cvexp import files
from cvexp.errors import ConfigError, CvexpError, RunError, WeightsError
from cvexp.redaction import without_credentials
from cvexp.settings import SHARED_CHECKPOINTS
from cvexp.text import shown
from cvexp.training.checkpoints import KEPT_WHILE_TRAINING, NAME, Checkpoint
from cvexp.training.history import epoch_of, plain_epoch
from cvexp.training.request import REQUEST, parsed_request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cvexp.config.checkpoint import CheckpointPolicy
    from cvexp.training.request import Request

MAX_BYTES = 16 * 2**30
"""The largest object that is read."""

WAIT_SECONDS = 30.0
"""How long the end of a training waits for the copy of its last checkpoint."""

EXAMPLES = "for example: --checkpoints /mnt/team/checkpoints, or s3://bucket/checkpoints"
_RUN = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Shared:
    """A checkpoint of a run, what was asked of that run, and where it stands."""

    folder: SharedFolder
    run: str
    checkpoint: Checkpoint
    request: Request


class SharedFolder:
    """A folder of checkpoints behind a path or a URL that fsspec opens.

    Raises:
        ConfigError: The URL cannot be opened here, or written.
    """

    def __init__(self, url: str) -> None:
        self.url = without_credentials(url)
        with self._refused():
            from fsspec.core import url_to_fs

            if "::" in url or not url.strip():
                raise ValueError("expected one path or URL")
            self._system, path = url_to_fs(url)
            self._root = path.rstrip("/")
        self._is_local = "file" in self._system.protocol

    def check(self) -> None:
        """Write a byte and remove it; raises ConfigError where that fails."""
        with self._refused():
            probe = f".cvexp-{secrets.token_hex(8)}"
            self._write("", probe, b"\n")
            self._system.rm_file(f"{self._root}/{probe}")

    @contextlib.contextmanager
    def _refused(self) -> Iterator[None]:
        try:
            yield
        except ImportError as error:
            driver = re.search(r"[Ii]nstall (\w+)", str(error))
            package = driver[1] if driver else error.name or "its driver"
            raise ConfigError(
                f"--checkpoints {shown(self.url)} takes a package that is not here: {package}",
                f"for example: pip install {package}",
            ) from error
        except Exception as error:  # a driver may raise anything
            what = f"--checkpoints {shown(self.url)} cannot be written: {reason_of(error)}"
            raise ConfigError(what, f"check the address and the credentials; {EXAMPLES}") from error

    def _write(self, run: str, name: str, content: bytes) -> None:
        """Write a whole object; in a local folder by an atomic rename, elsewhere in one call of the driver."""
        folder = "/".join(filter(None, (self._root, run)))
        if self._is_local:
            Path(folder).mkdir(parents=True, exist_ok=True)
            files.write_atomically(Path(folder) / name, content)
        else:
            self._system.makedirs(folder, exist_ok=True)
            self._system.pipe_file(f"{folder}/{name}", content)

    def save(self, run: str, checkpoint: Checkpoint, request: str, *, keep: int | None) -> None:
        """Write a checkpoint of a run, then remove the oldest beyond those that stay; raises what the driver does."""
        from cvexp.checkpoint import serialised

        fit = checkpoint.fit
        state = {
            "fit": fit,
            "history": [plain_epoch(epoch) for epoch in checkpoint.history],
            "seconds": checkpoint.seconds,
            "request": request,
            "run": run,
        }
        content = serialised(state)
        digest = hashlib.sha256(content).hexdigest()
        written = f"epoch-{fit['epoch']:05d}-step-{fit['step']:08d}-{digest}.pt"
        self._write(run, written, content)
        for old in self._names(run)[keep or KEPT_WHILE_TRAINING :]:
            if old != written:
                self._system.rm_file(f"{self._root}/{run}/{old}")

    def remove(self, run: str) -> None:
        """Remove the checkpoints of a run; what cannot be removed does no harm."""
        with contextlib.suppress(Exception):  # a driver may raise anything
            for name in self._names(run):
                self._system.rm_file(f"{self._root}/{run}/{name}")
            self._system.rmdir(f"{self._root}/{run}")

    def newest(self, run: str) -> Shared | None:
        """The newest valid checkpoint of a run; None where there is none.

        Raises:
            WeightsError: Every one is damaged.
            RunError: The folder cannot be read.
        """
        if not _RUN.fullmatch(run):
            return None
        damage: WeightsError | None = None
        try:
            for name in self._names(run):
                try:
                    return self._read(run, name)
                except WeightsError as error:
                    damage = damage or error
        except CvexpError:
            raise
        except Exception as error:  # a driver may raise anything
            what = f"cannot read the checkpoints in {self.url}: {reason_of(error)}"
            raise RunError(what, "check --checkpoints (or CVEXP_CHECKPOINTS) and that it can be reached") from error
        if damage is not None:
            raise damage
        return None

    def _read(self, run: str, name: str) -> Shared:
        from cvexp.checkpoint import parsed

        source, path = f"{self.url}/{run}/{name}", f"{self._root}/{run}/{name}"
        if not 0 < (size := int(self._system.size(path) or 0)) <= MAX_BYTES:
            raise WeightsError(f"{source} has {size:,} bytes, which is no checkpoint", "start a new run")
        content = self._system.cat_file(path)
        if hashlib.sha256(content).hexdigest() != name.removesuffix(".pt").rpartition("-")[2]:
            raise WeightsError(f"damaged or altered checkpoint: {source}", "start a new run")
        state = parsed(content, source)
        if state.get("run") != run:
            raise WeightsError(f"a checkpoint of another run: {source}", "start a new run")
        try:
            checkpoint = Checkpoint(
                fit=state["fit"],
                history=tuple(epoch_of(one) for one in state["history"]),
                seconds=float(state["seconds"]),
                file=source,
            )
            return Shared(folder=self, run=run, checkpoint=checkpoint, request=parsed_request(state["request"], source))
        except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
            what = f"not a checkpoint of this version of cvexp: {source} ({error})"
            raise WeightsError(what, "start a new run") from error

    def _names(self, run: str) -> list[str]:
        """The checkpoints of a run, the newest first."""
        self._system.invalidate_cache()
        try:
            listed = self._system.ls(f"{self._root}/{run}", detail=False)
        except FileNotFoundError:
            return []
        found = [match for path in listed if (match := NAME.fullmatch(path.rpartition("/")[2]))]
        found.sort(key=lambda match: (int(match["epoch"]), int(match["step"])), reverse=True)
        return [match[0] for match in found]


class Sharing:
    """Copies a run's checkpoints to a shared folder from a thread of its own, so that training does not wait for it.

    A checkpoint that comes while another is being copied takes the place of one that still waits. A copy that fails
    is no failure of the training, whose own checkpoints are here; `failure` says why, until a later one succeeds.
    """

    def __init__(self, folder: SharedFolder, *, run: str, run_folder: Path, keep: int | None) -> None:
        self._folder, self._run, self._run_folder, self._keep = folder, run, run_folder, keep
        self._changed = threading.Condition()
        self._waiting: Checkpoint | None = None
        self._is_copying = False
        self.failure = ""

    def copy(self, checkpoint: Checkpoint) -> None:
        """Have the checkpoint copied soon."""
        with self._changed:
            self._waiting = checkpoint
            if not self._is_copying:
                self._is_copying = True
                threading.Thread(target=self._work, name="cvexp-shared", daemon=True).start()

    def finish(self) -> None:
        """Wait until the last checkpoint is copied, or has failed to be, but no longer than `WAIT_SECONDS`."""
        with self._changed:
            if not self._changed.wait_for(lambda: not self._is_copying, WAIT_SECONDS):
                self.failure = f"{self._folder.url} did not take it within {WAIT_SECONDS:g} s"

    def remove(self) -> None:
        """Remove the copies of a run that is over, unless some are to be kept."""
        if self._keep is None and not self._is_copying:
            self._folder.remove(self._run)

    def _work(self) -> None:
        while True:
            with self._changed:
                checkpoint, self._waiting = self._waiting, None
                if checkpoint is None:
                    self._is_copying = False
                    self._changed.notify_all()
                    return
            try:
                request = (self._run_folder / REQUEST).read_text(encoding="utf-8")
                self._folder.save(self._run, checkpoint, request, keep=self._keep)
            except Exception as error:  # noqa: BLE001 - a driver may raise anything, and training goes on
                self.failure = reason_of(error)
            else:
                self.failure = ""


def shared_url() -> str | None:
    """CVEXP_CHECKPOINTS as it means the same in any working folder; None where it is not set."""
    url = os.environ.get(SHARED_CHECKPOINTS)
    return url if not url or "://" in url else str(Path(url).absolute())


def shared_folder(policy: CheckpointPolicy) -> SharedFolder | None:
    """The one that the policy names, or CVEXP_CHECKPOINTS; None where neither does. Raises as SharedFolder."""
    url = policy.shared or os.environ.get(SHARED_CHECKPOINTS)
    return SharedFolder(url) if url else None


def sharing_of(policy: CheckpointPolicy, *, run: str, run_folder: Path) -> Sharing | None:
    """What copies the checkpoints of a run; None where none are shared."""
    folder = shared_folder(policy)
    return None if folder is None else Sharing(folder, run=run, run_folder=run_folder, keep=policy.keep)


def check_shared(policy: CheckpointPolicy) -> None:
    """Raise ConfigError where checkpoints are to be shared and cannot be."""
    folder = shared_folder(policy)
    if folder is not None:
        folder.check()


def reason_of(error: Exception) -> str:
    """What a driver raised, in one short line without credentials."""
    text = " ".join((getattr(error, "strerror", None) or str(error) or type(error).__name__).split())
    return without_credentials(text)[:160]
