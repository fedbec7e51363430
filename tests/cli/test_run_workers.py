"""Wrong uses of `--workers`, of `run` and `train`, and of `--lean`: three lines, exit code 2, and nothing is begun."""

from __future__ import annotations

import pytest

FILE = "defaults: {dataset: digits%s}\nruns: [{model: linear}, {model: mlp}]\n"


def check(outcome, complaint, folder):
    """Three lines that say what is wrong, and no store."""
    lines = outcome.stderr.splitlines()
    assert (outcome.code, outcome.stdout) == (2, "")
    assert len(lines) <= 3, lines
    assert lines[0].startswith("error: ")
    assert complaint in outcome.stderr
    assert not (folder / "mlflow.db").exists()


@pytest.mark.parametrize(
    ("more", "words", "complaint"),
    [
        ("", ("file.yaml", "--workers", "0"), "--workers 0: a worker needs a CPU"),
        ("", ("file.yaml", "--workers", "-3"), "--workers -3: a worker needs a CPU"),
        ("", ("file.yaml", "--workers", "9999"), "--workers 9999: a worker needs a CPU"),
        ("", ("file.yaml", "--workers", "two"), "two"),
        ("", ("file.yaml", "--workers", "1.5"), "1.5"),
        ("", ("file.yaml", "--workers"), "requires an argument"),
        ("", ("none.yaml", "--workers", "2"), "cannot read none.yaml"),
        ("", ("file.yaml", "--lean=yes"), "does not take a value"),
        ("", ("file.yaml", "--leen"), "No such option: --leen"),
        (", threads: 512", ("file.yaml", "--workers", "2"), "--workers 2 with threads 512"),
        (", device: 'cuda:7'", ("file.yaml", "--workers", "2"), "--workers 2 with device cuda:7"),
    ],
)
def test_a_wrong_use_is_explained_in_three_lines(cvexp, tmp_path, monkeypatch, more, words, complaint):  # noqa: PLR0917
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("cvexp.device.usable_cpus", lambda: 2)
    (tmp_path / "file.yaml").write_text(FILE % more)
    check(cvexp("run", *words), complaint, tmp_path)
    assert not list(tmp_path.glob(".cvexp/runs/*"))


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--workers", "2"), "--workers goes with --seeds"),
        (("--seeds", "3", "--workers", "0"), "--workers 0: a worker needs a CPU"),
        (("--seeds", "3", "--workers", "9999"), "--workers 9999: a worker needs a CPU"),
        (("--seeds", "3", "--workers", "two"), "two"),
        (("--seeds", "3", "--workers", "2", "--threads", "512"), "--workers 2 with threads 512"),
        (("--seeds", "3", "--workers", "2", "--device", "cuda:7"), "--workers 2 with device cuda:7"),
        (("--seeds", "3", "--workers", "2", "--smoke"), "cannot be given with --smoke"),
        (("--seeds", "3", "--workers", "2", "--devices", "2"), "cannot be given with several devices"),
        (("--resume", "@last", "--workers", "2"), "--workers cannot be given with --resume"),
    ],
)
def test_a_wrong_use_of_train_is_explained_in_three_lines(cvexp, tmp_path, monkeypatch, words, complaint):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("cvexp.device.usable_cpus", lambda: 2)
    model = () if "--resume" in words else ("linear", "--dataset", "digits")
    check(cvexp("train", *model, *words), complaint, tmp_path)
