"""Attempts and events cross the seam as JSON, and what is read is validated."""

import json

import pytest

from cvexp.executors.seam import Attempt, Ended, Epoch, Lost, Started, event_from_plain, from_plain, to_plain
from cvexp.training.outputs import Outputs

ATTEMPT = Attempt(
    trial="0123-7",
    number=2,
    config={"model": "linear", "lr": "0.1"},
    store={"tracking_uri": "sqlite:///mlflow.db", "experiment": "Default"},
    data_dir="data",
    tags={"cvexp.trial": "0123-7"},
    outputs=Outputs(test=False),
    threads=1,
)
EVENTS = [
    Started(trial="a", number=1, run_id="0" * 32, run_name="linear-0000"),
    Epoch(trial="a", number=1, epoch=1, n_epochs=3, values={"val/loss": 0.5}),
    Ended(trial="a", number=1, status="KILLED", reason="kept", hints=("go on",), exit_code=143),
    Lost(trial="a", number=1, reason="the worker was killed"),
]


def test_an_attempt_is_the_same_after_json() -> None:
    assert from_plain(json.loads(json.dumps(to_plain(ATTEMPT)))) == ATTEMPT


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_is_the_same_after_json(event: Started | Epoch | Ended | Lost) -> None:
    assert event_from_plain(json.loads(json.dumps(to_plain(event)))) == event


@pytest.mark.parametrize(
    "change", [{"number": "x"}, {"config": ["lr"]}, {"outputs": {"test": 3}}, {"trial": None}, {"store": "here"}]
)
def test_an_attempt_of_another_shape_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        from_plain(to_plain(ATTEMPT) | change)


@pytest.mark.parametrize("plain", [None, [], {}, {"event": "over"}, {"event": "ended", "trial": "a", "number": 1}])
def test_an_event_of_another_shape_is_refused(plain: object) -> None:
    with pytest.raises(ValueError, match=r"not an event|validation error"):
        event_from_plain(plain)
