"""The journal's lines: those of the version before the events were typed are read, and written alike."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cvexp import events
from cvexp.tracking.journal import JOURNAL, Journal
from cvexp.tracking.records import encoded, line_of, record_of

BEFORE = Path(__file__).with_name("run_of_0_1")
"""The folder of a run whose store did not answer, as version 0.1 left it; of its pictures one table."""


def test_a_journal_of_the_version_before_is_read_as_typed_events():
    journal = Journal(BEFORE)
    assert [type(record.event).__name__ for record in journal.records] == [
        *("RunStarted", "RunNamed", "ParamsLogged", "DatasetUsed", "ModelAnnounced"),
        *("SeriesLogged", "MetricsLogged") * 2,
        *("TagsSet", "FilesStored", "ModelStored", "FilesStored", "RunEnded"),
    ]
    assert (journal.status, journal.unsent, journal.start.schema_version) == ("FINISHED", 14, 1)
    (stored,) = journal.of_type(events.ModelStored)
    assert stored == events.ModelStored(weights="weights", image_shape=(1, 8, 8), n_classes=10)
    assert journal.of_type(events.SeriesLogged)[0].points[1] == (40, 1.961669921875)


def test_events_are_written_as_the_version_before_wrote_them():
    first, *rest = (BEFORE / JOURNAL).read_bytes().splitlines(keepends=True)
    records = Journal(BEFORE).records
    assert [json.loads(encoded(line_of(record))) for record in records[1:]] == [json.loads(line) for line in rest]
    line = line_of(records[0])
    assert line["body"].pop("schema_version") == events.SCHEMA_VERSION
    assert encoded(line) == first


FIGURES = {"a": float("nan"), "b": float("inf"), "c": 1.0}


@pytest.mark.parametrize(
    "event",
    [
        events.RunResumed(),
        events.FilesStored(folder="figures"),
        events.RunEnded(status="KILLED", reason="interrupted"),
        events.SeriesLogged(key="step/train_loss", points=((1, 0.5), (2, float("inf")))),
        events.MetricsLogged(values=FIGURES, step=3, final=True),
    ],
)
def test_an_event_is_read_back_as_it_was(tmp_path, event):
    journal = Journal(tmp_path)
    journal.append(event, key="k", at=5)
    (read,) = Journal(tmp_path).records
    assert (read.n, read.at, read.key) == (0, 5, "k")
    assert repr(read.event) == repr(event)  # NaN equals nothing


def test_a_field_of_a_later_version_is_left_alone_and_a_later_schema_is_refused():
    line = {"n": 0, "at": 1, "kind": "name", "key": "name", "body": {"name": "first", "colour": "blue"}}
    assert record_of(line, 0).event == events.RunNamed(name="first")
    body = {"model": "linear", "tags": {}, "local_id": "0", "schema_version": events.SCHEMA_VERSION + 1}
    with pytest.raises(ValueError, match="later version"):
        record_of({**line, "kind": "run", "body": body}, 0)


def test_every_kind_of_the_journal_has_a_delivery():
    from cvexp.tracking.mlflow_sink import MlflowSink

    assert len(events.RECORDED) == 12
    assert [kind for kind in events.RECORDED if not hasattr(MlflowSink, f"_{kind}")] == []
