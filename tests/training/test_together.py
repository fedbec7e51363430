"""The processes beside the first: what they refuse, and how they say so."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from cvexp.comparability import Conditions
from cvexp.config import run_config
from cvexp.config.recipe import recipe
from cvexp.process import Rank
from cvexp.training.signals import StopSignals
from cvexp.training.together import ERROR, LEFT, START, Follower


class Said:
    """A Control that answers from what was said in advance, and keeps what is told."""

    def __init__(self, **said):
        self.place = Rank(rank=1, world=2, local_rank=1, local_world=2, node=0, attempt=0)
        self.said = dict(said)

    def tell(self, key, text):
        self.said[key] = text

    def told(self, key):
        return self.said.get(key)

    def awaited(self, key):
        return self.said[key]


def start(**settings):
    config = run_config({"dataset": "digits", "device": "cpu", "devices": 2, **settings})
    return json.dumps({"config": asdict(config), "evaluation_threads": None, "resumed": False}, default=dict)


def follow(control, tmp_path, model=None):
    with StopSignals() as signals:
        return Follower(control=control, data_dir=tmp_path, model=model, signals=signals).run()


def test_code_runs_only_where_it_was_typed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "planted.py").write_text("from pathlib import Path\nPath('ran').touch()\n")
    control = Said(**{START: start(model="planted:net"), LEFT: "done"})
    assert follow(control, tmp_path, model="linear") == 0
    assert control.said[ERROR] == "process 1 of 2: it was not told to run the code of planted:net"
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(("left", "code"), [(True, 0), (False, 1)])
def test_a_process_that_fails_lets_the_first_one_speak(tmp_path, monkeypatch, left, code):
    monkeypatch.setattr("cvexp.training.together.SECONDS_TO_CLOSE", 0.1)
    control = Said(
        **{START: start(model="linear", device="cuda:99".partition(":")[0])}, **({LEFT: "x"} if left else {})
    )
    assert follow(control, tmp_path) == code
    assert "process 1 of 2: device 'cuda' is not available" in control.said[ERROR]


def test_devices_are_a_condition_of_times_and_no_part_of_the_recipe():
    one, two = (run_config({"model": "linear", "devices": n}).params() for n in (1, 2))
    assert recipe(one, {}) == recipe(two, {})
    known = {"device": "d", "torch": "2", "precision": "float32", "threads": "1", "batch_size": 32, "epochs": 1}
    rest = {"dataset": "x", "train_images": 3, "split": "none", "step_runner": "eager"}
    alone = Conditions(**known, **rest)
    assert alone.key != Conditions(**known, **rest, devices=2).key
    assert "devices" not in alone.to_json()  # earlier runs keep their key
