"""What several workers do is a line each where stderr is no terminal."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cvexp.config import run_config
from cvexp.config.experiment import PlannedRun
from cvexp.executors.seam import Ended, Epoch, Lost, Started
from cvexp.jobs.plan import Step
from cvexp.report.workers import WorkersConsole


@pytest.fixture
def step():
    config = run_config({"model": "linear", "dataset": "digits", "seed": 7})
    return Step(planned=PlannedRun(config=config, name=None), recipe="r", done=None)


def test_lines_say_what_is_lost_failed_stopped_and_done(step, capsys):
    done = Ended(trial="a", number=2, status="FINISHED", run_id="1", run_name="linear-1", metrics={"val/accuracy": 0.5})
    with WorkersConsole([step, step, step], n_workers=2) as console:
        console.happened(step, Started(trial="a", number=1, run_id="1", run_name="linear-1"))
        console.happened(step, Epoch(trial="a", number=1, epoch=1, n_epochs=3, values={"val/accuracy": 0.25}))
        console.happened(
            step, Lost(trial="a", number=1, reason="its worker was killed by SIGKILL", chatter="last [b]words")
        )
        console.happened(step, done)
        console.happened(step, replace(done, status="FAILED", reason="the loss is nan", chatter=""))
        console.happened(step, replace(done, status="KILLED", reason="kept as of epoch 2"))
        console.happened(step, replace(done, status="KILLED", reason="stopped before it began", run_id=""))
    printed = capsys.readouterr()
    assert printed.out == ""
    assert [line.rstrip() for line in printed.err.splitlines()] == [
        "plan     3 runs, 2 workers",
        "lost     linear seed 7: its worker was killed by SIGKILL, in attempt 1",
        "         last [b]words",
        "1/3  seed 7  linear-1  val acc 50.00%",
        "failed   linear seed 7: the loss is nan",
        "stopped  linear seed 7: kept as of epoch 2",
    ]
