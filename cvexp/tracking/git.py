"""Questions to git about the working folder's repository, which is untrusted: no program that it names is started."""

from __future__ import annotations

import os
import subprocess
import threading

GIT_TIMEOUT_SECONDS = 5
_COMMAND = ("git", "-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}")
_READS_ONLY = {
    "GIT_OPTIONAL_LOCKS": "0",  # the index is not written, so no hook hears of it
    "GIT_NO_LAZY_FETCH": "1",  # missing objects are not fetched
    "GIT_ALLOW_PROTOCOL": "none",  # nor by a git that does not know the line above
}


def git(*arguments: str, no_match: int = 0) -> str | None:
    """What git prints; None where it fails, which the exit code `no_match` does not mean."""
    try:
        done = subprocess.run(  # noqa: S603 - fixed words, no shell
            [*_COMMAND, *arguments],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **_READS_ONLY},
            text=True,
            errors="replace",  # a file's name may be no text
            timeout=GIT_TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode in (0, no_match) else None


def git_bytes(*arguments: str, most: int) -> bytes | None:
    """The first `most` bytes that git prints; None where it fails or takes too long."""
    try:
        process = subprocess.Popen(  # noqa: S603 - fixed words, no shell
            [*_COMMAND, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **_READS_ONLY},
        )
    except OSError:
        return None
    overdue = threading.Timer(GIT_TIMEOUT_SECONDS, process.kill)
    overdue.start()
    with process:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        found = process.stdout.read(most)
        cut = bool(process.stdout.read(1))
        if cut:
            process.kill()
        code = process.wait()
    overdue.cancel()
    return found if cut or code == 0 else None


def has_filters() -> bool:
    """Whether the repository names programs that files pass through; those in the user's own settings may run."""
    wanted = r"^(filter\..*\.(clean|process)|lfs\.extension\..*)$"
    named = git("config", "--show-scope", "--name-only", "--get-regexp", wanted, no_match=1)
    return named is None or any(line.startswith(("local", "worktree")) for line in named.splitlines())
