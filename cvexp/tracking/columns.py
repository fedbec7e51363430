"""Runs as arrays in one file, and back: a column for each key, texts as numbers of a table of texts. No pickle.

Runs share most of their texts, and reading a hundred thousand of them this way takes a second, where rows of JSON take
several. What is read is checked like any file of others.
"""

from __future__ import annotations

import io
import json
import zipfile
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from cvexp.runs import RunSummary

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
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
        maps.append(_dicts(_checked(keys[kind]), table[codes], codes >= 0))
    figures, logged = arrays["metrics"], arrays["logged"]
    if figures.dtype != np.float64 or logged.dtype != np.bool_ or figures.shape != logged.shape:
        raise ValueError
    maps.append(_dicts(_checked(keys["metrics"]), figures, logged))
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


def _dicts(keys: list[str], values: npt.NDArray[Any], present: npt.NDArray[np.bool_]) -> list[dict[str, Any]]:
    """A dict a run from columns (keys, runs), with the keys that are present: runs with the same ones at a time."""
    n_keys, n = present.shape
    if len(keys) != n_keys:
        raise ValueError
    found: list[dict[str, Any]] = [{}] * n
    patterns, which = np.unique(np.packbits(present, axis=0).T, axis=0, return_inverse=True)
    for k in range(len(patterns)):
        chosen = np.flatnonzero(which.reshape(-1) == k)
        rows = np.flatnonzero(present[:, chosen[0]])
        names = [keys[row] for row in rows]
        all_of_them = len(chosen) == n
        columns = ((values[row] if all_of_them else values[row, chosen]).tolist() for row in rows)
        made: Iterable[tuple[Any, ...]] = zip(*columns, strict=True) if names else ((),) * len(chosen)
        for position, one in zip(chosen.tolist(), made, strict=True):
            found[position] = dict(zip(names, one, strict=True))
    return found
