"""`python -m cvexp` and the console script `cvexp`."""

import gc
import time
from typing import NoReturn

STARTED = time.monotonic()  # read before anything slow is imported, so that start-up counts as time spent

COLLECT_AFTER = (100_000, 20, 20)
"""New objects until Python collects garbage; with its default, 700, that takes a quarter of a short command's time."""


def main() -> None:
    """Run the command line and leave with its exit code."""
    import sys

    gc.set_threshold(*COLLECT_AFTER)
    from cvexp.cli.main import run
    from cvexp.cli.output import flushed

    _leave(flushed(run(sys.argv[1:], started=STARTED)))


def _leave(code: int) -> NoReturn:
    """End the process without finalizing the interpreter, which takes 1 to 3 s once torch and MLflow are loaded.

    Threads are joined and exit functions are called first, as the interpreter does; `multiprocessing` ends its
    processes in the same way. A second Ctrl-C skips both.
    """
    import atexit
    import contextlib
    import os
    import sys
    import threading

    try:
        threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 - no public name joins executors' threads
        atexit._run_exitfuncs()  # noqa: SLF001 - likewise for exit functions
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or whoever read it has gone
                stream.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
