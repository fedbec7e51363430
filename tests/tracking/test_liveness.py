"""Whether the process that wrote a run has ended, and when that cannot be known."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cvexp.tracking.liveness import BOOT, HOST, NAMESPACE, PID, STARTED, is_gone, process_tags


def test_this_process_is_not_gone():
    assert not is_gone(process_tags())


def test_a_process_that_ended_here_is_gone():
    child = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    assert is_gone(process_tags() | {PID: child.stdout.decode().strip()})


def test_a_process_that_took_over_the_number_is_another_one():
    tags = process_tags()
    assert is_gone(tags | {STARTED: str(float(tags[STARTED]) - 100)})


@pytest.mark.parametrize("name", [HOST, BOOT, NAMESPACE])
@pytest.mark.parametrize("value", ["", "another"])
def test_what_cannot_be_compared_is_not_called_gone(name, value):
    tags = process_tags() | {PID: str(2**22 + 1)}
    assert is_gone(tags)
    assert not is_gone(tags | {name: value})
    assert not is_gone({key: tags[key] for key in tags if key != name})
