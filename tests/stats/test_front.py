from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from cvexp.errors import InputError
from cvexp.stats import Arm, Candidate, SeedTimes, TimeInterval, pareto_front
from cvexp.stats.objectives import objective
from tests.stats.drawn import arm, correct

MARGINS = {"accuracy_margin": 0.005, "time_margin": 0.05, "n_classes": None}


def latency(value, relative=0.01):
    return TimeInterval(value=value, low=value / (1 + relative), high=value * (1 + relative))


def candidate(name, accuracy, ms, *, n_images=20_000, relative=0.01, **others):
    measures = {"latency_ms": latency(ms, relative), **others}
    return Candidate(accuracy=arm(name, accuracy, n_images=n_images, sd=0.0005), measures=measures)


def placed(candidates, *objectives, **margins):
    found = pareto_front(candidates, *([objectives] if objectives else []), **margins)
    assert [p.name for p in found] == [c.name for c in candidates]
    return {p.name: (p.status, p.dominated_by) for p in found}


def test_a_trade_off_leaves_both_on():
    assert placed([candidate("fast", 0.85, 1), candidate("accurate", 0.9, 2)]) == {
        "fast": ("on", None),
        "accurate": ("on", None),
    }


def test_worse_on_both_is_off_and_names_who_dominates():
    found = placed([candidate("good", 0.9, 1), candidate("poor", 0.85, 2)])
    assert found == {"good": ("on", None), "poor": ("off", "good")}


def test_superior_on_one_and_non_inferior_on_the_other_is_enough():
    # "twice as fast" loses a tenth of a point, which is within the margin
    same = correct(0.9, n_images=20_000)
    slightly = same.copy()
    slightly[:, :20] = False
    slow = Candidate(accuracy=Arm(name="slow", correct=same), measures={"latency_ms": latency(2)})
    fast = Candidate(accuracy=Arm(name="fast", correct=slightly), measures={"latency_ms": latency(1)})
    assert placed([slow, fast]) == {"slow": ("off", "fast"), "fast": ("on", None)}
    assert placed([slow, fast], accuracy_margin=0.0005) == {"slow": ("on", None), "fast": ("on", None)}


def test_better_in_the_point_estimate_alone_is_marked_but_on():
    found = placed([candidate("good", 0.9005, 1, relative=0.5), candidate("poor", 0.9, 1.1, relative=0.5)])
    assert found == {"good": ("on", None), "poor": ("dominated-in-point-estimate", "good")}


def test_candidates_that_push_each_other_off_within_the_margins_stay():
    # 3% faster beyond doubt against 0.3 points more accurate beyond doubt, both within the margins
    base = correct(0.9, n_images=20_000)
    less = base & (np.arange(20_000) >= 60)
    accurate = Candidate(accuracy=Arm(name="accurate", correct=base), measures={"latency_ms": latency(1.03, 0.001)})
    fast = Candidate(accuracy=Arm(name="fast", correct=less), measures={"latency_ms": latency(1, 0.001)})
    assert placed([accurate, fast]) == {"accurate": ("on", None), "fast": ("on", None)}
    poor = candidate("poor", 0.8, 3)
    assert placed([accurate, fast, poor])["poor"] == ("off", "accurate")


def test_the_dominator_is_itself_on_the_front_where_one_is():
    chain = [candidate(name, accuracy, ms) for name, accuracy, ms in (("c", 0.7, 3), ("b", 0.8, 2), ("a", 0.9, 1))]
    assert placed(chain) == {"a": ("on", None), "b": ("off", "a"), "c": ("off", "a")}


def test_more_candidates_take_stronger_proof():
    same = correct(0.9, n_images=20_000)
    fast, slow = (
        Candidate(accuracy=Arm(name=name, correct=same), measures={"latency_ms": latency(ms)})
        for name, ms in (("fast", 1.0), ("slow", 1.0165))  # 2.3 standard errors apart
    )
    assert placed([fast, slow])["slow"] == ("off", "fast")
    crowd = [candidate(f"poor {i}", 0.5, 9, n_images=20_000) for i in range(20)]
    assert placed([fast, slow, *crowd])["slow"] == ("dominated-in-point-estimate", "fast")


def test_sizes_are_exact_and_have_no_margin():
    same = correct(0.9, n_images=20_000)
    large, small = (
        Candidate(accuracy=Arm(name=name, correct=same), measures={"latency_ms": latency(1), "bytes": size})
        for name, size in (("large", 1001), ("small", 1000))
    )
    assert placed([large, small], "accuracy", "latency_ms") == {"large": ("on", None), "small": ("on", None)}
    expected = {"large": ("off", "small"), "small": ("on", None)}
    assert placed([large, small], "accuracy", "latency_ms", "bytes") == expected


def test_what_was_not_measured_is_not_placed():
    missing = Candidate(accuracy=arm("missing", 0.99, n_images=20_000))
    found = pareto_front([missing, candidate("measured", 0.8, 1)])
    assert (found[0].status, found[0].missing) == ("unmeasured", ("latency_ms",))
    assert found[1].status == "on"


def test_fewer_than_three_seeds_prove_nothing():
    good = Candidate(accuracy=arm("good", 0.9, n=2), measures={"latency_ms": latency(1)})
    assert placed([good, candidate("poor", 0.6, 9, n_images=4000)])["poor"] == ("dominated-in-point-estimate", "good")


def test_a_collapsed_seed_proves_nothing():
    lost = correct(0.9, n_images=20_000)
    lost[0] = False
    collapsed = Candidate(accuracy=Arm(name="lost", correct=lost), measures={"latency_ms": latency(9)})
    good = candidate("good", 0.9, 1)
    assert placed([good, collapsed], n_classes=10)["lost"] == ("dominated-in-point-estimate", "good")


def test_times_of_the_same_seeds_are_compared_by_seed():
    seconds = np.array([10.0, 14.0, 12.0, 19.0, 11.0])
    fast = Candidate(accuracy=arm("fast", 0.9), measures={"s": SeedTimes(values=seconds.tolist(), seeds=range(5))})
    slower = (seconds * [1.11, 1.10, 1.12, 1.09, 1.10])[::-1].tolist()
    slow = Candidate(accuracy=arm("slow", 0.8), measures={"s": SeedTimes(values=slower, seeds=[4, 3, 2, 1, 0])})
    assert placed([fast, slow], "accuracy", "s")["slow"] == ("off", "fast")
    times = objective("s", [fast, slow], **MARGINS)
    logs = np.log(slower[::-1]) - np.log(seconds)
    low = stats.ttest_1samp(logs, 0).confidence_interval(0.95).low  # one-sided at 2.5%
    assert times.lower(1, np.array([0]), 0.025) == pytest.approx([low])


def test_times_of_other_seeds_are_compared_by_welch_on_logs():
    a, b = [10.0, 11.0, 12.0], [15.0, 18.0, 16.0, 20.0]
    times = objective(
        "s",
        [
            Candidate(accuracy=arm("a", 0.9, n=3), measures={"s": SeedTimes(values=a, seeds=range(3))}),
            Candidate(accuracy=arm("b", 0.9, n=4), measures={"s": SeedTimes(values=b, seeds=range(4))}),
        ],
        **MARGINS,
    )
    reference = stats.ttest_ind(np.log(b), np.log(a), equal_var=False).confidence_interval(0.95)
    assert times.lower(1, np.array([0]), 0.025) == pytest.approx([reference.low])


def test_accuracies_without_records_are_compared_by_welch():
    a, b = [0.90, 0.91, 0.92], [0.86, 0.87, 0.85, 0.86]
    arms = [Arm(name="a", accuracies=a, seeds=range(3)), Arm(name="b", accuracies=b, seeds=range(4))]
    found = objective("accuracy", [Candidate(accuracy=one) for one in arms], **MARGINS)
    reference = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert reference.low > 0
    assert found.lower(1, np.array([0]), 0.025) == pytest.approx([reference.low])
    assert -reference.high < found.lower(0, np.array([1]), 0.025) < -0.005  # by the normal quantile, which is enough


def test_an_interval_without_seeds_knows_its_degrees_of_freedom():
    rounds = TimeInterval(value=1.0, low=math.exp(-0.1), high=math.exp(0.1), n=16)
    exact = TimeInterval(value=2.0, low=2.0, high=2.0)
    times = objective(
        "ms",
        [Candidate(accuracy=arm(name, 0.9), measures={"ms": m}) for name, m in (("a", rounds), ("b", exact))],
        **MARGINS,
    )
    assert times.lower(1, np.array([0]), 0.025) == pytest.approx([math.log(2) - 0.1])


def test_front_of_points_is_that_of_all_pairs():
    draw = np.random.default_rng(12)
    points = draw.integers(1, 12, size=(60, 2))
    singles = [
        Candidate(accuracy=Arm(name=str(i), accuracies=[a / 20]), measures={"bytes": float(size)})
        for i, (a, size) in enumerate(points)
    ]
    found = placed(singles, "accuracy", "bytes")
    for i, (a, size) in enumerate(points):
        ahead = [(b >= a and s <= size) and (b, s) != (a, size) for b, s in points]
        status, by = found[str(i)]
        assert (status == "dominated-in-point-estimate") == any(ahead)
        assert by is None or ahead[int(by)]


def test_order_does_not_matter():
    candidates = [candidate("a", 0.9, 1), candidate("b", 0.85, 2), candidate("c", 0.88, 0.5), candidate("d", 0.7, 0.6)]
    expected = placed(candidates)
    assert {status for status, _ in expected.values()} == {"on", "off"}
    for order in itertools.permutations(candidates):
        assert placed(list(order)) == expected


def test_no_candidates_have_no_front():
    assert pareto_front([], ("accuracy",)) == ()


def test_one_candidate_is_on():
    assert placed([candidate("a", 0.9, 1)]) == {"a": ("on", None)}


def test_figures_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="latency: no recipe has this figure"):
        pareto_front([candidate("a", 0.9, 1)], ("accuracy", "latency"))
    with pytest.raises(InputError, match="for every recipe"):
        pareto_front([candidate("a", 0.9, 1, x=1.0), candidate("b", 0.9, 1, x=latency(1))], ("accuracy", "x"))
    with pytest.raises(InputError, match="low <= value <= high"):
        TimeInterval(value=1.0, low=0.0, high=2.0)
    with pytest.raises(InputError, match="low <= value <= high"):
        TimeInterval(value=math.nan, low=1.0, high=2.0)
    with pytest.raises(InputError, match="above 0"):
        SeedTimes(values=[1.0, 0.0], seeds=[1, 2])
    with pytest.raises(InputError, match="one seed per row"):
        SeedTimes(values=[1.0], seeds=[1, 2])
