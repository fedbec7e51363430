"""A confusion matrix less another one: on the same images only, by count, as JSON and in words."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from cvexp.data.dataset import load
from cvexp.data.registry import find_spec
from cvexp.errors import DatasetError
from cvexp.jobs.confmat import _check_same_images
from cvexp.jobs.confused_pairs import most_changed


def test_pairs_are_listed_by_how_much_their_counts_differ_whatever_the_sign():
    counts = np.array([[50, 2, 9], [4, 40, 0], [1, 1, 30]])
    others = np.array([[40, 12, 9], [1, 43, 0], [0, 0, 32]])
    pairs = most_changed(counts, others, ("a", "b", "c"))
    assert [(pair.truth, pair.taken_for, pair.change) for pair in pairs] == [
        ("a", "b", -10),
        ("b", "a", 3),
        ("c", "a", 1),
        ("c", "b", 1),
    ]
    assert (pairs[0].count, pairs[0].count_vs) == (2, 12)
    assert most_changed(counts, counts, ("a", "b", "c")) == ()


def test_the_difference_is_the_first_run_minus_the_second(lab, cvexp, tmp_path):
    linear, mlp = (lab.runs[name].run_id for name in ("linear", "mlp"))
    out = tmp_path / "d.png"
    shown = cvexp("confmat", linear, "--vs", mlp, "--out", str(out), "--json")
    assert shown.code == 0, shown.stderr
    document = shown.document
    matrices = [np.array(document["matrix"]), np.array(document["vs"]["matrix"])]
    assert (np.array(document["vs"]["difference"]) == matrices[0] - matrices[1]).all()
    assert (matrices[1] == lab.runs["mlp"].evaluation.confusion).all()
    assert document["vs"]["run_id"] == mlp
    assert document["vs"]["accuracy"] == pytest.approx(lab.runs["mlp"].evaluation.metrics.accuracy)
    for pair in document["vs"]["most_changed"]:
        i, j = (document["class_names"].index(pair[key]) for key in ("truth", "taken_for"))
        assert pair["change"] == matrices[0][i, j] - matrices[1][i, j] != 0
    assert document["logged_as"] == f"confusion_difference_{mlp[:12]}.png"
    with Image.open(out) as picture:
        assert picture.format == "PNG"


def test_the_pairs_that_changed_most_are_said_in_words(lab, cvexp, tmp_path):
    linear, mlp = lab.runs["linear"], lab.runs["mlp"]
    words = ("confmat", linear.run_id, "--vs", mlp.run_id, "--normalize", "true", "--out", str(tmp_path / "d.png"))
    shown = cvexp(*words).stdout.splitlines()
    assert shown[0] == f"{linear.run_name} minus {mlp.run_name}, both on digits"
    points = 100 * (linear.evaluation.metrics.accuracy - mlp.evaluation.metrics.accuracy)
    assert shown[1].endswith(f"{points:+.2f} points")
    assert all(" taken for " in line and " instead of " in line for line in shown[2:])
    assert 1 <= len(shown[2:]) <= 5


def test_runs_that_were_tested_on_other_images_are_refused(tmp_path):
    digits = find_spec("digits")
    whole, few, others = (
        load(digits, tmp_path, limit=limit, split_seed=seed) for limit, seed in ((None, 1), (60, 1), (60, 2))
    )
    a, b = SimpleNamespace(name="one"), SimpleNamespace(name="two")
    _check_same_images(a, few, b, few)
    for ours, theirs in ((whole, few), (few, others)):
        with pytest.raises(DatasetError, match="one and two were tested on different images") as refused:
            _check_same_images(a, ours, b, theirs)
        assert len(refused.value.lines()) <= 3
