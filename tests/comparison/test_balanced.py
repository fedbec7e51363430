"""A comparison by balanced accuracy: verdicts, front and pick weight each image by its class."""

from __future__ import annotations

import numpy as np
import pytest

from cvexp.comparison.analysis import tables_of
from cvexp.comparison.pick import pick_of
from cvexp.errors import ConfigError
from cvexp.image_records import RecordsInfo, from_logits
from cvexp.stats import Arm, arms_verdict, class_weights
from tests.comparison.made import DIGEST, Reader, analysis_of, repeats_of

SIZES = (700, 60, 40)
LABELS = np.repeat(np.arange(3), SIZES)
GIVES_UP, FINDS_ALL = (0.99, 0.3, 0.2), (0.9, 0.85, 0.8)
"""The share of each class that is right; the first recipe is right about more images, and about fewer classes."""


def records_of(correct, split):
    predicted = np.where(correct, LABELS, (LABELS + 1) % 3)
    logits = np.zeros((3, len(LABELS)), np.float32)
    logits[predicted, np.arange(len(LABELS))] = 3
    info = {"data_digest": DIGEST, "test_set": DIGEST, "split_seed": 42, "order_digest": "o" * 64, "n_classes": 3}
    return from_logits(logits, LABELS, predicted, RecordsInfo(split=split, **info))


class OfSplits(Reader):
    """The same records for both splits."""

    def records(self, run, split):
        found = self.given.get(run.run_id)
        return (None, "") if found is None else (records_of(found, split), "")


def recorded(start, chances, *, n=3, balanced=True, **more):
    """Repeats, and by run which images they are right about."""
    draw = np.random.default_rng(start)
    rights = [draw.random(len(LABELS)) < np.array(chances)[LABELS] for _ in range(n)]
    runs = repeats_of(start, [float(right.mean()) for right in rights], **more)
    for run, right in zip(runs, rights, strict=True):
        run.metrics["val/accuracy"] = run.metrics["test/accuracy"]
        if balanced:
            mean = float((right * class_weights(LABELS)).mean())
            run.metrics.update({"test/balanced_accuracy": mean, "val/balanced_accuracy": mean})
    return runs, {run.run_id: right for run, right in zip(runs, rights, strict=True)}


@pytest.fixture
def arms():
    return [recorded(1, GIVES_UP, model="linear", seconds=1.0), recorded(100, FINDS_ALL, model="mlp", seconds=2.0)]


def analysed(arms, *, records=True, **asked):
    reader = OfSplits({key: one for _, found in arms for key, one in found.items()} if records else {}, n_classes=3)
    return analysis_of([run for runs, _ in arms for run in runs], reader=reader, **asked)


def table_of(arms, **asked):
    (table,), _ = tables_of(analysed(arms, **asked))
    return table


def test_the_verdict_is_that_of_weighted_images_and_the_other_one_is_ahead(arms):
    plain, balanced = table_of(arms), table_of(arms, by="balanced-accuracy")
    assert (plain.best, balanced.best) == ("linear", "mlp")
    (verdict,) = balanced.verdicts
    weights = class_weights(LABELS)
    ours, theirs = (
        Arm(name=name, correct=np.stack([*found.values()]), weights=weights, seeds=range(3))
        for name, (_, found) in (("mlp", arms[1]), ("linear", arms[0]))
    )
    expected = arms_verdict(ours, theirs, n_classes=3).difference
    assert (verdict.a, verdict.verdict, verdict.metric) == ("mlp", "better", "test/balanced_accuracy")
    assert (verdict.difference, verdict.low, verdict.high) == pytest.approx(
        (expected.mean, expected.low, expected.high)
    )
    assert any("By balanced accuracy" in line for line in balanced.captions)
    assert any("mlp is ahead" in line for line in plain.captions)
    assert balanced.groups[0].label == "mlp"  # sorted likewise
    assert table_of(arms, by="balanced-accuracy", sort="accuracy").groups[0].label == "linear"


def test_the_front_and_the_pick_are_by_it_too(arms):
    asked = {"by": "balanced-accuracy", "pick": True}
    table = table_of(arms, **asked)
    assert table.front.objectives == ("test/balanced_accuracy", "time/train_seconds")
    assert [table.front.of(name).status for name in ("mlp", "linear")] == ["on", "on"]  # slower, and better
    pick = pick_of([table], analysed(arms, **asked))
    assert pick.label == "mlp"
    assert "validation balanced accuracy" in pick.sentences[0]
    analysis = analysed(arms, pick=True)
    assert pick_of(tables_of(analysis)[0], analysis).label == "linear"
    slow = [arms[1], recorded(200, GIVES_UP, model="vgg", seconds=9.0)]
    assert table_of(slow, by="balanced-accuracy").front.of("vgg").dominated_by == "mlp"
    assert table_of(slow).front.of("vgg").on_front


def test_without_records_the_figures_of_the_runs_decide_and_runs_without_either_are_left_out(arms):
    table = table_of(arms, by="balanced-accuracy", records=False)
    assert table.verdicts[0].verdict == "better"
    assert "Welch" in table.verdicts[0].text
    old = recorded(300, FINDS_ALL, model="vgg", balanced=False)
    table = table_of([*arms, old], by="balanced-accuracy", records=False)
    assert [one.b for one in table.verdicts] == ["linear"]
    assert "no test balanced accuracy" in table.front.of("vgg").reason
    assert table_of([*arms, old], by="balanced-accuracy").verdicts[1].low is not None  # its records say it


@pytest.mark.parametrize(("by", "other"), [("accuracy", "balanced-accuracy"), ("balanced-accuracy", "accuracy")])
def test_a_front_of_the_other_accuracy_is_refused_with_what_to_add(arms, by, other):
    with pytest.raises(ConfigError) as refused:
        table_of(arms, by=by, front=(other, "bytes"))
    assert refused.value.hints == (f"add --by {other}",)


def test_something_else_is_refused():
    with pytest.raises(ConfigError, match="--by f1"):
        analysis_of([], by="f1")
