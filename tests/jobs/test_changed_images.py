"""Which images are shown as gained and lost, and which prediction of several seeds."""

from __future__ import annotations

from datetime import UTC, datetime

import matplotlib.pyplot as plt
import numpy as np
import pytest

from cvexp.comparison.groups import Group
from cvexp.comparison.pair import Pair, pair_of
from cvexp.comparison.request import Request
from cvexp.comparison.tables import Front, Table
from cvexp.data.dataset import load
from cvexp.data.registry import find_spec
from cvexp.image_records import RecordsInfo, from_logits
from cvexp.jobs import compare
from cvexp.jobs.changed_images import changed_images, deciding_images
from cvexp.runs import RunSummary

N_SEEDS = 3


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    return load(find_spec("digits"), tmp_path_factory.mktemp("data")).test.labels.numpy()


def recorded(label, predictions, labels):
    """A group with a run for each row of predictions, and the runs' records by id."""
    runs, records = [], {}
    for seed, predicted in enumerate(predictions):
        accuracy = float((predicted == labels).mean())
        runs.append(
            RunSummary(
                run_id=f"{label}{seed}",
                name=f"{label}-{seed}",
                status="FINISHED",
                experiment_id="0",
                artifacts_uri="",
                started_at=datetime.fromtimestamp(seed, tz=UTC),
                params={"dataset": "digits", "seed": str(seed), "split_seed": "42", "limit": "none"},
                metrics={"test/accuracy": accuracy},
            )
        )
        logits = np.eye(10, dtype=np.float32)[predicted].T.copy()
        about = RecordsInfo(
            data_digest="0", test_set="digits", split="test", split_seed=42, order_digest="0", n_classes=10
        )
        records[f"{label}{seed}"] = from_logits(logits, labels, predicted, about)
    return Group(recipe=label, runs=tuple(runs), label=label), records


class Stored:
    """Records as a reader has them."""

    def __init__(self, records):
        self.found = records

    def records(self, run, _split):
        return self.found.get(run.run_id), ""


def drawn(predictions_a, predictions_b, labels, tmp_path):
    (a, ours), (b, theirs) = recorded("old", predictions_a, labels), recorded("new", predictions_b, labels)
    pair = pair_of(a, b, records_a=list(ours.values()), records_b=list(theirs.values()))
    front = Front(objectives=(), standings={})
    table = Table(test_set="digits", groups=(a, b), n_left_out=0, best="", front=front)
    return changed_images(pair, [table], Stored(ours | theirs), data_dir=tmp_path)


def said(figure):
    return [[text.get_text() for text in axes.texts] for axes in figure.axes]


def test_the_prediction_of_most_seeds_is_shown_and_the_clearest_images_first(labels, tmp_path):
    a, b = np.tile(labels, (N_SEEDS, 1)), np.tile(labels, (N_SEEDS, 1))
    wrong = (labels + 1) % 10
    a[:, 5] = wrong[5]  # every old seed is wrong
    a[:2, 3] = wrong[3]  # two of three
    a[0, 7] = wrong[7]  # one, which is not most
    b[:, 9] = (labels[9] + 2) % 10
    figure, why = drawn(a, b, labels, tmp_path)
    assert why == ""
    expected = [
        (labels[5], wrong[5], labels[5]),
        (labels[3], wrong[3], labels[3]),
        (labels[9], labels[9], (labels[9] + 2) % 10),
    ]
    marks = [("✗", "✓"), ("✗", "✓"), ("✓", "✗")]
    names = find_spec("digits").class_names
    assert said(figure) == [
        [names[truth], f"{old} A: {names[in_a]}", f"{new} B: {names[in_b]}"]
        for (truth, in_a, in_b), (old, new) in zip(expected, marks, strict=True)
    ]
    assert any("2 of 360 test images" in text.get_text() for text in figure.texts)
    plt.close(figure)


def test_where_seeds_are_divided_the_wrong_class_is_shown(labels, tmp_path):
    a, b = np.tile(labels, (2, 1)), np.tile(labels, (2, 1))
    a[0, 4] = (labels[4] + 9) % 10
    figure, _ = drawn(a, b, labels, tmp_path)
    ((_, old, _),) = said(figure)
    assert old.startswith("✗")
    plt.close(figure)


def test_images_of_another_dataset_are_not_drawn(labels, tmp_path):
    other = (labels + 1) % 10
    a, b = np.tile(other, (1, 1)), np.tile(other, (1, 1))
    a[0, 0] = labels[0]
    figure, why = drawn(a, b, other, tmp_path)
    assert figure is None
    assert "other test images here" in why


def test_without_records_nothing_is_drawn_and_nothing_said(tmp_path):
    assert changed_images(Pair(a="old", b="new"), [], Stored({}), data_dir=tmp_path) == (None, "")


@pytest.mark.parametrize("pick", [False, True])
@pytest.mark.slow
def test_the_groups_that_decide_are_shown(lab, tmp_path, pick):
    named = [] if pick else [lab.runs["mlp"].run_id, lab.runs["linear"].run_id]
    comparison = compare.run(named, lab.settings, request=Request(pick=pick))
    found = deciding_images(comparison, data_dir=tmp_path)
    assert found is not None
    assert found.png.startswith(b"\x89PNG"), found.why
    expected = (comparison.pick.rival, comparison.pick.label) if pick else (comparison.pair.a, comparison.pair.b)
    assert (found.a, found.b) == expected
