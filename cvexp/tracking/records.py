"""What the lines of a run's files for local state look like, checked when they are read: they are untrusted input."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

from cvexp.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

RESTART = -1
"""In place of a record's number in `sent.jsonl`: the store has to be told everything, from the first record on."""

REMEDY = "restore it, or move it away"

KINDS = frozenset(
    {
        "run",
        "name",
        "again",
        "params",
        "tags",
        "metrics",
        "series",
        "dataset",
        "artifacts",
        "begin_model",
        "model",
        "end",
    }
)
"""What a record can ask of the store; each is a method of Delivery."""

_PATHS = {"artifacts": "folder", "model": "weights"}
"""Kinds of records that name a folder beside the journal, and the key it stands under."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One thing to tell.

    Attributes:
        n: Its place in the journal, from 0.
        at: When it was made, milliseconds since the epoch of Unix.
        kind: What the store is to do; a method of Delivery.
        key: Different for every record of a journal.
        body: Plain values.
    """

    n: int
    at: int
    kind: str
    key: str
    body: dict[str, Any]


def written(line: Mapping[str, Any]) -> bytes:
    """A line as `read_lines` reads it: strict JSON."""
    return (json.dumps(_plain(line), ensure_ascii=False, allow_nan=False) + "\n").encode()


_NOT_FINITE = "not a finite number"
"""The key of an object that stands for NaN or an infinity, for which JSON has no words."""


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return {_NOT_FINITE: str(value)}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _restored(read: dict[str, Any]) -> Any:
    return float(read[_NOT_FINITE]) if read.keys() == {_NOT_FINITE} else read


def read_lines(file: Path, valid: Callable[[object], bool]) -> tuple[list[dict[str, Any]], int]:
    """The valid JSON lines of a file, and where the last complete one ends, in bytes.

    Raises:
        RunError: A line is damaged that is not the last one.
    """
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return [], 0
    except OSError as error:
        raise RunError(f"cannot read {file}: {error.strerror or error}", REMEDY) from error
    found: list[dict[str, Any]] = []
    end = 0
    for line in content.splitlines(keepends=True):
        last = end + len(line) == len(content)
        if last and not line.endswith(b"\n"):
            break
        try:
            read = json.loads(line, object_hook=_restored)
        except (ValueError, TypeError, RecursionError):
            if last:
                break
            read = None
        if not valid(read):
            raise RunError(f"damaged journal: {file}, line {len(found) + 1}", REMEDY)
        found.append(read)
        end += len(line)
    return found, end


def is_record(line: object) -> bool:
    """Whether a line of the journal is a Record, and its paths stay in the folder of the run."""
    if not isinstance(line, dict) or line.keys() != {"n", "at", "kind", "key", "body"}:
        return False
    kinds = {"n": int, "at": int, "kind": str, "key": str, "body": dict}
    if not all(isinstance(line[name], kind) for name, kind in kinds.items()) or line["kind"] not in KINDS:
        return False
    named = _PATHS.get(line["kind"])
    return named is None or _is_inside(line["body"].get(named))


def _is_inside(path: object) -> bool:
    """Whether a record's path stays in the folder of its run, as paths are read here and on Windows."""
    if not isinstance(path, str) or not path or "\0" in path:
        return False
    readings = (PurePosixPath(path), PureWindowsPath(path))
    return not any(one.is_absolute() or one.anchor or ".." in one.parts for one in readings)


def is_mark(line: object) -> bool:
    """Whether a line of `sent.jsonl` says how far the store was told, and what it answered."""
    if not isinstance(line, dict) or line.keys() != {"n", "facts"} or not isinstance(line["facts"], dict):
        return False
    if not isinstance(line["n"], int) or line["n"] < RESTART:
        return False
    return all(isinstance(value, str) for value in line["facts"].values())


def is_opening(body: Mapping[str, Any]) -> bool:
    """Whether the body of a record creates a run."""
    texts = (body.get("model"), body.get("local_id"))
    named = body.get("name") is None or isinstance(body["name"], str)
    return named and all(isinstance(text, str) for text in texts) and isinstance(body.get("tags"), dict)
