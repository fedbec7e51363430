"""Runs that others logged by hand: read from CSV, JSON or an old `mlruns` folder, and validated. Nothing is executed.

A CSV file has a row, and a JSON file an object, for each run: `name`, `status`, `started`, settings such as `model`,
`dataset` and `lr`, and metrics by their key or a usual name. `params.NAME` and `metrics.KEY` say which a column is.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cvexp.config.option import as_typed, settings_of
from cvexp.config.run import RunConfig, run_name
from cvexp.errors import ConfigError, nearest
from cvexp.jobs.run_files import READERS, Record, records_of
from cvexp.results import Metric
from cvexp.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

MOST_RUNS, MOST_PARAMS, MOST_METRICS, LONGEST = 10_000, 100, 500, 500
"""Of one import, of one run, and the characters of a value."""

STATUSES = ("FINISHED", "FAILED", "KILLED")
USUAL = {
    "accuracy": Metric.TEST_ACCURACY,
    "acc": Metric.TEST_ACCURACY,
    "loss": Metric.TEST_LOSS,
    "seconds": Metric.TRAIN_SECONDS,
    "train_seconds": Metric.TRAIN_SECONDS,
    "latency_ms": Metric.LATENCY_MS,
    "parameters": Metric.PARAMETERS,
    "bytes": Metric.BYTES,
    **{
        f"{split}_{short}": Metric(f"{split}/{figure}")
        for split in ("train", "val", "test")
        for short, figure in (("accuracy", "accuracy"), ("acc", "accuracy"), ("loss", "loss"))
    },
}
"""What people call metrics, and their keys."""

NAME, STATUS, STARTED = "name", "status", "started"
_FACTS = {"name": NAME, "run": NAME, "run_name": NAME, "status": STATUS, "started": STARTED, "start_time": STARTED}
_PASSED_OVER = ("run_id", "experiment_id", "artifact_uri", "end_time")
"""Columns of `mlflow.search_runs().to_csv()` that mean nothing elsewhere; so do its `tags.`."""

_KEY = re.compile(r"[\w.-]+(?:[/ :.-][\w.-]+)*", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class ForeignRun:
    """A run as someone logged it, validated.

    Attributes:
        source: The file that it was read from.
        started_ms: Since the Unix epoch; None where nothing is said.
    """

    source: Path
    name: str = ""
    status: str = "FINISHED"
    started_ms: int | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits that identify all that was read of it."""
        metrics = {key: repr(value) for key, value in self.metrics.items()}
        content = [self.name, self.status, self.started_ms, dict(self.params), metrics]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def read_runs(path: Path) -> list[ForeignRun]:
    """The runs in a CSV or JSON file, a folder of such files, or an old `mlruns` folder; each once.

    Raises:
        ConfigError: A file cannot be read, or a value in it cannot be meant; its place is named.
    """
    from cvexp.jobs.old_mlruns import is_mlruns, read_mlruns

    records: Iterable[Record]
    if path.is_dir():
        files = sorted(one for one in path.iterdir() if one.suffix.lower() in READERS and one.is_file())
        records = read_mlruns(path) if is_mlruns(path) else (record for file in files for record in records_of(file))
    elif path.is_file():
        records = records_of(path)
    else:
        raise ConfigError(f"{path} does not exist", "name a CSV or JSON file, or a folder of them")
    found: dict[str, ForeignRun] = {}
    for n, (file, where, record) in enumerate(records, start=1):
        if n > MOST_RUNS:
            raise ConfigError(f"{path} has more than {MOST_RUNS:,} runs", "import them in parts")
        run = checked(file, where, record)
        found[run.digest] = run
    if not found:
        raise ConfigError(f"{path} has no runs", "expected a CSV or JSON file, a folder of them, or an mlruns folder")
    return list(found.values())


def checked(file: Path, where: str, record: Mapping[str, Any]) -> ForeignRun:
    """A record as a run; ConfigError names the file, the place, the column and the value that cannot be meant."""
    facts: dict[str, str] = {}
    params: dict[str, str] = {}
    metrics: dict[str, float] = {}
    place = f"{file}, {where}"
    for column, value in record.items():
        kind, key = _meaning(place, column)
        if kind == "metrics":
            metrics[key] = _figure(place, column, key, value)
        elif kind == "params":
            params[key] = _text(place, column, value)
        elif kind:
            facts[kind] = _text(place, column, value)
    if not metrics or len(metrics) > MOST_METRICS or len(params) > MOST_PARAMS:
        counted = f"{len(metrics)} metrics and {len(params)} settings"
        what = f"{place}: a run has 1 to {MOST_METRICS} metrics and at most {MOST_PARAMS} settings, not {counted}"
        raise ConfigError(what, "for example the columns: name,model,dataset,lr,accuracy")
    status = facts.get(STATUS, "FINISHED").upper()
    if status not in STATUSES:
        raise ConfigError(f"{place}: {STATUS} {shown(facts[STATUS])}", f"valid: {', '.join(STATUSES)}")
    try:
        name = run_name(facts.get(NAME)) or ""
    except ConfigError as error:
        raise ConfigError(f"{place}: {error.what.removeprefix('--')}", *error.hints) from error
    return ForeignRun(
        source=file,
        name=name,
        status=status,
        started_ms=_instant(place, facts[STARTED]) if STARTED in facts else None,
        params=params,
        metrics=metrics,
    )


def _meaning(place: str, column: str) -> tuple[str, str]:
    """What a column is, `params`, `metrics` or a fact, and its key; empty for one that is passed over."""
    kind, dot, key = column.partition(".")
    if dot and kind in ("params", "metrics"):
        if not _KEY.fullmatch(key) or len(key) > LONGEST // 2:
            raise ConfigError(f"{place}: {shown(column)} is no name", "letters, digits, _ - . / and blanks between")
        return kind, key
    if column in _PASSED_OVER or (dot and kind == "tags"):
        return "", ""
    if column in _FACTS:
        return _FACTS[column], ""
    if column in USUAL:
        return "metrics", USUAL[column].value
    if column in list(Metric):
        return "metrics", column
    if column in settings_of(RunConfig):
        return "params", column
    known = [*_FACTS, *USUAL, *settings_of(RunConfig)]
    hint = nearest(column, known).partition(" valid: ")[0]
    hint = hint if hint.startswith("did you mean") else "is it a setting or a metric?"
    raise ConfigError(f"{place}: unknown column {shown(column)}", f"{hint} write params.{column} or metrics.{column}")


def _text(place: str, column: str, value: object) -> str:
    text = as_typed(value) if isinstance(value, bool | int | float | str) else ""
    if not text.strip() or not text.isprintable() or len(text) > LONGEST:
        raise ConfigError(f"{place}: {column} {shown(value)}", f"expected 1 to {LONGEST} printable characters")
    return text


def _figure(place: str, column: str, key: str, value: object) -> float:
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else None
    except (ValueError, OverflowError):
        number = None
    if number is None:
        raise ConfigError(f"{place}: {column} {shown(value)} is not a number", "leave it empty where there is none")
    if key.endswith("accuracy") and key != Metric.SECONDS_TO_ACCURACY and not (0 <= number <= 1 or math.isnan(number)):
        example = f"{number / 100:g}" if 1 < number <= 100 else "0.91"  # noqa: PLR2004 - percent
        raise ConfigError(f"{place}: {column} {shown(value)} is not a fraction", f"for example: {example}")
    if key.startswith(("time/", "bench/", "model/", "memory/", "throughput/")) and number < 0:
        raise ConfigError(f"{place}: {column} {shown(value)} is negative", "leave it empty where there is none")
    return number


def _instant(place: str, text: str) -> int:
    """Milliseconds since the Unix epoch, from as many, or from a date and time in ISO 8601, by default in UTC."""
    try:
        if text.isascii() and text.isdigit():
            return int(datetime.fromtimestamp(int(text) / 1000, tz=UTC).timestamp() * 1000)
        found = datetime.fromisoformat(text)
        return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        raise ConfigError(f"{place}: {STARTED} {shown(text)} is no time", "for example: 2026-03-01T14:30:00") from None
