"""A folder of one's own images through every verb, each as a process in a terminal of 80 columns."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.journeys.own_images import CLASSES, DAMAGED, N_TEST, N_TRAIN, write_images

ROOT = Path(__file__).parents[2]
COLUMNS = 80
TRAIN = ("--dataset", "pictures", "--image-size", "32", "--device", "cpu")
NOISE = re.compile(r"Traceback|Warning|warnings\.warn|INFO|site-packages|\.py:\d+")
JOURNEY = {
    "data": ("data", "pictures", "--image-size", "32", "--samples", "samples.png"),
    "data, augmented": ("data", "pictures", "--augment", "flip-crop,mixup", "--samples", "mixed.png"),
    "train": ("train", "tinyvgg", *TRAIN, "--name", "small", "--epochs", "2", "--augment", "flip-crop,mixup"),
    "train seeds": ("train", "linear", *TRAIN, "--name", "plain", "--epochs", "2", "--seeds", "2"),
    "evaluate": ("evaluate", "small", "--reliability", "reliability.png"),
    "confmat": ("confmat", "small", "--out", "confused.png"),
    "predict files": ("predict", "small", "pictures/test/bag/000.png", "pictures/test/sneaker/again.jpg"),
    "predict wrong": ("predict", "small", "--wrong", "--out", "wrong.png"),
    "explain": ("explain", "small", "pictures/test/bag/004.jpg"),
    "export": ("export", "small"),
    "evaluate export": ("evaluate", "models/small.pt"),
    "compare": ("compare", "--plot", "compare.png"),
    "compare two": ("compare", "small", "plain-42", "--plot", "two.png"),
    "bench": ("bench", "small", "plain-42", "--batch", "1,32"),
    "models": ("models", "tinyvgg", "--dataset", "pictures", "--image-size", "32"),
    "reproduce": ("reproduce", "plain-42"),
}


def process(words, folder):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": str(COLUMNS), "XDG_CACHE_HOME": str(folder / "c")}
    return subprocess.run(
        [sys.executable, "-m", "cvexp", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("own")
    write_images(made / "pictures")
    return made


@pytest.fixture(scope="module")
def done(folder):
    """Every command of the journey, in order."""
    return {name: process(words, folder) for name, words in JOURNEY.items()}


@pytest.mark.slow
@pytest.mark.full
@pytest.mark.parametrize("name", JOURNEY)
def test_every_verb_takes_a_folder_and_says_nothing_that_is_not_its_own(name, done):
    outcome = done[name]
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stdout.strip()
    assert not NOISE.search(outcome.stderr), outcome.stderr
    assert not NOISE.search(outcome.stdout)
    tables = [line for line in outcome.stdout.splitlines() if line.startswith(" ")]  # sentences are as long as they are
    assert max(map(len, tables), default=0) <= COLUMNS


@pytest.mark.slow
@pytest.mark.full
def test_every_picture_is_there_and_can_be_opened(done, folder):
    assert all(outcome.returncode == 0 for outcome in done.values())
    found = {path.relative_to(folder) for path in folder.glob("*.png")}
    assert {str(path) for path in found} >= {
        *("samples.png", "mixed.png", "reliability.png", "confused.png", "wrong.png", "compare.png", "two.png"),
        *("two-images.png",),
    }
    for path in found:
        with Image.open(folder / path) as picture:
            picture.load()
            assert min(picture.size) > 200


@pytest.mark.slow
@pytest.mark.full
def test_what_is_damaged_or_twice_is_counted_and_named(folder):
    found = json.loads(process(("data", "pictures", "--json"), folder).stdout)
    per_class = {split: set(counts["per_class"].values()) for split, counts in found["splits"].items()}
    assert per_class == {"train": {N_TRAIN, N_TRAIN + 1}, "test": {N_TEST, N_TEST + 2}}
    assert {one["path"] for one in found["unreadable"]} == {f"train/bag/{name}" for name in DAMAGED}
    assert set(found["splits"]["test"]["per_class"]) == set(CLASSES)
    exact = [set(one["paths"]) for one in found["duplicates"] if one["kind"] == "exact"]
    assert {"train/sneaker/000.png", "test/sneaker/copied.png"} in exact
    assert {"train/trouser/002.png", "train/trouser/copied.png"} in exact
    near = [set(one["paths"]) for one in found["duplicates"] if one["kind"] == "near"]
    assert any({"train/sneaker/008.jpeg", "test/sneaker/again.jpg"} <= paths for paths in near)
