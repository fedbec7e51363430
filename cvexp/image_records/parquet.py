"""Per-image records as a Parquet file, compressed with zstd.

Columns: `label` and `predicted`, int32; then log-probabilities in nats, float16: of all K classes in label order
(`log_probability_0`, …) where K is at most 20, else of the five likeliest (`top_class_1`, `top_log_probability_1`, …)
and of the image's label (`label_log_probability`), beside the Brier score (`brier`, float32). `predicted` is stored
because classes tie when rounded to float16. The metadata's key `cvexp` has a JSON object, see `RecordsInfo`.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from cvexp import files
from cvexp.errors import RunError
from cvexp.image_records.values import LOWEST, MOST_CLASSES, N_TOP, ImageRecords, RecordsInfo

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

MAX_IMAGES = 2**22
MAX_FILE_BYTES = 2**28
DAMAGED = "it is damaged"
REMEDY = "write them again: cvexp evaluate RUN --store"
_KEY = b"cvexp"
_MAX_METADATA_BYTES = 2**16
_MAX_VALUE_BYTES = 16
"""Of a column, as its pages claim to be once decompressed."""

MOST_BRIER = 2.0 + 1e-6
_SUM_TOLERANCE = 0.01
"""Of probabilities whose logarithms were rounded to float16: an error of at most 2**-11 |p log p| each."""


def write_records(path: Path, records: ImageRecords) -> None:
    """Write the file atomically; OSError where it cannot be written."""
    import pyarrow as pa
    from pyarrow import parquet

    columns: dict[str, npt.NDArray[Any] | None] = {
        "label": records.labels.astype(np.int32),
        "predicted": records.predicted.astype(np.int32),
    }
    if records.log_probabilities is not None:
        columns |= {f"log_probability_{k}": column for k, column in enumerate(records.log_probabilities.T)}
    elif records.top_classes is not None and records.top_log_probabilities is not None:
        for k in range(N_TOP):
            columns[f"top_class_{k + 1}"] = records.top_classes[:, k].astype(np.int32)
            columns[f"top_log_probability_{k + 1}"] = records.top_log_probabilities[:, k]
        columns |= {"label_log_probability": records.label_log_probabilities, "brier": records.all_class_brier}
    table = pa.table({name: pa.array(column) for name, column in columns.items()})
    integers = [field.name for field in table.schema if field.type == pa.int32()]
    sink = pa.BufferOutputStream()
    options = {"compression": "zstd", "use_dictionary": integers, "store_schema": False, "write_page_checksum": True}
    with parquet.ParquetWriter(sink, table.schema, **options) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({_KEY: json.dumps(asdict(records.about)).encode()})
    files.write_atomically(path, sink.getvalue().to_pybytes())


def read_records(path: Path) -> ImageRecords:
    """Read what `write_records` wrote. The file is untrusted: sizes, metadata, types and values are checked.

    Raises:
        RunError: It is missing or damaged, or holds something else.
    """
    import pyarrow as pa
    from pyarrow import parquet

    limits = {"thrift_string_size_limit": _MAX_METADATA_BYTES, "thrift_container_size_limit": _MAX_METADATA_BYTES}
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise _refused(path, f"it is larger than {MAX_FILE_BYTES:,} bytes")
        with parquet.ParquetFile(path, page_checksum_verification=True, **limits) as file:
            about = _about(path, file)
            _check_claims(path, file, about)
            table = file.read(use_threads=False)
            if any(column.null_count for column in table.columns):
                raise _refused(path, "it has missing values")
            columns = {name: table[name].to_numpy() for name in table.column_names}
    except OSError as error:
        raise _refused(path, error.strerror or DAMAGED) from error
    except (pa.ArrowException, ValueError, MemoryError, OverflowError) as error:
        raise _refused(path, DAMAGED) from error
    return _records(path, columns, about)


def _refused(path: Path, why: str) -> RunError:
    return RunError(f"cannot read per-image records from {path}: {why}", REMEDY)


def _about(path: Path, file: Any) -> RecordsInfo:
    from pydantic import TypeAdapter, ValidationError

    content = (file.metadata.metadata or {}).get(_KEY, b"")
    try:
        return TypeAdapter(RecordsInfo).validate_json(content, strict=True)
    except ValidationError:
        raise _refused(path, "its metadata do not say which images it is of") from None


def _types(n_classes: int) -> dict[str, str]:
    """The columns of a file, and their types as Arrow names them."""
    types = {"label": "int32", "predicted": "int32"}
    if n_classes <= MOST_CLASSES:
        return types | {f"log_probability_{k}": "halffloat" for k in range(n_classes)}
    for k in range(1, N_TOP + 1):
        types |= {f"top_class_{k}": "int32", f"top_log_probability_{k}": "halffloat"}
    return types | {"label_log_probability": "halffloat", "brier": "float"}


def _check_claims(path: Path, file: Any, about: RecordsInfo) -> None:
    """Refuse a file by what its footer says, before its data are decompressed."""
    types, metadata = _types(about.n_classes), file.metadata
    if [(field.name, str(field.type)) for field in file.schema_arrow] != list(types.items()):
        raise _refused(path, f"its columns are not those of {about.n_classes} classes")
    if not 1 <= metadata.num_rows <= MAX_IMAGES:
        raise _refused(path, f"it claims to be of {metadata.num_rows:,} images")
    claimed = sum(metadata.row_group(k).total_byte_size for k in range(metadata.num_row_groups))
    if claimed > _MAX_VALUE_BYTES * metadata.num_rows * len(types) + _MAX_METADATA_BYTES:
        raise _refused(path, f"it claims to hold {claimed:,} bytes of {metadata.num_rows:,} images")


def _records(path: Path, columns: dict[str, npt.NDArray[Any]], about: RecordsInfo) -> ImageRecords:
    """The records in `columns`, which have the right names and types, with their values checked."""
    integers = {name: column.astype(np.int64) for name, column in columns.items() if column.dtype == np.int32}
    for column in integers.values():
        if column.min() < 0 or column.max() >= about.n_classes:
            raise _refused(path, f"it has a class that is not in [0, {about.n_classes})")
    labels, predicted = integers["label"], integers["predicted"]
    complete = about.n_classes <= MOST_CLASSES
    prefix = "log_probability_" if complete else "top_log_probability_"
    logs = np.stack([column for name, column in columns.items() if name.startswith(prefix)], axis=1)
    classes = None if complete else np.stack([integers[f"top_class_{k}"] for k in range(1, N_TOP + 1)], axis=1)
    of_label = columns.get("label_log_probability")
    if of_label is None:
        of_label = np.take_along_axis(logs, labels[:, None], axis=1)[:, 0]
    records = ImageRecords(
        labels=labels,
        predicted=predicted,
        label_log_probabilities=of_label,
        log_probabilities=logs if complete else None,
        top_classes=classes,
        top_log_probabilities=None if complete else logs,
        all_class_brier=columns.get("brier"),
        about=about,
    )
    if not _is_consistent(records):
        raise _refused(path, "its log-probabilities are none of those classes")
    return records


def _is_consistent(records: ImageRecords) -> bool:
    """Whether log-probabilities are in range, add up, and are highest for `predicted`; rows of NaN may say anything."""
    stored = records.log_probabilities if records.top_log_probabilities is None else records.top_log_probabilities
    assert stored is not None  # noqa: S101 - one of the two is there
    known = ~np.isnan(stored).any(axis=1)
    logs, of_label = stored[known].astype(np.float64), records.label_log_probabilities[known].astype(np.float64)
    highest, sums = logs.max(axis=1, initial=LOWEST), np.exp(logs).sum(axis=1)
    checks = [logs >= LOWEST, logs <= 0, of_label >= LOWEST, of_label <= highest, sums <= 1 + _SUM_TOLERANCE]
    if records.top_classes is None:
        of_predicted = np.take_along_axis(logs, records.predicted[known, None], axis=1)[:, 0]
        checks += [of_predicted == highest, sums >= 1 - _SUM_TOLERANCE]
    else:
        brier = records.brier[known]
        checks += [
            logs[:, 0] == highest,
            records.top_classes[:, 0] == records.predicted,
            brier >= 0,
            brier <= MOST_BRIER,
        ]
    return all(bool(check.all()) for check in checks)
