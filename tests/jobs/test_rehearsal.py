"""What `cvexp train` does in place of a training: what it says, what it leaves, and its exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from cvexp.config import run_config
from cvexp.jobs import overfit_batch, smoke

TRAIN = ("train", "mlp", "--model-arg", "output_relu=false", "--dataset", "digits", "--device", "cpu")
FACTORY = """
from torch import nn

class Sums(nn.Module):
    def __init__(self, n_classes):
        super().__init__()
        self.layer = nn.Linear(1, n_classes)

    def forward(self, images):
        return self.layer(images.flatten(1).mean(dim=1, keepdim=True))

class Forgets(Sums):
    def forward(self, images):
        self.n_calls = getattr(self, "n_calls", 0) + self.training
        return super().forward(images) * (1 + self.n_calls)

def sums(image_shape, n_classes, *, hidden_units=10):
    return Sums(n_classes)

def forgets(image_shape, n_classes, *, hidden_units=10):
    return Forgets(n_classes)
"""


@pytest.fixture
def nets(tmp_path, monkeypatch):
    """Models that learn one number of an image, one of which depends on more than its weights."""
    (tmp_path / "nets_of_the_user.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return "nets_of_the_user"


def left_behind(folder):
    return [path.name for path in folder.iterdir() if path.name in ("mlflow.db", "mlruns", ".cvexp")]


def test_lr_find_suggests_a_rate_draws_it_and_trains_nothing(cvexp, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = cvexp(*TRAIN, "--lr-find", "--optimizer", "adam", "--schedule", "cosine")
    assert found.code == 0, found.stderr
    assert Path("lr_find.png").read_bytes().startswith(b"\x89PNG")
    rate = next(line.split()[-1] for line in found.stdout.splitlines() if "suggested --lr" in line)
    assert 1e-4 < float(rate) < 0.1
    assert f"--lr {rate}" in found.stderr
    assert "--schedule cosine" in found.stderr
    assert not left_behind(tmp_path)
    again = cvexp(*TRAIN, "--lr-find", "--optimizer", "adam", "--schedule", "cosine", "--json")
    assert again.document["lr"] == float(rate)
    assert len(again.document["rates"]) == len(again.document["losses"]) > 50


def test_one_batch_is_learnt(cvexp, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    learnt = cvexp(*TRAIN, "--overfit-batch", "--label-smoothing", "0.3", "--json")
    assert learnt.code == 0, learnt.stderr
    document = learnt.document
    assert document["reached"] is True
    assert document["n_correct"] == document["n_images"] == 32
    assert document["loss"] <= overfit_batch.NEAR_ZERO < document["first_loss"]
    assert not left_behind(tmp_path)


def test_a_model_that_cannot_learn_a_batch_leaves_with_4(cvexp, nets, monkeypatch):
    monkeypatch.setattr(overfit_batch, "MAX_STEPS", 40)
    failed = cvexp("train", f"{nets}:sums", "--dataset", "digits", "--device", "cpu", "--overfit-batch")
    assert failed.code == 4
    assert "not reached" in failed.stdout
    assert "after 40 steps, not 0.05 or less" in failed.stderr
    assert len([line for line in failed.stderr.splitlines() if line.startswith(("error", "  "))]) <= 3


@pytest.mark.slow
def test_smoke_does_a_little_of_everything_and_leaves_nothing(cvexp, tmp_path, monkeypatch, record):
    del record  # its store makes MLflow's schema known
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    options = ("--epochs", "9", "--schedule", "cosine", "--warmup-epochs", "4", "--ema", "0.9", "--keep-best")
    done = cvexp(*TRAIN, "--smoke", *options, "--json")
    assert done.code == 0, done.stderr
    assert [*done.document["parts"]] == ["train", "evaluate", "checkpoint", "log"]
    assert done.document["parts"]["train"].startswith("6 steps")
    assert not list(folder.iterdir())


@pytest.mark.slow
def test_smoke_notices_weights_that_are_not_all_there_is(cvexp, nets, record):
    del record
    failed = cvexp("train", f"{nets}:forgets", "--dataset", "digits", "--device", "cpu", "--smoke")
    assert failed.code == 4, failed.stderr
    assert "depends on more than its parameters" in failed.stderr


def test_a_smaller_training_keeps_every_option():
    config = run_config({"model": "linear", "epochs": 9, "schedule": "cosine", "warmup_epochs": 4, "accumulate": 2})
    small = smoke._smaller(config)
    assert (small.epochs, small.limit, small.warmup_epochs, small.schedule) == (2, 3 * 64, 1.0, "cosine")
