"""Running one attempt where the worker is: whatever it raises becomes the attempt's end."""

from __future__ import annotations

import signal
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING

from cvexp.errors import CvexpError, Interrupted
from cvexp.executors.seam import Ended

if TYPE_CHECKING:
    from cvexp.executors.seam import Attempt, Channel, Run

LONGEST_REASON = 200


def perform(run: Run, attempt: Attempt, channel: Channel) -> None:
    """Run the attempt in the calling thread and emit its end; an unexpected error's traceback goes to stderr."""
    try:
        ended = run(attempt, channel)
    except CvexpError as error:
        ended = _failed(attempt, error.what, *error.hints, exit_code=error.exit_code)
    except Interrupted as stop:
        name = signal.Signals(stop.signum).name
        ended = replace(killed_in_queue(attempt), reason=f"interrupted by {name}", exit_code=128 + stop.signum)
    except Exception as error:  # noqa: BLE001 - the driver is told, and the worker goes on
        traceback.print_exc()
        text = (str(error).splitlines() or [""])[0]
        ended = _failed(attempt, f"{type(error).__name__}: {text}"[:LONGEST_REASON], exit_code=1)
    channel.emit(ended)


def _failed(attempt: Attempt, reason: str, *hints: str, exit_code: int) -> Ended:
    return Ended(
        trial=attempt.trial, number=attempt.number, status="FAILED", reason=reason, hints=hints, exit_code=exit_code
    )


def killed_in_queue(attempt: Attempt) -> Ended:
    """The end of an attempt that was stopped before it had a slot."""
    return Ended(trial=attempt.trial, number=attempt.number, status="KILLED", reason="stopped before it began")
