"""One of the processes that torchrun starts: RANK NTH SIGNAL WORDS... runs the command WORDS.

The process of that rank sends itself the signal before the NTH time that it takes steps, unless it was restarted.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from tests.faults import launch

if __name__ == "__main__":
    rank, nth, name, *words = sys.argv[1:]
    import cvexp.engine.fit

    cvexp.engine.fit.CALL_SECONDS = 0.004
    launch.POINTS["together"] = ("cvexp.engine.distributed.steps", "DistributedSteps.run", "before")
    if os.environ["RANK"] == rank and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        launch.arm("together", int(nth), getattr(signal, name))
    from cvexp.cli.main import run

    sys.exit(run(words, started=time.monotonic()))
