"""What workers run in tests in place of a training."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING

from cvexp.executors.seam import Ended, Started

if TYPE_CHECKING:
    from cvexp.executors.seam import Attempt, Channel


def run(attempt: Attempt, channel: Channel) -> Ended:
    """What the trial's name says: `finish`, `die`, `fail`, or wait for a stop."""
    what = attempt.trial.partition("-")[0]
    about = f"{os.getpid()} {os.environ.get('CUDA_VISIBLE_DEVICES')} {attempt.n_slots}"
    channel.emit(Started(trial=attempt.trial, number=attempt.number, run_id="r", run_name=about))
    if what == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "fail":
        sys.stdout.write("this is printed\n")
        sys.stdout.flush()
        raise KeyError("missing")
    while what == "wait" and channel.asked() is None:
        time.sleep(0.002)
    stop = channel.asked()
    return Ended(
        trial=attempt.trial, number=attempt.number, status="KILLED" if stop == "now" else "FINISHED", reason=stop or ""
    )
