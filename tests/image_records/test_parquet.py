from __future__ import annotations

import json
import random
from dataclasses import asdict, fields, replace

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from cvexp.errors import RunError
from cvexp.image_records import parquet as room
from cvexp.image_records import read_records, write_records


@pytest.fixture
def file(records, tmp_path):
    path = tmp_path / "test.parquet"
    write_records(path, records)
    return path


def rewritten(path, *, about=None, columns=None, rows=None, row_group_size=None):
    """The file with other metadata or columns, written as anybody could."""
    table = parquet.read_table(path)
    known = json.loads(table.schema.metadata[b"cvexp"])
    table = table.replace_schema_metadata()
    if rows is not None:
        table = table.slice(0, rows)
    for name, column in (columns or {}).items():
        values = column(table[name].to_numpy().copy()) if callable(column) else column
        table = table.set_column(table.column_names.index(name), name, pa.array(values))
    with parquet.ParquetWriter(path, table.schema) as writer:
        writer.write_table(table, row_group_size=row_group_size)
        if about is not False:
            writer.add_key_value_metadata({b"cvexp": json.dumps(known | (about or {})).encode()})


def assert_refused(path, reason):
    with pytest.raises(RunError, match=reason) as refused:
        read_records(path)
    assert len(refused.value.lines()) <= 3
    assert str(path) in refused.value.what
    assert "cvexp evaluate RUN --store" in refused.value.hints[0]


@pytest.mark.parametrize("kind", ["records", "records_of_many_classes"])
def test_what_is_read_is_what_was_written(kind, request, tmp_path):
    written = request.getfixturevalue(kind)
    written = written[0] if isinstance(written, tuple) else written
    write_records(tmp_path / "r.parquet", written)
    read = read_records(tmp_path / "r.parquet")
    assert read.about == written.about
    for field in fields(written):
        if field.name != "about":
            before, after = (getattr(one, field.name) for one in (written, read))
            assert (before is None) == (after is None)
            assert before is None or (before.dtype == after.dtype and np.array_equal(before, after, equal_nan=True))
    assert len(read) == 1797


def test_a_model_that_diverged_has_records_too(records, tmp_path):
    logs = records.log_probabilities.copy()
    logs[5] = np.nan
    write_records(tmp_path / "r.parquet", replace(records, log_probabilities=logs))
    assert np.isnan(read_records(tmp_path / "r.parquet").log_loss[5])


def test_the_file_is_compact_and_read_by_other_programs(file):
    table = parquet.read_table(file)
    assert table.column_names == ["label", "predicted", *(f"log_probability_{k}" for k in range(10))]
    assert file.stat().st_size < 1797 * 25


def test_a_missing_file_and_other_files_are_refused(tmp_path):
    assert_refused(tmp_path / "none.parquet", "No such file")
    assert_refused(tmp_path, "damaged|directory")
    for name, content in (
        ("empty", b""),
        ("text", b"label,predicted\n1,2\n"),
        ("magic", b"PAR1" + bytes(80) + b"PAR1"),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        assert_refused(path, "damaged")


def test_damage_is_noticed_wherever_it_is(file):
    content = file.read_bytes()
    original = read_records(file)
    rng = random.Random(1)
    n_refused = 0
    for _ in range(100):
        damaged = bytearray(content)
        damaged[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        file.write_bytes(bytes(damaged) if rng.random() < 0.8 else content[: rng.randrange(len(content))])
        try:
            read = read_records(file)
        except RunError:
            n_refused += 1
        else:
            assert np.array_equal(read.log_loss, original.log_loss)
            assert np.array_equal(read.predicted, original.predicted)
    assert n_refused > 70


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (False, "metadata do not say"),
        ({"n_classes": 2**40}, "metadata do not say"),
        ({"n_classes": "10"}, "metadata do not say"),
        ({"split": "train"}, "metadata do not say"),
        ({"split_seed": -1}, "metadata do not say"),
        ({"order_digest": "f" * 65}, "metadata do not say"),
        ({"schema_version": 2}, "metadata do not say"),
        ({"data_digest": None}, "metadata do not say"),
        ({"n_classes": 11}, "columns are not those of 11 classes"),
        ({"n_classes": 30}, "columns are not those of 30 classes"),
    ],
)
def test_metadata_that_do_not_fit_are_refused(changed, reason, file):
    rewritten(file, about=changed)
    assert_refused(file, reason)


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"label": lambda a: a.astype(np.int64)}, "columns are not"),
        ({"log_probability_3": lambda a: a.astype(np.float64)}, "columns are not"),
        ({"log_probability_3": lambda a: [str(x) for x in a]}, "columns are not"),
        ({"label": lambda a: a + 10}, r"class that is not in \[0, 10\)"),
        ({"predicted": lambda a: a - 20}, r"class that is not in \[0, 10\)"),
        ({"predicted": lambda a: (a + 1) % 10}, "log-probabilities are none"),
        ({"log_probability_3": np.abs}, "log-probabilities are none"),
        ({"log_probability_3": lambda a: np.full_like(a, -np.inf)}, "log-probabilities are none"),
        ({f"log_probability_{k}": lambda a: a * np.float16(3) for k in range(10)}, "log-probabilities are none"),
    ],
)
def test_columns_that_are_none_of_those_classes_are_refused(columns, reason, file):
    rewritten(file, columns=columns)
    assert_refused(file, reason)


def test_missing_values_are_refused(file):
    rewritten(file, columns={"label": lambda a: pa.array([None, *a[1:].tolist()], type=pa.int32())})
    assert_refused(file, "missing values")


def test_claims_are_refused_before_anything_is_decompressed(file, monkeypatch):
    read = []
    monkeypatch.setattr(parquet.ParquetFile, "read", lambda *_args, **_options: read.append(1))
    monkeypatch.setattr(room, "MAX_IMAGES", 1796)
    assert_refused(file, "claims to be of 1,797 images")
    monkeypatch.setattr(room, "MAX_FILE_BYTES", 1000)
    assert_refused(file, "larger than 1,000 bytes")
    monkeypatch.undo()
    monkeypatch.setattr(parquet.ParquetFile, "read", lambda *_args, **_options: read.append(1))
    rewritten(file, rows=900, row_group_size=1)
    assert_refused(file, "claims to hold [0-9,]+ bytes of 900 images")
    assert read == []


def test_a_table_without_rows_is_refused(file):
    rewritten(file, rows=0)
    assert_refused(file, "claims to be of 0 images")


def test_the_metadata_are_plain_json(file, records):
    assert json.loads(parquet.read_metadata(file).metadata[b"cvexp"]) == asdict(records.about)
