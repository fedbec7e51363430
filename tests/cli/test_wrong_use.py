"""Wrong uses: at most three plain lines that say what, with which value, and what to type next."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cvexp.tracking.queries import search
from cvexp.tracking.store import open_store
from tests.faults.answering import check_refusal

TRAIN = ("train", "linear", "--dataset", "digits")

WRONG = {
    "unknown verb": (("trian", "linear"), "trian"),
    "unknown flag": ((*TRAIN, "--epoch-count", "3"), "--epoch-count"),
    "missing argument": (("train",), "model"),
    "unknown model": (("train", "tinyvg"), "did you mean 'tinyvgg'"),
    "unknown dataset": (("train", "linear", "--dataset", "fashion-minst"), "did you mean 'fashion-mnist'"),
    "device that is not here": ((*TRAIN, "--device", "cuda:99"), "cuda:99"),
    "device that does not exist": ((*TRAIN, "--device", "gpu"), "'gpu'"),
    "zero epochs": ((*TRAIN, "--epochs", "0"), "--epochs 0"),
    "epochs that are no number": ((*TRAIN, "--epochs", "many"), "many"),
    "negative batch": ((*TRAIN, "--batch-size", "-4"), "--batch-size -4"),
    "unknown optimiser": ((*TRAIN, "--optimizer", "sdg"), "sdg"),
    "rate of zero": ((*TRAIN, "--lr", "0"), "--lr 0"),
    "rate that is nan": ((*TRAIN, "--lr", "nan"), "--lr nan"),
    "negative seed": ((*TRAIN, "--seed", "-1"), "--seed -1"),
    "whole validation": ((*TRAIN, "--val-split", "1"), "--val-split 1"),
    "tiny validation": ((*TRAIN, "--val-split", "0.0001"), "--val-split 0.0001"),
    "zero limit": ((*TRAIN, "--limit", "0"), "--limit 0"),
    "unknown model argument": (("train", "mlp", "--model-arg", "output_rely=false"), "did you mean 'output_relu'"),
    "argument of a model without any": (("train", "linear", "--model-arg", "depth=3"), "depth"),
    "model argument of another type": (("train", "mlp", "--model-arg", "output_relu=maybe"), "maybe"),
    "model argument without a value": (("train", "mlp", "--model-arg", "output_relu"), "name=value"),
    "factory that is not there": (("train", "no_such_module:net", "--dataset", "digits"), "no_such_module"),
    "unknown step runner": ((*TRAIN, "--step", "fast"), "fast"),
    "step runner of another device": ((*TRAIN, "--step", "cuda-graph", "--device", "cpu"), "cuda-graph"),
    "no threads": ((*TRAIN, "--threads", "0"), "--threads 0"),
    "unknown scheme": ((*TRAIN, "--tracking-uri", "sqlit:///x.db"), "sqlit:///x.db"),
    "unwritable store": ((*TRAIN, "--tracking-uri", "sqlite:////proc/nowhere/x.db"), "/proc/nowhere"),
    "missing run": (("evaluate", "nobody"), "'nobody'"),
    "unknown selector": (("evaluate", "@beast"), "@beast"),
    "run without weights": (("evaluate", "bare"), "no weights"),
    "data of another shape": (("evaluate", "LINEAR", "--dataset", "mnist-5k"), "1x28x28"),
    "file that is not there": (("evaluate", "models/none.pt"), "models/none.pt"),
    "file without a card": (("predict", "bare.pt", "x.png"), "bare.pt.json"),
    "no run to export": (("export", "nobody"), "'nobody'"),
    "unknown format": (("export", "LINEAR", "--format", "safetensor"), "did you mean 'safetensors'"),
    "format and ending at odds": (("export", "LINEAR", "--out", "x.safetensors"), "x.safetensors"),
    "export to nowhere": (("export", "LINEAR", "--out", "/proc/nowhere/x.pt"), "/proc/nowhere"),
    "unknown normalisation": (("confmat", "LINEAR", "--normalize", "truth"), "did you mean 'true'"),
    "matrix to nowhere": (("confmat", "LINEAR", "--out", "/proc/nowhere/x.png"), "/proc/nowhere/x.png"),
    "image that is not there": (("predict", "LINEAR", "nothing.png"), "nothing.png"),
    "image that is text": (("predict", "LINEAR", "bare.pt"), "not an image: bare.pt"),
    "image to explain that is not there": (("explain", "LINEAR", "nothing.png"), "nothing.png"),
    "explanation to nowhere": (("explain", "LINEAR", "--out", "/proc/nowhere"), "/proc/nowhere"),
    "files and mistakes to explain": (("explain", "LINEAR", "x.png", "--wrong"), "--wrong"),
    "explanation of no run": (("explain", "nobody"), "'nobody'"),
    "file to store explanations with": (("explain", "models/none.pt", "--store"), "models/none.pt"),
    "unknown augmentation": ((*TRAIN, "--augment", "flip"), "--augment flip"),
    "augmentation without a picture": (("data", "digits", "--augment", "mixup"), "--samples"),
    "images and mistakes at once": (("predict", "LINEAR", "x.png", "--wrong"), "--wrong"),
    "untrusted code as a run's model": (("evaluate", "LINEAR", "--model", "no_such_module:net"), "no_such_module"),
    "grid to nowhere": (("predict", "LINEAR", "--out", "/proc/nowhere/x.png"), "/proc/nowhere/x.png"),
    "experiment file that is not there": (("run", "none.yaml"), "none.yaml"),
    "experiment file that is no YAML": (("run", "broken.yaml"), "broken.yaml"),
    "experiment with a mistyped key": (("run", "mistyped.yaml"), "did you mean 'epochs'"),
    "experiment with a wrong value": (("run", "wrong.yaml"), "run 2: --epochs 0"),
    "port out of range": (("ui", "--port", "70000"), "70000"),
    "unreadable filter": (("compare", "--where", "accuracy is good"), "accuracy is good"),
    "unknown order": (("compare", "--sort", "acuracy"), "did you mean 'accuracy'"),
    "picture of no kind": (("compare", "--plot", "compare.docx"), "compare.docx"),
    "names and filter at once": (("compare", "@last", "--last", "2"), "--last"),
    "empty comparison": (("compare", "--last", "0"), "0"),
    "experiment that is not there": (("compare", "--experiment", "Defualt"), "Defualt"),
    "samples of nothing": (("data", "--samples", "x.png"), "--samples"),
    "sample picture nowhere": (("data", "digits", "--samples", "/proc/nowhere/x.png"), "/proc/nowhere/x.png"),
    "no hidden units": (("models", "linear", "--hidden-units", "0"), "--hidden-units 0"),
}


@pytest.fixture(scope="module")
def _bare_run(_lab):
    """A run that ended before it had weights."""
    from cvexp.tracking.outbox import open_run

    store = open_store(_lab.settings, create=False)
    with open_run(store.settings, model="linear", name="bare", tags={"cvexp.version": "0"}):
        pass
    yield
    store.client.delete_run(search(store, where='attributes.run_name = "bare"')[0].run_id)


FILES = {
    "bare.pt": "no weights",
    "broken.yaml": "runs: [",
    "mistyped.yaml": "runs: [{model: linear, epoch: 3}]",
    "wrong.yaml": "runs: [{model: linear}, {model: linear, epochs: 0}]",
}


@pytest.fixture(scope="module")
def _wrong_files(_lab):
    for name, content in FILES.items():
        (_lab.folder / name).write_text(content)


@pytest.mark.usefixtures("_bare_run", "_wrong_files")
@pytest.mark.parametrize("name", WRONG)
def test_wrong_use_is_explained_in_three_lines(name, cvexp, lab, monkeypatch):
    words, named = WRONG[name]
    words = tuple(lab.runs["linear"].run_id if word == "LINEAR" else word for word in words)
    before = [(r.run_id, r.status) for r in search(open_store(lab.settings, create=False))]
    wrong = cvexp(*words)
    check_refusal(wrong.code, wrong.stdout, wrong.stderr, named)
    assert [(r.run_id, r.status) for r in search(open_store(lab.settings, create=False))] == before


def test_an_ambiguous_name_lists_the_candidates(cvexp, lab):
    from cvexp.tracking.outbox import open_run

    store = open_store(lab.settings, create=False)
    twins = []
    for _ in range(2):
        with open_run(store.settings, model="linear", name="twin", tags={"cvexp.version": "0"}) as run:
            twins.append(run.run_id)
    wrong = cvexp("evaluate", "twin")
    for run_id in twins:
        store.client.delete_run(run_id)
    assert wrong.code == 2
    assert all(run_id[:12] in wrong.stderr for run_id in twins)
    assert len(wrong.stderr.splitlines()) <= 3


def test_comparing_where_nothing_was_trained_leaves_nothing_behind(cvexp, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wrong = cvexp("compare")
    assert (wrong.code, list(tmp_path.iterdir())) == (2, [])
    assert "cvexp train" in wrong.stderr


def test_control_characters_in_a_value_do_not_reach_the_terminal(cvexp, lab):
    wrong = cvexp("evaluate", "\x1b[31mred\x1b[0m\x07")
    assert wrong.code == 2
    assert "\x1b" not in wrong.stderr
    assert "\x07" not in wrong.stderr


def test_an_unexpected_error_is_one_line_unless_debugged(cvexp, lab, monkeypatch):
    monkeypatch.setattr("cvexp.jobs.compare.run", lambda *_a, **_k: 1 / 0)
    short = cvexp("compare")
    long = cvexp("--debug", "compare")
    assert (short.code, long.code) == (1, 1)
    assert "ZeroDivisionError" in short.stderr
    assert "Traceback" not in short.stderr
    assert "Traceback" in long.stderr


def test_the_installed_command_behaves_likewise(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "cvexp", "train", "tinyvg"], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[0] == "error: unknown model: 'tinyvg'"
    assert list(tmp_path.iterdir()) == []
