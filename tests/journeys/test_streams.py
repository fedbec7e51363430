"""Every verb as a process of its own: what stands on stderr is what cvexp means to say, and nothing of a library's."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULE = [sys.executable, "-m", "cvexp"]
EXPERIMENT = "experiment: file\nruns:\n  - {model: linear, dataset: digits, epochs: 1}\n"

TRAINING = (
    r"run      (linear-[0-9a-f]{6}|first) \([0-9a-f]{32}\)",
    r"model    linear, 760 parameters",
    r"data     digits: 1,437 training, 360 test images from the scikit-learn package",
    r"device   cpu: .+, 1 thread, (captured|eager) steps",
    r"epoch 1/1  train loss \d\.\d{5} acc \d+\.\d\d%  test loss \d\.\d{5} acc \d+\.\d\d%  .+ s",
)
NEXT = r"next     cvexp .+"
BUSY = r"machine  busy: training waited \d+% of its time for a core; above 5% times are not ranked: train alone"
"""What a training adds on a machine that other programs use; the tests are such a program."""
TRAIN = ("train", "linear", "--dataset", "digits", "--epochs", "1", "--device", "cpu")

VERBS = {
    "help": (("--help",), ()),
    "version": (("--version",), ()),
    "data": (("data", "digits"), (NEXT,)),
    "models": (("models",), ("for one 1x28x28 image of fashion-mnist, 10 hidden units", NEXT)),
    "one model": (("models", "tinyvgg"), ("for one 1x28x28 image of fashion-mnist; MACs are multiply-accumulates",)),
    "train": (TRAIN, (*TRAINING, NEXT)),
    "train with eager adam": ((*TRAIN, "--step", "eager", "--optimizer", "adam"), (*TRAINING, NEXT)),
    "train that only prints its settings": ((*TRAIN, "--print-config"), ()),
    "every option of train": (("train", "--help-all"), ()),
    "train with JSON": ((*TRAIN, "--json"), TRAINING),
    "evaluate": (("evaluate", "first", "--device", "cpu"), ()),
    "compare": (("compare",), (NEXT,)),
    "confmat": (
        ("confmat", "first"),
        (r"drawn to confusion_matrix\.png, and logged to the run as confusion_matrix\.png",),
    ),
    "predict": (("predict", "first"), (r"drawn to predictions\.png",)),
    "export": (("export", "first"), (NEXT,)),
    "run": (("run", "file.yaml", "--plot", "x.png"), (*TRAINING, NEXT, r"drawn to x\.png", "1 of 1 .+ trained now")),
    "sync": (("sync",), ()),
}


def process(words, folder):
    return subprocess.run(
        words, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a run called first."""
    made = tmp_path_factory.mktemp("streams")
    (made / "file.yaml").write_text(EXPERIMENT)
    done = process([*MODULE, *TRAIN, "--name", "first"], made)
    assert done.returncode == 0, done.stderr
    return made


@pytest.mark.slow
@pytest.mark.parametrize("name", VERBS)
def test_stderr_holds_what_the_verb_says_and_no_more(name, folder):
    words, expected = VERBS[name]
    done = process([*MODULE, *words], folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    lines = [line for line in done.stderr.splitlines() if not (TRAINING[0] in expected and re.fullmatch(BUSY, line))]
    assert len(lines) == len(expected), done.stderr
    for line in lines:  # the order of hints is a verb's own business
        assert any(re.fullmatch(pattern, line) for pattern in expected), line


def unread(words, folder):
    """The exit code and stderr of a process whose stdout nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [*MODULE, *words],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(writer)
    return done.returncode, done.stderr


@pytest.mark.parametrize("words", [("--help",), ("train", "--help"), ("data",), ("data", "--json")])
def test_a_reader_that_has_gone_is_no_reason_for_noise(words, tmp_path):
    code, stderr = unread(words, tmp_path)
    assert code == 141
    assert "error" not in stderr.lower()
    assert "Exception" not in stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_output_that_cannot_be_written_is_an_error_in_three_lines(tmp_path):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*MODULE, "--version"], cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    first, *more = done.stderr.splitlines()
    assert first.startswith("error: ")
    assert "No space left on device" in first
    assert len(more) <= 2
    assert "Exception" not in done.stderr
