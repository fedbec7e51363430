"""Run one cvexp command in this process, and hit it at a chosen point with a signal: POINT NTH SIGNAL WORDS...

`-` for POINT lets the command run through, and writes how often each point was passed to the file that NTH names.
The signal is sent by the process to itself from inside the call in question, so that the point is exact; `timer` sends
it from a thread, after NTH thousandths of a second of training.
"""

from __future__ import annotations

import atexit
import functools
import importlib
import json
import os
import signal
import sys
import threading
from pathlib import Path

POINTS = {
    # name: (module, attribute, hit before or after the call)
    "step": ("cvexp.engine.backends.captured", "CapturedSteps.run", "before"),
    "stepped": ("cvexp.engine.backends.captured", "CapturedSteps.run", "after"),
    "evaluation": ("cvexp.inference.predictor", "forward", "before"),
    "evaluated": ("cvexp.engine.fit", "evaluate", "after"),
    "writing": ("cvexp.files", "os.fsync", "before"),
    "written": ("cvexp.files", "write_atomically", "after"),
    "noting": ("cvexp.tracking.journal", "Journal._write", "before"),
    "noted": ("cvexp.tracking.journal", "Journal._write", "after"),
    "delivery": ("cvexp.tracking.mlflow_sink", "MlflowSink.deliver", "before"),
    "delivered": ("cvexp.tracking.mlflow_sink", "MlflowSink.deliver", "after"),
    "drawing": ("cvexp.plots.curves", "curves", "before"),
}


def wrap(point, call):
    """Have `call(original, arguments, keywords)` answer in place of what `point` names."""
    module_name, path, _ = POINTS[point]
    holder = importlib.import_module(module_name)
    *parents, name = path.split(".")
    for parent in parents:
        holder = getattr(holder, parent)
    original = getattr(holder, name)

    @functools.wraps(original)
    def wrapped(*arguments, **keywords):
        return call(original, arguments, keywords)

    setattr(holder, name, wrapped)


def count(file: str) -> None:
    """Write how often each point is passed to `file` when the process ends."""
    passed = dict.fromkeys(POINTS, 0)
    for point in POINTS:

        def counted(original, arguments, keywords, point=point):
            passed[point] += 1
            return original(*arguments, **keywords)

        wrap(point, counted)
    atexit.register(lambda: Path(file).write_text(json.dumps(passed)))


def arm(point: str, nth: int, signum: int) -> None:
    """Send `signum` to this process around the `nth` call of what `point` names."""
    if point == "timer":
        fit = importlib.import_module("cvexp.engine.fit")
        train = fit.Fit._train

        def timed(*arguments):
            threading.Timer(nth / 1000, os.kill, (os.getpid(), signum)).start()
            fit.Fit._train = train
            return train(*arguments)

        fit.Fit._train = timed
        return
    calls = iter(range(1, 10**9))
    when = POINTS[point][2]

    def hit(original, arguments, keywords):
        now = next(calls) == nth
        if now and when == "before":
            os.kill(os.getpid(), signum)
        result = original(*arguments, **keywords)
        if now and when == "after":
            os.kill(os.getpid(), signum)
        return result

    wrap(point, hit)


def main() -> int:
    """Arm, then run the command."""
    point, nth, name, *words = sys.argv[1:]
    import cvexp.engine.fit

    cvexp.engine.fit.CALL_SECONDS = 0.004  # many calls, and so many points, in an epoch that is short
    if point == "-":
        if nth != "0":
            count(nth)
    else:
        arm(point, int(nth), getattr(signal, name))
    from cvexp.cli.main import run

    return run(words)


if __name__ == "__main__":
    sys.exit(main())
