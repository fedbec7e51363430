"""The lines of a run's journal and how they are checked when they are read: they are untrusted input."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields
from functools import cache
from pathlib import PurePosixPath, PureWindowsPath
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin, get_type_hints

from cvexp.errors import RunError
from cvexp.events import RECORDED, SCHEMA_VERSION, FilesStored, ModelStored, ParamsLogged, Recorded, RunStarted, TagsSet

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

RESTART = -1
"""In place of a record's number in `sent.jsonl`: everything is to be delivered again, from the first record on."""

REMEDY = "restore it, or move it away"
Parsed = TypeVar("Parsed")


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """Event `n` (from 0) of a journal; it happened `at` milliseconds since the Unix epoch, and no other has its key."""

    n: int
    at: int
    key: str
    event: Recorded


def line_of(record: Record) -> dict[str, Any]:
    """The record as a line of the journal; see `record_of`."""
    event = record.event
    body = event.values if isinstance(event, ParamsLogged | TagsSet) else vars(event)
    return {"n": record.n, "at": record.at, "kind": event.kind, "key": record.key, "body": body}


def record_of(line: Any, n: int) -> Record:
    """The record that line `n` of a journal holds.

    Raises:
        ValueError: It has another shape, an unknown kind or version, or a path that leaves the run's folder.
    """
    if not _has_shape(line, n=int, at=int, kind=str, key=str, body=dict) or line["kind"] not in RECORDED:
        raise ValueError("not a record")
    event = _event_of(line["kind"], line["body"])
    path = event.folder if isinstance(event, FilesStored) else getattr(event, "weights", None)
    if isinstance(event, FilesStored | ModelStored) and not _is_inside(path):
        raise ValueError("a path outside the run's folder")
    if isinstance(event, RunStarted) and event.schema_version > SCHEMA_VERSION:
        raise ValueError("written by a later version of cvexp")
    return Record(n=n, at=line["at"], key=line["key"], event=event)


def _event_of(kind: str, body: dict[str, Any]) -> Recorded:
    event: type = RECORDED[kind]
    if event in (ParamsLogged, TagsSet):
        body = {"values": body}
    hints = _hints(event)
    try:  # a later version may add fields; those that this one does not know are left alone
        known = {name: _checked(value, hints[name]) for name, value in body.items() if name in hints}
        return event(**known)  # type: ignore[no-any-return]  # its type is known by its kind only
    except (TypeError, OverflowError) as error:  # a field is missing, or a number too large
        raise ValueError(str(error)) from error


@cache
def _hints(event: type) -> dict[str, Any]:
    hints = get_type_hints(event)
    return {f.name: hints[f.name] for f in fields(event)}


def _checked(value: Any, hint: Any) -> Any:
    """The value as its field's type has it (JSON has lists for tuples, and integers for some floats), or ValueError."""
    origin, of = get_origin(hint), get_args(hint)
    if origin is UnionType:
        return None if value is None and NoneType in of else _checked(value, of[0])
    if origin is dict and isinstance(value, dict):
        return {key: _checked(item, of[1]) for key, item in value.items()}
    if origin is tuple and isinstance(value, list):
        kinds = of[:1] * len(value) if of[-1] is ... else of
        return tuple(_checked(item, kind) for item, kind in zip(value, kinds, strict=True))
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise ValueError(f"expected {hint}")
    return value


def _is_inside(path: object) -> bool:
    """Whether a path stays in the folder it is relative to, as paths are read here and on Windows."""
    if not isinstance(path, str) or not path or "\0" in path:
        return False
    readings = (PurePosixPath(path), PureWindowsPath(path))
    return not any(one.is_absolute() or one.anchor or ".." in one.parts for one in readings)


def encoded(line: Mapping[str, Any]) -> bytes:
    """A line as `read_lines` reads it: strict JSON, without NaN and infinities."""
    return (json.dumps(_plain(line), ensure_ascii=False, allow_nan=False) + "\n").encode()


_NOT_FINITE = "not a finite number"  # the key of an object that stands for NaN or an infinity


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


def read_lines(file: Path, parse: Callable[[Any, int], Parsed]) -> tuple[list[Parsed], int]:
    """The parsed JSON lines of a file, if it exists, and where the last complete one ends, in bytes.

    `parse` gets each line's content and number, from 0; it raises ValueError where the line is not valid.

    Raises:
        RunError: A line is damaged that is not the last one.
    """
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return [], 0
    except OSError as error:
        raise RunError(f"cannot read {file}: {error.strerror or error}", REMEDY) from error
    found: list[Parsed] = []
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
        try:
            found.append(parse(read, len(found)))
        except ValueError as error:
            raise RunError(f"damaged journal: {file}, line {len(found) + 1}: {str(error)[:80]}", REMEDY) from error
        end += len(line)
    return found, end


def mark_of(line: Any, _n: int = 0) -> dict[str, Any]:
    """A checked line of `sent.jsonl`: up to which record `n` was delivered, and `facts`, the store's answers."""
    sound = _has_shape(line, n=int, facts=dict) and line["n"] >= RESTART
    if not sound or not all(isinstance(value, str) for value in line["facts"].values()):
        raise ValueError("not a mark")
    return dict(line)


def _has_shape(line: Any, **kinds: type) -> bool:
    is_named = isinstance(line, dict) and line.keys() == kinds.keys()
    return is_named and all(isinstance(line[name], kind) for name, kind in kinds.items())
