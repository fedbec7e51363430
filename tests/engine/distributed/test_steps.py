"""Two processes against one, in float64: real ones, over gloo."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

PAIR = Path(__file__).with_name("pair.py")
ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.slow


def environment(rank, port, n=2):
    """What torchrun tells each of `n` processes."""
    numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": n, "LOCAL_WORLD_SIZE": n, "GROUP_RANK": 0}
    launch = {"TORCHELASTIC_RESTART_COUNT": 0, "TORCHELASTIC_RUN_ID": "test", "MASTER_PORT": port}
    own = {name: str(value) for name, value in {**numbers, **launch}.items()}
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", **own}


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """What both processes found."""
    file = tmp_path_factory.mktemp("pair") / "report"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, str(PAIR), str(file)]
    pair = [subprocess.Popen(command, env=environment(rank, port), stderr=subprocess.PIPE) for rank in (0, 1)]
    errors = [process.communicate(timeout=300)[1].decode() for process in pair]
    assert [process.returncode for process in pair] == [0, 0], errors
    return [json.loads(Path(f"{file}.{rank}").read_text()) for rank in (0, 1)]


@pytest.mark.parametrize("case", ["plain", "options", "augmented"])
def test_steps_of_two_processes_are_one_processs_up_to_the_order_of_sums(reports, case):
    for report in reports:
        found = report[case]
        assert found["losses"] < 1e-10
        assert found["weights"] < 1e-10
        assert found["moved"] > 1e-3  # else nothing was compared
        assert found["counts"] == 0
        assert found["n_correct"] > 0


def test_every_image_is_evaluated_once_however_many_there_are(reports):
    for report in reports:
        for n, found in report["evaluated"].items():
            assert found["n"] == int(n)
            assert found["equal"]
            assert found["difference"] < 1e-5


def test_tensors_that_differ_between_processes_are_named(reports):
    for report in reports:
        assert report["differing"].startswith("other of the model differs")


def test_dropout_differs_between_processes_and_goes_on_with_the_same_bits(reports):
    for report in reports:
        assert report["dropped"] == {"equal": True, "same_draws": False, "draws": True}


def test_both_have_what_process_0_has(reports):
    for report in reports:
        assert report["agreed"] == 10
        assert report["state"] == [3, [0.0, 1.0, 2.0, 3.0]]
