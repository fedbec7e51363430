"""Wrong uses of a cluster: exit 2, three lines at most, and nothing is begun."""

from __future__ import annotations

import sys

import pytest

FILE = "experiment: e\ndefaults: {dataset: digits, device: cpu}\nruns: [{model: linear}]\n"


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.yaml").write_text(FILE)
    return "study.yaml"


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ("--executor rai", "unknown executor: 'rai'"),
        ("--executor ray --slot cpus", "--slot 'cpus': not KEY=VALUE"),
        ("--executor ray --slot cpus=1 --slot cpus=2", "given twice"),
        ("--executor ray --slot partition=gpu", "--slot 'partition': unknown"),
        ("--executor slurm --workers 2 --address host:1", "SLURM has none"),
        ("--executor slurm", "how many jobs at once?"),
        ("--address host:6379", "the local executor has no address"),
        ("--slot cpus=4", "--slot is for slots elsewhere"),
    ],
)
def test_what_cannot_be_is_refused_in_three_lines(cvexp, file, tmp_path, words, what):
    done = cvexp("run", file, *words.split())
    error = done.stderr[done.stderr.index("error: ") :]
    assert (done.code, done.stdout) == (2, "")
    assert what in error
    assert len(error.splitlines()) <= 3
    assert not (tmp_path / "mlflow.db").exists()


@pytest.mark.parametrize(
    ("module", "executor", "what"),
    [("ray", "ray", "Ray is not installed"), ("submitit", "slurm", "submitit is not installed")],
)
def test_an_extra_that_is_missing_is_named(cvexp, file, monkeypatch, module, executor, what):  # noqa: PLR0917
    monkeypatch.setitem(sys.modules, module, None)
    done = cvexp("run", file, "--executor", executor, "--workers", "2", "--address", "local")
    assert done.code == 2
    assert f"error: --executor {executor}: {what}\n  pip install 'cvexp[{executor}]'\n" in done.stderr


@pytest.mark.parametrize(
    ("address", "what"),
    [
        ("127.0.0.1:9", "no Ray cluster can be joined at '127.0.0.1:9': connection refused"),
        ("ray://127.0.0.1:10001", "not the address of a Ray cluster"),
        ("127.0.0.1", "not the address of a Ray cluster"),
        ("127.0.0.1:99999", "no Ray cluster can be joined"),
    ],
)
def test_a_cluster_that_does_not_answer_is_named(cvexp, file, address, what):
    pytest.importorskip("ray", reason="the extra cvexp[ray] is not installed")
    done = cvexp("run", file, "--executor", "ray", "--address", address)
    assert done.code == 2
    assert what in done.stderr
    assert len(done.stderr[done.stderr.index("error: ") :].splitlines()) <= 3
