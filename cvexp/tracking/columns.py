"""Runs as arrays in one file, and back: a column for each key, texts as numbers of a table of texts. No pickle.

Runs share most of their texts, and reading a hundred thousand of them this way takes a second, where rows of JSON take
several. What is read is checked like any file of others.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from cvexp.runs import RunSummary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, KeysView, Sequence
    from pathlib import Path

    import numpy.typing as npt

    Codes = npt.NDArray[np.int32]

MAX_BYTES = 2**30
ABSENT = -1  # in the place of a text's number

_TEXTS = ("run_id", "name", "status", "experiment_id", "artifacts_uri")
_MAPS = ("params", "tags")


class DamagedError(ValueError):
    """A file that does not hold what `encoded` writes."""


def encoded(runs: Sequence[RunSummary], about: Mapping[str, object]) -> bytes:
    """The content of a file with these runs, and what is known of them as JSON."""
    numbers: dict[str, int] = {}

    def code(text: str) -> int:
        return numbers.setdefault(text, len(numbers))

    arrays: dict[str, npt.NDArray[Any]] = {
        "own": np.array([[code(getattr(run, name)) for name in _TEXTS] for run in runs], np.int32).reshape(-1, 5),
        "started": np.array([round(run.started_at.timestamp() * 1000) for run in runs], np.int64),
    }
    keys = {}
    for kind in _MAPS:
        maps = [getattr(run, kind) for run in runs]
        keys[kind] = list(dict.fromkeys(key for one in maps for key in one))
        columns = [[ABSENT if (text := one.get(key)) is None else code(text) for one in maps] for key in keys[kind]]
        arrays[kind] = np.array(columns, np.int32).reshape(len(columns), len(runs))
    keys["metrics"] = list(dict.fromkeys(key for run in runs for key in run.metrics))
    figures = [[run.metrics.get(key) for run in runs] for key in keys["metrics"]]
    shape = len(figures), len(runs)
    values = [[0.0 if x is None else x for x in column] for column in figures]
    arrays["metrics"] = np.array(values, np.float64).reshape(shape)
    arrays["logged"] = np.array([[x is not None for x in column] for column in figures], bool).reshape(shape)
    content = {"about": dict(about), "keys": keys, "texts": list(numbers)}
    arrays["json"] = np.frombuffer(json.dumps(content).encode(), np.uint8)
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **arrays)
    return stream.getvalue()


def read_columns(file: Path) -> tuple[list[RunSummary], dict[str, Any]]:
    """The runs of a file and what is known of them.

    Raises:
        DamagedError: It does not hold what `encoded` writes, or is too large.
        OSError: It cannot be read.
    """
    if file.stat().st_size > MAX_BYTES:
        raise DamagedError(file)
    try:
        with np.load(file, allow_pickle=False) as found:
            arrays = {name: found[name] for name in ("json", "own", "started", *_MAPS, "metrics", "logged")}
        content = json.loads(arrays["json"].tobytes())
        about, keys, texts = content["about"], content["keys"], content["texts"]
        if not isinstance(about, dict):
            raise DamagedError(file)
        return _runs(arrays, keys, _checked(texts)), about
    except (ValueError, KeyError, TypeError, IndexError, OverflowError, EOFError, RecursionError) as error:
        raise DamagedError(file) from error
    except zipfile.BadZipFile as error:
        raise DamagedError(file) from error


def _runs(arrays: Mapping[str, npt.NDArray[Any]], keys: Mapping[str, list[str]], texts: list[str]) -> list[RunSummary]:
    n = len(arrays["started"])
    table = np.array([*texts, None], object)  # ABSENT is the last one
    own = table[_codes(arrays["own"], (n, len(_TEXTS)), len(texts), least=0)].tolist()
    maps = []
    for kind in _MAPS:
        codes = _codes(arrays[kind], (len(keys[kind]), n), len(texts), least=ABSENT)
        maps.append(_rows(_checked(keys[kind]), codes >= 0, partial(_texts_of, codes, table)))
    figures, logged = arrays["metrics"], arrays["logged"]
    if figures.dtype != np.float64 or logged.dtype != np.bool_ or figures.shape != logged.shape:
        raise ValueError
    maps.append(_rows(_checked(keys["metrics"]), logged, partial(_figures_of, figures, logged)))
    started = [datetime.fromtimestamp(ms / 1000, tz=UTC) for ms in arrays["started"].tolist()]
    return [
        RunSummary(
            run_id=one[0],
            name=one[1],
            status=one[2],
            experiment_id=one[3],
            artifacts_uri=one[4],
            started_at=at,
            params=params,
            tags=tags,
            metrics=metrics,
        )
        for one, at, params, tags, metrics in zip(own, started, *maps, strict=True)
    ]


def _codes(codes: npt.NDArray[Any], shape: tuple[int, int], n_texts: int, *, least: int) -> Codes:
    if codes.dtype != np.int32 or codes.shape != shape:
        raise ValueError
    if codes.size and not (least <= codes.min() and codes.max() < n_texts):
        raise ValueError
    return codes


def _checked(texts: list[str]) -> list[str]:
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise TypeError
    return texts


def _texts_of(codes: Codes, table: npt.NDArray[np.object_], row: int) -> list[Any]:
    found: list[Any] = table[codes[row]].tolist()
    return found


def _figures_of(figures: npt.NDArray[np.float64], logged: npt.NDArray[np.bool_], row: int) -> list[Any]:
    values = figures[row].astype(object)
    values[~logged[row]] = None
    found: list[Any] = values.tolist()
    return found


class _Columns(dict[str, "list[Any]"]):
    """The values of a key by run, None for runs without it: read when the key is first asked for.

    A comparison looks at a tenth of the keys, and millions of entries of dicts take longer than all else it does.
    """

    def __init__(self, keys: Sequence[str], present: npt.NDArray[np.bool_], read: Callable[[int], list[Any]]) -> None:
        super().__init__()
        self._rows = {key: row for row, key in enumerate(keys)}
        self._read = read
        self._lacking: list[None] = [None] * present.shape[1]
        self.names = _names(keys, present)

    def __missing__(self, key: str) -> list[Any]:
        row = self._rows.get(key)
        column = self[key] = self._lacking if row is None else self._read(row)
        return column


class _Row(Mapping[str, Any]):
    """What one run has in the columns."""

    __slots__ = ("_at", "_columns")

    def __init__(self, columns: _Columns, at: int) -> None:
        self._columns = columns
        self._at = at

    def __getitem__(self, key: str) -> Any:
        value = self._columns[key][self._at]
        if value is None:
            raise KeyError(key)
        return value

    def get(self, key: str, default: Any = None) -> Any:
        value = self._columns[key][self._at]
        return default if value is None else value

    def __contains__(self, key: object) -> bool:
        return key in self._columns.names[self._at]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns.names[self._at])

    def __len__(self) -> int:
        return len(self._columns.names[self._at])

    def keys(self) -> KeysView[str]:
        return self._columns.names[self._at].keys()

    def __repr__(self) -> str:
        return repr(dict(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)  # a copy without the other runs


def _rows(keys: list[str], present: npt.NDArray[np.bool_], read: Callable[[int], list[Any]]) -> list[_Row]:
    """A row a run. `present` says which of them have which of the keys; `read` gives the values of the n-th key."""
    if present.ndim != 2 or len(keys) != len(present):  # noqa: PLR2004 - keys and runs
        raise ValueError
    columns = _Columns(keys, present, read)
    return [_Row(columns, at) for at in range(present.shape[1])]


def _names(keys: Sequence[str], present: npt.NDArray[np.bool_]) -> list[dict[str, None]]:
    """The keys that each run has: one object for all runs with the same ones, which most runs have."""
    packed = np.packbits(present, axis=0).T
    width, patterns = packed.shape[1], packed.tobytes()
    if not width:
        return [{}] * present.shape[1]
    known: dict[bytes, dict[str, None]] = {}
    found = []
    for at, start in enumerate(range(0, len(patterns), width)):
        pattern = patterns[start : start + width]
        if (names := known.get(pattern)) is None:
            names = known[pattern] = {keys[row]: None for row in np.flatnonzero(present[:, at]).tolist()}
        found.append(names)
    return found
