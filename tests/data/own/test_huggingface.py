from __future__ import annotations

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cvexp.data.named import locate
from cvexp.data.own.listing import listing_of

FEATURES = {"picture": {"_type": "Image"}, "kind": {"names": ["zero", "one", "two"], "_type": "ClassLabel"}}


def encoded(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def table(pictures, rows, *, typed=True):
    names = ["zero", "one", "two"]
    pairs = [(pictures[names[k % 3]][k], k % 3) for k in rows]
    images = [{"bytes": encoded(image), "path": None} for image, _ in pairs]
    if not typed:
        return pa.table({"image": images, "label": [names[label] for _, label in pairs]})
    metadata = {b"huggingface": json.dumps({"info": {"features": FEATURES}}).encode()}
    return pa.table({"picture": images, "kind": [label for _, label in pairs]}).replace_schema_metadata(metadata)


@pytest.fixture(params=["parquet", "parquet without features", "saved to disk"])
def dataset(request, pictures, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for split, rows in (("train", range(60)), ("test", range(60, 75))):
        made = table(pictures, rows, typed=request.param != "parquet without features")
        if request.param == "saved to disk":
            folder = tmp_path / "hub" / split
            folder.mkdir(parents=True)
            path = str(folder / "data-00000-of-00001.arrow")
            with pa.OSFile(path, "wb") as sink, pa.ipc.new_stream(sink, made.schema) as stream:
                stream.write_table(made, max_chunksize=7)
        else:
            (tmp_path / "hub/data").mkdir(parents=True, exist_ok=True)
            pq.write_table(made, tmp_path / f"hub/data/{split}-00000-of-00001.parquet", row_group_size=7)
    return request.param


def test_every_layout_gives_the_images_in_the_order_of_the_rows(dataset, pictures, own):
    found = listing_of(locate("hf:hub"))
    assert found.class_names == (("one", "two", "zero") if "without" in dataset else ("zero", "one", "two"))
    assert found.splits.tolist() == [0] * 60 + [2] * 15
    loaded = own("hf:hub", side=16, resize="squeeze").dataset
    names = [loaded.class_names[k] for k in loaded.train.labels.tolist()]
    assert names[:4] == ["zero", "one", "two", "zero"]
    assert loaded.image_shape == (1, 16, 16)
    assert not np.array_equal(loaded.train.images[0], loaded.train.images[3])
    assert [found.reader.read(row) for row in (59, 0, 31)] == [
        encoded(pictures[n][k]) for n, k in (("two", 59), ("zero", 0), ("one", 31))
    ]
