"""Trainings that a process starts in several threads at once."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from cvexp import train
from cvexp.events import EpochEnded, TrainingStarted

SETTINGS = {"model": "tinyvgg", "dataset": "digits", "device": "cpu", "epochs": 3, "limit": 400, "optimizer": "adam"}


class MeetsTheOther:
    """Waits a moment, before the first step, for another training in the process."""

    def __init__(self, barrier):
        self.barrier = barrier

    def __call__(self, event):
        if not isinstance(event, TrainingStarted):
            return
        with contextlib.suppress(threading.BrokenBarrierError):  # the other one waits for its turn
            self.barrier.wait(3)


class TrainsAnother:
    def __init__(self, losses):
        self.losses, self.found = losses, []

    def __call__(self, event):
        if isinstance(event, EpochEnded):
            self.found.append(self.losses())


@pytest.fixture
def losses(lab, monkeypatch):
    """Every step's loss of a training with one seed."""
    monkeypatch.setattr("cvexp.engine.fit.CALL_SECONDS", 1e-6)  # one step a call

    def call(observer=None, **settings):
        result = train(**{**SETTINGS, **settings}, experiment="threads", observer=observer)
        return [loss for epoch in result.history for loss in epoch.step_losses.tolist()]

    return call


@pytest.mark.slow
def test_trainings_in_two_threads_give_what_each_gives_alone(losses):
    alone = losses()
    barrier = threading.Barrier(2)
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(losses, [MeetsTheOther(barrier), MeetsTheOther(barrier)]))
    assert together == [alone, alone]


@pytest.mark.slow
def test_an_observer_may_train_too(losses):
    observer = TrainsAnother(losses)
    found = losses(observer, epochs=1)
    assert found == observer.found[0][: len(found)]
