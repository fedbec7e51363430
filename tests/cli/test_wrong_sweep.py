"""Wrong uses of sweeps: exit code 2, and at most three lines that say what to write instead."""

from __future__ import annotations

import pytest

FILE = """
defaults: {dataset: digits, epochs: 4, val_split: 0.1}
sweep:
  search: random
  runs: 6
  space: {model: [linear, mlp], lr: {low: 1e-4, high: 0.1, log: true}}
"""
ONLY_RUNS = "runs: [{model: linear, dataset: digits}]\n"

WRONG = [
    (FILE.replace("random", "bayes"), [], "`search` is one of grid, random, tpe"),
    (FILE.replace("runs: 6", "rnus: 6"), [], "did you mean 'runs'?"),
    (FILE.replace("low: 1e-4", "low: 0"), [], "begins above 0"),
    (FILE.replace("high: 0.1", "high: 1e-5"), [], "is not below high"),
    (FILE.replace("space: {", "space: {seed: [1, 2], "), [], "`seed` is the same for all trials"),
    (FILE.replace("space: {", "space: {limit: [100, 200], "), [], "`limit` is the same for all trials"),
    (FILE.replace(", val_split: 0.1", ""), [], "there is no validation part"),
    (FILE.replace("[linear, mlp]", "[linear, mpl]"), [], "did you mean 'mlp'?"),
    (FILE.replace("runs: 6", "goal: {maximize: accuracy}\n  runs: 6"), [], "no sweep is for 'accuracy'"),
    (FILE.replace("runs: 6", "prune: {keep: 2}\n  runs: 6"), [], "`keep` is a share"),
    (FILE.replace("runs: 6", "confirm: {best: 3, sedes: 3}\n  runs: 6"), [], "did you mean 'seeds'?"),
    (FILE.replace("random", "grid"), [], "a grid takes lists"),
    ("sweep: [1]\n", [], "a mapping is wanted"),
    (FILE, ["--again"], "--again cannot be given for a file with a sweep"),
    (ONLY_RUNS, ["--retry-failed"], "--retry-failed is for sweeps"),
    (FILE, ["--workers", "0"], "--workers 0"),
]


@pytest.mark.parametrize("wrong", WRONG, ids=[complaint for *_, complaint in WRONG])
def test_a_wrong_use_is_explained_and_nothing_is_written(cvexp, tmp_path, monkeypatch, wrong):
    monkeypatch.chdir(tmp_path)
    text, flags, complaint = wrong
    path = tmp_path / "file.yaml"
    path.write_text(text)
    outcome = cvexp("run", str(path), *flags)
    assert not (tmp_path / "mlflow.db").exists()
    assert outcome.code == 2, outcome.stderr
    assert complaint in outcome.stderr
    assert outcome.stdout == ""
    assert len(outcome.stderr.splitlines()) <= 3


def test_without_optuna_tpe_is_refused_and_random_is_not(cvexp, record, tmp_path, monkeypatch):
    monkeypatch.setattr("cvexp.sweep.study.is_here", lambda: False)
    path = tmp_path / "file.yaml"
    path.write_text(FILE.replace("random", "tpe"))
    outcome = cvexp("run", str(path), "--dry-run")
    assert outcome.code == 2
    assert outcome.stderr.splitlines()[1:] == [
        "  install it: pip install 'cvexp[sweep]'",
        "  or search without it: search: random",
    ]
    path.write_text(FILE)
    assert cvexp("run", str(path), "--dry-run").code == 0
