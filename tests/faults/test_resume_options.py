"""A training with every option that is killed and resumed gives the bits of one that was not."""

from __future__ import annotations

import json
import random
import signal

import pytest

from tests.faults import killing

OPTIONS = (
    "--optimizer adamw --weight-decay 0.01 --decay matrices --schedule one-cycle --label-smoothing 0.1 "
    "--clip-norm 1 --accumulate 2 --ema 0.9 --class-weights balanced --sampler balanced --keep-best --early-stop 50 "
    "--augment cutmix"
)
TRAIN = ["train", "tinyvgg", "--dataset", "digits", "--epochs", "3", "--threads", "1", *OPTIONS.split()]
POINTS = ("step", "stepped", "evaluation", "evaluated", "writing", "drawing")


@pytest.mark.campaign
def test_a_killed_training_with_every_option_is_resumed_to_the_same_bits(tmp_path):
    whole = tmp_path / "whole"
    whole.mkdir()
    code, _, err = killing.run([*TRAIN, *killing.KEEP], whole, nth=whole / "counts.json")
    assert code == 0, err
    expected, counts = killing.fingerprint(whole), json.loads((whole / "counts.json").read_text())
    chosen = random.Random(15)
    for point in chosen.sample(POINTS, len(POINTS)):
        folder = tmp_path / point
        folder.mkdir()
        nth = chosen.randint(4 if point == "writing" else 1, counts[point])
        code, _, err = killing.finish(killing.start([*TRAIN, *killing.KEEP], folder, point=point, nth=nth))
        assert code == -signal.SIGKILL, err
        killing.resume(folder)
        assert killing.fingerprint(folder) == expected, (point, nth)
