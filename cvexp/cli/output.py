"""How every verb hands over its result."""

import sys
from collections.abc import Iterable, Mapping
from typing import Any, Protocol, TypeVar

FAILED = 1
READER_GONE = 141
"""128 and the number of SIGPIPE: what a shell shows for a command whose reader closed the pipe."""

R_contra = TypeVar("R_contra", contravariant=True)


class Report(Protocol[R_contra]):
    """A module of `report`: one result for people, and for programs."""

    def show(self, result: R_contra, /) -> None:
        """Print it on stdout, and hints on stderr."""
        ...

    def document(self, result: R_contra, /) -> Mapping[str, Any]:
        """Make it a JSON object."""
        ...


def present(result: R_contra, report: Report[R_contra], *, as_json: bool, then: Iterable[str] = ()) -> None:
    """Print a result: as one JSON object on stdout, or for people, with the commands that may come next."""
    from cvexp.report.terminal import print_json, suggest

    if as_json:
        print_json(report.document(result))
        return
    report.show(result)
    suggest(*then)


def is_unread(error: BaseException) -> bool:
    """Whether `error` says that the reader of stdout or stderr closed the pipe, as in `cvexp compare | head -1`."""
    left_by_rich = isinstance(error, SystemExit) and isinstance(error.__context__, BrokenPipeError)
    return left_by_rich or isinstance(error, BrokenPipeError)


def flushed(code: int) -> int:
    """Write out what stdout still buffers, and give the exit code: `code`, unless not all of it could be written."""
    try:
        if sys.stdout is not None:  # it is where the process was started with a closed stdout
            sys.stdout.flush()
    except BrokenPipeError:
        return READER_GONE
    except OSError as error:
        sys.stderr.write(f"error: cannot write to stdout: {error.strerror}\n")
        return code or FAILED
    return code
