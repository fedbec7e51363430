"""A Hugging Face dataset on disk, as `save_to_disk` writes it or in Parquet files, read with pyarrow alone."""

from __future__ import annotations

import json
import re
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cvexp.data.own.folder import NAMES
from cvexp.data.own.listing import SPLITS, Listing, check_classes, check_splits, with_test_part
from cvexp.errors import DatasetError
from cvexp.text import clean, shown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    from cvexp.data.named import Located

_WANTED = (
    "wanted: data/train-*.parquet and data/test-*.parquet, or what save_to_disk wrote, with an image and a label column"
)
_SPLIT_OF = {name: SPLITS.index(split) for split, names in NAMES.items() for name in names}
_IMAGE, _LABEL = ("image", "img"), ("label", "labels", "fine_label")


class _File(NamedTuple):
    """A Parquet or Arrow file of one split, and the columns in it that are read."""

    path: Path
    split: int
    image: str
    label: str
    class_names: tuple[str, ...] | None


def listing(located: Located) -> Listing:
    """See ListingModule; the order within a split is the files'."""
    files = sorted(_files(located), key=lambda one: (one.split, one.path))
    raw = [_column(one, one.label) for one in files]
    values = [value for column in raw for value in column]
    names = files[0].class_names or tuple(sorted({str(value) for value in values}))
    check_classes(located, names)
    labels = _labels(located, files, values, names)
    counts = [len(column) for column in raw]
    splits = np.repeat(np.array([one.split for one in files], np.int8), counts)
    if not splits.any():
        splits = with_test_part(labels, located, names)
    order = np.argsort(splits, kind="stable")
    where = [(k, row) for k, count in enumerate(counts) for row in range(count)]
    chosen = [where[row] for row in order]
    return check_splits(
        Listing(
            names=[f"{files[k].path.relative_to(located.path)}:{row}" for k, row in chosen],
            labels=labels[order],
            splits=splits[order],
            class_names=names,
            reader=_Rows(files, chosen),
            place=str(located.path.absolute()),
        ),
        located,
    )


def _files(located: Located) -> list[_File]:
    """The dataset's files, those of its splits by their folder's or their own name."""
    root, found = located.path, []
    if not root.is_dir():
        raise DatasetError(f"not a folder: {root}", _WANTED)
    for path in sorted(
        (*root.glob("*.parquet"), *root.glob("*/*.parquet"), *root.glob("*.arrow"), *root.glob("*/*.arrow"))
    ):
        if path.name.startswith("cache-"):  # of the datasets package
            continue
        stem = re.split(r"[-_.]", path.name.lower())[0]
        split = next((_SPLIT_OF[name] for name in (stem, path.parent.name.lower()) if name in _SPLIT_OF), None)
        if split is None and (stem not in ("data", "part", "0000") or path.parent != root):
            raise DatasetError(f"{path} is of no split that is known", f"valid: {', '.join(_SPLIT_OF)}")
        found.append(_described(path, split or 0))
    if not found:
        raise DatasetError(f"{root} holds no Parquet or Arrow file", _WANTED)
    return found


def _described(path: Path, split: int) -> _File:
    """A file with its columns, as its features say, or by their usual names."""
    schema = _explained(path, lambda: _schema(path))
    features: dict[str, Any] = {}
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, KeyError, TypeError):
        features = {}
    kinds = {name: one.get("_type") for name, one in features.items() if isinstance(one, dict)}
    image = _pick(path, schema.names, [name for name in kinds if kinds[name] == "Image"], _IMAGE, "image")
    label = _pick(path, schema.names, [name for name in kinds if kinds[name] == "ClassLabel"], _LABEL, "label")
    names = features.get(label, {}).get("names") if kinds.get(label) == "ClassLabel" else None
    known = tuple(map(str, names)) if isinstance(names, list) else None
    return _File(path, split, image, label, known)


def _pick(path: Path, columns: Sequence[str], typed: Sequence[str], usual: Sequence[str], what: str) -> str:
    for name in (*typed, *usual):
        if name in columns:
            return name
    raise DatasetError(f"{path} has no {what} column, but {shown(list(columns))}", _WANTED)


def _schema(path: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.suffix == ".parquet":
        return pq.read_schema(path)
    with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as stream:
        return stream.schema


def _table(path: Path) -> Any:
    """An Arrow file, memory-mapped."""
    import pyarrow as pa

    return pa.ipc.open_stream(pa.memory_map(str(path))).read_all()


def _column(file: _File, name: str) -> list[Any]:
    """A column of labels."""
    import pyarrow.parquet as pq

    def read() -> list[Any]:
        is_parquet = file.path.suffix == ".parquet"
        column = pq.read_table(file.path, columns=[name])[name] if is_parquet else _table(file.path)[name]
        values: list[Any] = column.to_pylist()
        return values

    values: list[Any] = _explained(file.path, read)
    return values


def _labels(
    located: Located, files: Sequence[_File], values: Sequence[Any], names: tuple[str, ...]
) -> npt.NDArray[np.int64]:
    if any((one.class_names or names) != names for one in files):
        raise DatasetError(f"the files of {located.name} have different classes", _WANTED)
    if files[0].class_names is None:
        index = {name: label for label, name in enumerate(names)}
        return np.array([index[str(value)] for value in values], np.int64)
    wrong = next((value for value in values if not isinstance(value, int) or not 0 <= value < len(names)), None)
    if wrong is not None:
        raise DatasetError(f"dataset {located.name} has the label {shown(wrong)}, and {len(names)} classes", _WANTED)
    return np.array(values, np.int64)


class _Rows:
    """Encoded images in the rows of files, `where` the N pairs of a file and a row; see Reader."""

    def __init__(self, files: Sequence[_File], where: Sequence[tuple[int, int]]) -> None:
        self._files, self._where = files, where
        self._lock = threading.Lock()
        self._held: dict[int, tuple[int, Any]] = {}

    def stamps(self) -> npt.NDArray[np.int64]:
        """See Reader: those of the rows' files."""
        of_files = [one.path.stat() for one in self._files]
        pairs = np.array([(status.st_size, status.st_mtime_ns) for status in of_files], np.int64)
        return pairs[[k for k, _ in self._where]]

    def read(self, row: int) -> bytes:
        """See Reader."""
        k, index = self._where[row]
        try:
            with self._lock:
                first, column = self._group(k, index)
            value = column[index - first].as_py()
        except Exception as error:  # pyarrow raises anything of a damaged file
            raise OSError(0, f"{type(error).__name__} in {self._files[k].path.name}") from error
        content = value.get("bytes") if isinstance(value, dict) else value
        if not isinstance(content, bytes):
            raise OSError(0, "the image is not in the file")
        return content

    def _group(self, k: int, index: int) -> tuple[int, Any]:
        """The images around a row of a file, and the first one's row; one group of each file is kept."""
        import pyarrow.parquet as pq

        file = self._files[k]
        held = self._held.get(k)
        if held is not None and held[0] <= index < held[0] + len(held[1]):
            return held
        first = 0
        if file.path.suffix == ".parquet":
            with pq.ParquetFile(file.path) as opened:
                for group in range(opened.num_row_groups):
                    n_rows = opened.metadata.row_group(group).num_rows
                    if index < first + n_rows:
                        column = opened.read_row_group(group, columns=[file.image])[file.image]
                        break
                    first += n_rows
        else:
            column = _table(file.path)[file.image]
        self._held = {k: (first, column)}
        return first, column


def _explained(path: Path, read: Any) -> Any:
    """What `read` gives; DatasetError says that the file is damaged."""
    try:
        return read()
    except Exception as error:  # as above
        reason = " ".join(str(error).split())[:100]
        raise DatasetError(f"cannot read {path}: {clean(reason)}", "check that the file is complete") from error
