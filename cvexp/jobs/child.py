"""A piece of our own code in a process of its own, which begins without what this one has imported and allocated."""

from __future__ import annotations

import subprocess
import sys

from cvexp.errors import CvexpError
from cvexp.imports import child_environment

LONGEST_REASON = 200


def output_of(code: str, *words: str, failed: str, hint: str) -> str:
    """What Python code prints on stdout, run with `words` as its arguments.

    Raises:
        CvexpError: The process failed: `failed`, with the last line of its stderr, and `hint`.
    """
    done = subprocess.run(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-W", "ignore", "-c", code, *words],
        env=child_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise CvexpError(f"{failed}: {reason[:LONGEST_REASON]}", hint)
    return done.stdout
