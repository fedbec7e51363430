"""Wrong uses of --devices: three lines at most, exit code 2, and nothing begun."""

from __future__ import annotations

import pytest

import cvexp as api
from cvexp import process
from cvexp.errors import ConfigError, DeviceError
from cvexp.process import Rank
from cvexp.training import together
from tests.faults.answering import check_refusal

TWO = ("train", "tinyvgg", "--dataset", "digits", "--device", "cpu", "--devices", "2")

WRONG = {
    "none": (("train", "linear", "--devices", "0"), "--devices 0"),
    "no number": (("train", "linear", "--devices", "all"), "all"),
    "one GPU by its number": (("train", "linear", "--device", "cuda:0", "--devices", "2"), "cuda:0"),
    "mps": (("train", "linear", "--device", "mps", "--devices", "2"), "mps"),
    "recorded steps": ((*TWO, "--step", "captured"), "--step"),
    "compiled steps": ((*TWO, "--compile"), "--compile"),
    "cached features": ((*TWO, "--freeze", "all-but-head", "--cache-features"), "--cache-features"),
    "one batch": ((*TWO, "--overfit-batch"), "--overfit-batch"),
    "rates": ((*TWO, "--lr-find"), "--lr-find"),
    "smoke": ((*TWO, "--smoke"), "--smoke"),
    "several seeds": ((*TWO, "--seeds", "3"), "--seeds"),
    "bench": ((*TWO, "--bench"), "--bench"),
    "a resumed run": (("train", "--resume", "@last", "--devices", "2"), "--devices"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_use_is_refused_before_anything_begins(name, cvexp, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words, seen = WRONG[name]
    outcome = cvexp(*words)
    check_refusal(outcome.code, outcome.stdout, outcome.stderr, seen)
    assert not list(tmp_path.iterdir())


def test_a_function_call_trains_on_one_device_and_names_the_command(tmp_path):
    with pytest.raises(ConfigError, match="devices 2: this process trains on one") as refused:
        api.train("linear", dataset="digits", device="cpu", devices=2, tracking_uri=f"sqlite:///{tmp_path}/x.db")
    assert "cvexp train linear" in refused.value.hints[0]
    assert "--devices 2" in refused.value.hints[0]


def test_torchruns_number_of_processes_is_not_overruled(cvexp, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(process, "_OWN", type(process._OWN)())
    names = ("RANK", "LOCAL_RANK", "GROUP_RANK", "TORCHELASTIC_RESTART_COUNT")
    launch = {**dict.fromkeys(names, "0"), "WORLD_SIZE": "3", "LOCAL_WORLD_SIZE": "3", "TORCHELASTIC_RUN_ID": "none"}
    for name, value in launch.items():
        monkeypatch.setenv(name, value)
    outcome = cvexp(*TWO)
    check_refusal(outcome.code, outcome.stdout, outcome.stderr, "torchrun started 3 processes")


def test_more_processes_than_gpus_are_refused(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda _: "a GPU")
    place = Rank(rank=0, world=2, local_rank=0, local_world=2, node=0, attempt=0)
    with pytest.raises(DeviceError, match="1 GPU for 2 processes"):
        together.own_device("cuda", place)


def test_processes_share_the_cores(monkeypatch):
    monkeypatch.setattr("cvexp.device.default_threads", lambda: 5)
    place = Rank(rank=1, world=2, local_rank=1, local_world=2, node=0, attempt=0)
    assert together.own_device("cpu", place).threads == 2
