"""Runs written as columns are read as they were, whatever each of them has."""

from __future__ import annotations

import copy
import io
import json
import math
import pickle
from datetime import UTC, datetime

import numpy as np
import pytest

from cvexp.runs import RunSummary
from cvexp.tracking.columns import DamagedError, encoded, read_columns

NAN = math.nan


def run(n, **fields):
    return RunSummary(
        run_id=f"{n:032x}",
        name=f"run {n}",
        status="FINISHED",
        experiment_id="1",
        artifacts_uri=f"/runs/{n}",
        started_at=datetime.fromtimestamp(n, tz=UTC),
        **fields,
    )


RUNS = [
    run(1, params={"lr": "0.1", "seed": "0"}, metrics={"test/accuracy": 0.5, "test/loss": 1.0}, tags={"a": ""}),
    run(2, params={"lr": "0.1", "model": "mlp"}, metrics={"test/accuracy": NAN}, tags={}),
    run(3),
    run(4, params={"lr": "0.1", "seed": "0"}, metrics={"test/accuracy": -math.inf, "test/loss": 0.0}, tags={"a": "b"}),
]


@pytest.fixture
def file(tmp_path):
    return tmp_path / "ended.npz"


def test_what_is_read_equals_what_was_written(file):
    file.write_bytes(encoded(RUNS, {"made": 3}))
    found, about = read_columns(file)
    assert about == {"made": 3}
    assert all(one.is_as(other) for one, other in zip(RUNS, found, strict=True))
    assert [dict(one.params) for one in found] == [one.params for one in RUNS]
    assert [one.tags == other.tags for one, other in zip(found, RUNS, strict=True)] == [True] * len(RUNS)
    assert math.isnan(found[1].metrics["test/accuracy"])
    assert encoded(found, about) == encoded(RUNS, {"made": 3})
    assert encoded([], {}) == encoded(*_read_back(file, encoded([], {})))


def _read_back(file, content):
    file.write_bytes(content)
    return read_columns(file)


def test_a_run_has_its_own_keys_and_no_others(file):
    file.write_bytes(encoded(RUNS, {}))
    first, second, third, _ = read_columns(file)[0]
    assert first.tags["a"] == ""
    assert [key in one.tags for key in "ab" for one in (first, second)] == [True, False, False, False]
    assert (second.params.get("seed"), second.params.get("seed", "7")) == (None, "7")
    with pytest.raises(KeyError, match="seed"):
        second.params["seed"]
    with pytest.raises(KeyError, match="nothing"):
        first.params["nothing"]
    assert "nothing" not in first.params  # also after it was asked for
    assert [one.metrics.keys() for one in (first, second)] == [{"test/accuracy", "test/loss"}, {"test/accuracy"}]
    assert (len(first.params), len(third.params), list(third.metrics)) == (2, 0, [])
    assert first.settings == {"lr": "0.1", "seed": "0"} == {**first.params}


def test_a_copy_of_a_run_does_not_carry_all_others(file):
    many = [run(n, params={"lr": str(n)}) for n in range(1000)]
    file.write_bytes(encoded(many, {}))
    one = read_columns(file)[0][7]
    assert copy.deepcopy(one) == one == many[7]
    assert len(pickle.dumps(one)) < 2 * len(pickle.dumps(many[7]))


DAMAGE = {
    "a key too few": lambda file: file["keys"]["tags"].pop(),
    "a key that is no text": lambda file: file["keys"]["metrics"].__setitem__(0, 3),
    "a text too few": lambda file: file["texts"].pop(),
    "a run too few": lambda file: file.update(started=file["started"][1:]),
    "figures of another shape": lambda file: file.update(logged=file["logged"].T),
    "figures without axes": lambda file: file.update({name: file[name].reshape(-1) for name in ("logged", "metrics")}),
    "figures of fewer runs": lambda file: file.update({name: file[name][:, 1:] for name in ("logged", "metrics")}),
    "a text's number below all": lambda file: file["tags"].fill(-2),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_file_that_holds_something_else_is_damaged(file, damage):
    with np.load(io.BytesIO(encoded(RUNS, {}))) as found:
        content = dict(found)
    content |= json.loads(content.pop("json").tobytes())
    DAMAGE[damage](content)
    about = {name: content.pop(name) for name in ("about", "keys", "texts")}
    with file.open("wb") as stream:
        np.savez(stream, json=np.frombuffer(json.dumps(about).encode(), np.uint8), **content)
    with pytest.raises(DamagedError):
        read_columns(file)
