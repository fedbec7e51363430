"""A run takes another one's place where it is shown to be better, or tied with it and faster."""

from __future__ import annotations

import numpy as np
import pytest

from cvexp.comparison.promotion import judge_promotion
from tests.comparison.made import Reader, records_of, repeats_of, run_of

N = 10_000


def correct(accuracy, *, seed=0, base=None, flips=0.0):
    """Which of N images are right: of `base` with a share flipped at random, or at random."""
    rng = np.random.default_rng(seed)
    if base is None:
        return rng.random(N) < accuracy
    return np.where(rng.random(N) < flips, ~base, base)


def judged(new, present, *, repeats=(), **options):
    """The verdict on (run, correct) pairs."""
    pairs = [new, present, *repeats]
    reader = Reader({run.run_id: records_of(right) for run, right in pairs})
    return judge_promotion(new[0], present[0], [run for run, _ in repeats], reader, **options)


def pair_of(number, right, **more):
    return run_of(number, accuracy=float(right.mean()), **more), right


def test_a_run_whose_interval_is_above_zero_moves():
    base = correct(0.8)
    found = judged(pair_of(1, correct(0.84, seed=1), model="mlp"), pair_of(2, base))
    assert (found.moves, found.verdict) == (True, "better")
    assert "mlp minus linear +" in found.text


def test_a_run_whose_interval_is_below_zero_stays_out():
    found = judged(pair_of(1, correct(0.76, seed=1), model="mlp"), pair_of(2, correct(0.8)))
    assert (found.moves, found.verdict) == (False, "worse")


def test_a_difference_within_the_luck_of_the_images_moves_nothing():
    small = np.random.default_rng(3).random(200) < 0.8
    other = np.random.default_rng(4).random(200) < 0.8
    found = judged(pair_of(1, other, model="mlp"), pair_of(2, small))
    assert (found.moves, found.verdict) == (False, "cannot-tell")


@pytest.mark.parametrize(
    ("ours", "theirs", "moves", "said"),
    [
        (0.1, 0.3, True, "faster: 0.1"),
        (0.29, 0.3, False, "not faster"),
        (0.5, 0.3, False, "not faster"),
        (None, 0.3, False, "was not measured: cvexp bench"),
        (0.1, None, False, "was not measured"),
    ],
)
def test_tied_runs_are_told_apart_by_their_latency(ours, theirs, moves, said):
    base = correct(0.8)
    near = correct(0, seed=1, base=base, flips=0.001)
    found = judged(pair_of(1, near, model="mlp", latency=ours), pair_of(2, base, latency=theirs))
    assert (found.moves, found.verdict) == (moves, "tied")
    assert said in found.speed


@pytest.mark.parametrize(
    "bench", ['{"device": "cpu", "threads": 4, "busy": null}', '{"device": "cpu", "threads": 1, "busy": "load 8"}']
)
def test_latencies_that_may_not_be_ranked_move_nothing(bench):
    base = correct(0.8)
    tags = {"cvexp.bench": bench}
    found = judged(pair_of(1, base, model="mlp", latency=0.1, tags=tags), pair_of(2, base, latency=0.3))
    assert (found.moves, found.verdict) == (False, "tied")


def test_runs_on_different_test_images_are_not_compared():
    other = pair_of(1, correct(0.9), model="mlp", test_set="f" * 16)
    found = judged(other, pair_of(2, correct(0.5)))
    assert not found.moves
    assert "different test images" in found.text


def test_without_records_of_the_images_nothing_is_shown():
    new, present = run_of(1, accuracy=0.9, model="mlp"), run_of(2, accuracy=0.5)
    found = judge_promotion(new, present, [], Reader())
    assert (found.moves, found.verdict) == (False, "cannot-tell")
    assert "no record of the images" in found.text


def recipes(gap, *, spread=0.002, n=5):
    """Two recipes of n seeds whose accuracies lie `gap` apart, each as (run, correct)."""
    base = correct(0.8)
    rng = np.random.default_rng(9)
    made = []
    for start, model, shift in ((10, "mlp", gap), (30, "linear", 0.0)):
        rows = [np.where(rng.random(N) < abs(shift) / 0.2 + spread, True, base) for _ in range(n)]
        rows = rows if shift else [np.where(rng.random(N) < spread, ~base, base) for _ in range(n)]
        runs = repeats_of(start, [float(row.mean()) for row in rows], model=model)
        made.append(list(zip(runs, rows, strict=True)))
    return made


def test_of_repeats_the_verdict_on_recipes_counts():
    new, present = recipes(0.03)
    found = judged(new[0], present[0], repeats=[*new[1:], *present[1:]])
    assert (found.moves, found.verdict) == (True, "better")
    assert "retrained on the same training data" in found.text


def test_a_run_that_is_worse_itself_does_not_move_for_its_recipe():
    new, present = recipes(0.03)
    bad = np.where(np.arange(N) < 2000, False, new[0][1])
    worst = (run_of(10, seed=0, model="mlp", accuracy=float(bad.mean())), bad)
    others = [(one, np.ones(N, bool)) for one in (run_of(n, seed=n, model="mlp", accuracy=1.0) for n in range(11, 29))]
    found = judged(worst, present[0], repeats=[*others, *present[1:]])
    assert not found.moves
    assert "but not by this run" in found.text


def test_another_seed_of_the_same_recipe_is_judged_by_its_weights():
    base = correct(0.8)
    seeds = [pair_of(n, correct(0.8 + n / 100, seed=n), seed=n) for n in range(5)]
    found = judged(seeds[4], pair_of(9, base, seed=9), repeats=seeds[:4])
    assert found.verdict == "better"
    assert "these two trained models only" in found.text


def test_the_margin_decides_what_is_tied():
    base = correct(0.8)
    near = correct(0, seed=1, base=base, flips=0.004)
    new, present = pair_of(1, near, model="mlp", latency=0.1), pair_of(2, base, latency=0.3)
    assert judged(new, present, margin=0.2).moves == (judged(new, present, margin=0.2).verdict in ("tied", "better"))
    assert judged(new, present, margin=1e-5).verdict in ("cannot-tell", "worse")


@pytest.mark.parametrize(("by", "moves"), [("accuracy", False), ("balanced-accuracy", True)])
def test_by_balanced_accuracy_a_run_that_finds_a_small_class_moves(by, moves):
    """It is wrong about a few more images of nine classes, and right about all of the tenth, which is small."""
    labels = np.where(np.arange(N) % 100 == 0, 9, np.arange(N) % 9)
    usual = correct(0.95)
    present, new = np.where(labels == 9, False, usual), np.where(labels == 9, True, usual & correct(0.97, seed=1))
    records = {1: new, 2: present}
    reader = Reader({run_of(n).run_id: records_of(right, labels=labels) for n, right in records.items()})
    runs = [run_of(n, accuracy=float(right.mean()), model=f"m{n}") for n, right in records.items()]
    found = judge_promotion(*runs, [], reader, by=by)
    assert found.moves == moves
    assert found.verdict == ("better" if moves else "worse")
