"""Attempts, and functions that run them, for tests of executors."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from cvexp.executors.seam import Attempt, Ended, Epoch, Started

if TYPE_CHECKING:
    from cvexp.executors.seam import Channel

EPOCH_SECONDS = 0.02


def attempt(trial: str, *, epochs: int = 3, number: int = 1) -> Attempt:
    return Attempt(
        trial=trial,
        number=number,
        config={"epochs": str(epochs)},
        store={"tracking_uri": "http://127.0.0.1:9", "experiment": "Default"},
        data_dir=".",
    )


def run(one: Attempt, channel: Channel) -> Ended:
    """Epochs that take no more than their time."""
    about = {"trial": one.trial, "number": one.number}
    channel.emit(Started(**about, run_id="", run_name=str(os.getpid())))
    n_epochs = int(one.config["epochs"])
    for epoch in range(1, n_epochs + 1):
        time.sleep(EPOCH_SECONDS)
        channel.emit(Epoch(**about, epoch=epoch, n_epochs=n_epochs, values={}))
        if (asked := channel.asked()) is not None:
            return Ended(**about, status="KILLED" if asked == "now" else "FINISHED", reason=asked)
    return Ended(**about, status="FINISHED")
