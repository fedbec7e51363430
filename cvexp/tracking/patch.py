"""Uncommitted changes of the working folder's repository, kept with a run: a patch, and digests of what changed.

The patch is what `git apply` takes. Left out whole, and named, are files that may hold secrets, that are no text, or
that are large; of files that git does not track, only names are kept, and digests of Python files.
"""

from __future__ import annotations

import hashlib
import json
import re
import stat
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cvexp import files
from cvexp.errors import RunError
from cvexp.redaction import holds_secret
from cvexp.tracking.git import git, git_bytes, has_filters

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FOLDER, PATCH, SUMMARY = "code", "changes.patch", "changes.json"
NOT_TOLD = "may hold a secret"
"""Why a file is left out, and has no digest either: that of a short secret tells it."""
MAX_FILES = 300
MAX_NAMES_BYTES = 128 * 1024
MAX_FILE_BYTES = 256 * 1024
"""Of a file in the patch."""
MAX_PATCH_BYTES = 1024 * 1024
MAX_SUMMARY_BYTES = 4 * 1024 * 1024
MAX_DIGEST_BYTES = 64 * 1024 * 1024
"""Of a file whose digest is taken; larger ones have their size in its place."""

_SECRET_NAME = re.compile(
    r"(^|/)(\.env(\..*)?|\.netrc|\.pgpass|\.npmrc|\.pypirc|\.htpasswd|id_(rsa|dsa|ecdsa|ed25519)[^/]*"
    r"|[^/]*\.(pem|key|p12|pfx|jks|keystore|kdbx|tfvars|gpg|asc)|[^/]*(secret|credential|password)[^/]*)$"
    r"|(^|/)\.(aws|ssh|gnupg|kube|docker)/",
    re.IGNORECASE,
)
# Not what the repository or the user configured, and no program that the repository names.
_DIFF = ("diff", "--no-ext-diff", "--no-textconv", "--no-renames", "--no-relative", "--ignore-submodules=all")
_TEXT = ("--no-color", "--full-index", "--src-prefix=a/", "--dst-prefix=b/")
_OWN = ("--exclude=mlruns/", "--exclude=mlflow.db*", "--exclude=.cvexp/")
"""The store is no code, nor are the copies of code that lie there, with the models that were logged."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Changes:
    """How the working folder's files differ from `commit`.

    Attributes:
        patch: From the commit to the files, without what is left out.
        files: SHA-256 by path of the tracked files that differ and of untracked Python files; empty for deleted ones.
        untracked: Names of files and folders that git does not track and was not told to ignore.
        left_out: Tracked files that differ and are not in the patch, and why.
    """

    commit: str
    patch: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    untracked: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether anything differs."""
        return bool(self.patch or self.files or self.untracked or self.left_out)


def changes_here() -> Changes | None:
    """The changes of the working folder's repository; None where there is none, or where git cannot tell safely."""
    commit, top = git("rev-parse", "HEAD"), git("rev-parse", "--show-toplevel")
    elsewhere = git("config", "--get", "core.worktree", no_match=1)  # files that are not the repository's own
    if not commit or not top or elsewhere != "" or has_filters():
        return None
    listed = git_bytes(*_DIFF, "--numstat", "-z", "HEAD", most=MAX_NAMES_BYTES)
    untracked = ("ls-files", "--others", "--exclude-standard", *_OWN, "--full-name", "-z")
    python = _names(*untracked, "--", ":(top)*.py")
    others = _names(*untracked, "--directory", "--", ":/")
    if listed is None or python is None or others is None:
        return None
    root = Path(top)
    counted = [line.split("\t", 2) for line in listed.decode(errors="replace").split("\0") if line.count("\t") > 1]
    left_out = {path: reason for added, _, path in counted if (reason := _unfit(root / path, path, added))}
    left_out |= {path: f"one of more than {MAX_FILES} files" for _, _, path in counted[MAX_FILES:]}
    wanted = [path for _, _, path in counted if path not in left_out]
    patch, unfit = _patch(wanted)
    left_out |= unfit
    hashed = [path for _, _, path in counted[:MAX_FILES]] + python[:MAX_FILES]
    open_to_all = [path for path in hashed if left_out.get(path) != NOT_TOLD and not _SECRET_NAME.search(path)]
    return Changes(
        commit=commit,
        patch=patch,
        files={path: _digest(root / path) for path in open_to_all},
        untracked=tuple(others[:MAX_FILES]),
        left_out=left_out,
    )


def _names(*arguments: str) -> list[str] | None:
    """The names that git prints, each ended by a NUL; the last one may be cut, and is left out then."""
    found = git_bytes(*arguments, most=MAX_NAMES_BYTES)
    return None if found is None else found.decode(errors="replace").split("\0")[:-1]


def _unfit(file: Path, path: str, added: str) -> str | None:
    """Why a file's changes are not kept, as far as its name, its kind and its size tell."""
    if _SECRET_NAME.search(path):
        return NOT_TOLD
    if added == "-":
        return "not text"
    try:
        found = file.lstat()
    except OSError:  # it was deleted
        return None
    return f"larger than {MAX_FILE_BYTES // 1024} KiB" if found.st_size > MAX_FILE_BYTES else None


def _patch(paths: Iterable[str]) -> tuple[str, dict[str, str]]:
    """The patch of tracked files, in git's order, and why some of them are not in it."""
    wanted = list(paths)
    if not wanted:
        return "", {}
    found = git_bytes(*_DIFF, *_TEXT, "HEAD", "--", *(f":(top,literal){path}" for path in wanted), most=MAX_PATCH_BYTES)
    if found is None:
        return "", dict.fromkeys(wanted, "git does not tell its changes")
    # No line of a file begins like this: in a patch, each has a blank, a plus or a minus in front.
    parts = re.split(rb"^(?=diff --git )", found, flags=re.MULTILINE)[1:]
    if len(found) == MAX_PATCH_BYTES:
        parts = parts[:-1]
    kept, left_out = [], dict.fromkeys(wanted[len(parts) :], f"the patch is larger than {MAX_PATCH_BYTES // 1024} KiB")
    for path, part in zip(wanted, parts, strict=False):
        text = _text(part)
        if text is None:
            left_out[path] = "not text"
        elif holds_secret(text):
            left_out[path] = NOT_TOLD
        else:
            kept.append(text)
    return "".join(kept), left_out


def _text(part: bytes) -> str | None:
    try:
        return None if b"\0" in part else part.decode()
    except UnicodeDecodeError:
        return None


def _digest(file: Path) -> str:
    """SHA-256 of a file, of a link's target, or empty where there is neither."""
    try:
        found = file.lstat()
        if stat.S_ISLNK(found.st_mode):
            return hashlib.sha256(str(file.readlink()).encode(errors="replace")).hexdigest()
        if not stat.S_ISREG(found.st_mode):
            return ""
        if found.st_size > MAX_DIGEST_BYTES:
            return f"{found.st_size} bytes"
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return ""


def write_changes(folder: Path, changes: Changes) -> None:
    """Write `changes.patch` and `changes.json` to a new folder."""
    folder.mkdir(exist_ok=True)
    summary = {name: value for name, value in asdict(changes).items() if name != "patch"}
    files.write_atomically(folder / SUMMARY, json.dumps(summary, indent=1).encode())
    files.write_atomically(folder / PATCH, changes.patch.encode())


def read_changes(folder: Path) -> Changes:
    """What `write_changes` wrote; RunError where it is damaged."""
    try:
        patch = _bounded(folder / PATCH, MAX_PATCH_BYTES)
        read: Any = json.loads(_bounded(folder / SUMMARY, MAX_SUMMARY_BYTES))
        return Changes(
            commit=_checked([read["commit"]])[0],
            patch=patch,
            files=dict(zip(_checked(read["files"]), _checked(read["files"].values()), strict=True)),
            untracked=tuple(_checked(read["untracked"])),
            left_out=dict(zip(_checked(read["left_out"]), _checked(read["left_out"].values()), strict=True)),
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        what = f"the run's record of uncommitted changes is damaged: {folder / SUMMARY}"
        raise RunError(what, "restore it, or remove the folder") from error


def _checked(texts: Iterable[Any]) -> list[str]:
    """The texts as a list; TypeError where one is something else."""
    found = list(texts)
    if not all(isinstance(text, str) for text in found):
        raise TypeError("not text")
    return found


def _bounded(file: Path, most: int) -> str:
    with file.open("rb") as stream:
        found = stream.read(most + 1)
    if len(found) > most:
        raise ValueError("too large")
    return found.decode()


def changed_files(before: Changes, now: Changes) -> tuple[str, ...]:
    """Paths of files that are not the same in two working folders, as far as their records and git tell."""
    paths = {path for one in (before, now) for path in (*one.files, *one.left_out)}
    found = {path for path in paths if _told(before, path) != _told(now, path)}
    if before.commit != now.commit and re.fullmatch(r"[0-9a-f]{40}([0-9a-f]{24})?", before.commit):
        between = git_bytes(*_DIFF, "--name-only", "-z", before.commit, "HEAD", "--", most=MAX_NAMES_BYTES)
        found |= set((between or b"").decode(errors="replace").split("\0")[:-1])
    return tuple(sorted(found))


def _told(changes: Changes, path: str) -> tuple[str | None, bool]:
    return changes.files.get(path), path in changes.left_out
