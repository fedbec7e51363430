"""CSV and JSON files with runs that were logged by hand: their records, by column."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cvexp.errors import ConfigError
from cvexp.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MOST_BYTES = 50_000_000
"""Of a file."""

Record = tuple[Path, str, "Mapping[str, Any]"]
"""A file, the place in it in words, and what is there by column."""


def records_of(file: Path) -> Iterator[Record]:
    """The records of a CSV or JSON file; ConfigError where it is neither, or cannot be read."""
    reader = READERS.get(file.suffix.lower())
    if reader is None:
        raise ConfigError(f"{file} is neither a CSV nor a JSON file", "name a file that ends in .csv or .json")
    yield from reader(file)


def text_of(file: Path, *, most: int = MOST_BYTES) -> str:
    """A file's text; ConfigError where it is too large or not UTF-8."""
    try:
        with file.open("rb") as stream:
            content = stream.read(most + 1)
        if len(content) > most:
            raise ConfigError(f"{file} is larger than {most:,} bytes", "import it in parts")
        return content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read: {error}", "expected text in UTF-8") from error


def _csv(file: Path) -> Iterator[Record]:
    rows = csv.reader(text_of(file).splitlines(keepends=True), strict=True)
    try:
        header = [name.strip() for name in next(rows, [])]
        twice = next((name for name in header if header.count(name) > 1), None)
        if not header or "" in header or twice:
            what = f"column {shown(twice)} is there twice" if twice else "a column has no name"
            raise ConfigError(f"{file}, line 1: {what}", "the first line names the columns: name,model,accuracy")
        for row in rows:
            where = f"line {rows.line_num}"
            if not row:
                continue
            if len(row) != len(header):
                what = f"{len(row)} values for {len(header)} columns"
                raise ConfigError(f"{file}, {where}: {what}", 'a value with a comma in it takes quotes: "a, b"')
            yield file, where, {name: cell.strip() for name, cell in zip(header, row, strict=True) if cell.strip()}
    except csv.Error as error:
        raise ConfigError(f"{file}, line {rows.line_num}: {error}", "expected values separated by commas") from error


def _json(file: Path) -> Iterator[Record]:
    try:
        document = json.loads(text_of(file))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{file} is not JSON: {error}", 'for example: {"model": "cnn", "accuracy": 0.91}') from error
    many = document if isinstance(document, list) else [document]
    for n, one in enumerate(many, start=1):
        where = f"run {n}"
        if not isinstance(one, dict):
            raise ConfigError(f"{file}, {where}: expected an object, got {shown(one)}", 'for example: {"model": "cnn"}')
        flat = {key: value for key, value in one.items() if key not in ("params", "metrics") and value is not None}
        for kind in ("params", "metrics"):
            inner = one.get(kind, {})
            if not isinstance(inner, dict):
                raise ConfigError(f"{file}, {where}: {kind} is no object", f'for example: {{"{kind}": {{}}}}')
            flat |= {f"{kind}.{key}": value for key, value in inner.items() if value is not None}
        yield file, where, flat


READERS = {".csv": _csv, ".json": _json}
