"""`python -m cvexp` and the console script `cvexp`."""

import time

STARTED = time.monotonic()  # read before anything slow is imported, so that start-up counts as time spent


def main() -> None:
    """Run the command line and leave with its exit code."""
    import sys

    from cvexp.cli.main import run

    sys.exit(run(sys.argv[1:], started=STARTED))


if __name__ == "__main__":
    main()
