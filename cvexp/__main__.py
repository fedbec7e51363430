"""`python -m cvexp` and the console script `cvexp`."""

import gc
import time

STARTED = time.monotonic()  # read before anything slow is imported, so that start-up counts as time spent

COLLECT_AFTER = (100_000, 20, 20)
"""Python looks for garbage cycles after so many new objects. Its own 700 make it walk through everything torch and
MLflow import again and again, which is a quarter of a short command's time."""


def main() -> None:
    """Run the command line and leave with its exit code."""
    import sys

    gc.set_threshold(*COLLECT_AFTER)
    from cvexp.cli.main import run

    code = run(sys.argv[1:], started=STARTED)
    gc.freeze()  # else the interpreter, on its way out, looks twice for cycles in memory that is about to go
    sys.exit(code)


if __name__ == "__main__":
    main()
