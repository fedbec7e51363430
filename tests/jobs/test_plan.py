"""Which runs of a store are those of a plan."""

from __future__ import annotations

from cvexp.config import run_config
from cvexp.config.experiment import PlannedRun
from cvexp.jobs.plan import steps_of
from cvexp.runs import NOT_MADE
from cvexp.settings import store_settings


def test_a_run_whose_test_split_was_left_alone_is_not_that_of_a_plan(record):
    planned = PlannedRun(config=run_config({"model": "linear", "dataset": "digits", "device": "cpu", "epochs": 3}))
    settings = store_settings(record.uri)
    record("trial", tags={NOT_MADE: "test, pictures"}, epochs=3)
    (step,) = steps_of([planned], settings)
    assert step.done is None
    record("lean", tags={NOT_MADE: "pictures, program"}, epochs=3)
    (step,) = steps_of([planned], settings)
    assert step.done is not None
    assert step.done.name == "lean"
