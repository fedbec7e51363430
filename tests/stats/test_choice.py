from __future__ import annotations

import numpy as np
import pytest

from cvexp.errors import InputError
from cvexp.stats import Arm, Candidate, SeedTimes, TimeInterval, pick, pick_text
from cvexp.stats.arms import arm_estimate
from tests.stats.drawn import arm, correct

N_IMAGES = 20_000
BASE = correct(0.9, n_images=N_IMAGES)


def candidate(name, ms, *, lost=0, high=None, n=5, **measures):
    """The base recipe without so many of its images, at so many milliseconds."""
    less = BASE[:n] & (np.arange(N_IMAGES) >= lost)
    time = TimeInterval(value=ms, low=ms * 0.99, high=high or ms * 1.01)
    return Candidate(accuracy=Arm(name=name, correct=less), measures={"latency_ms": time, **measures})


SLOW, FAST, FASTEST = candidate("slow", 3.0), candidate("fast", 1.0, lost=30), candidate("fastest", 0.5, lost=1000)


def test_the_fastest_non_inferior_one_is_picked_and_its_price_named():
    found = pick([SLOW, FAST, FASTEST], {"latency_ms": 4})
    assert (found.name, found.most_accurate, found.within) == ("fast", "slow", ("slow", "fast", "fastest"))
    _, high = arm_estimate(SLOW.accuracy, FAST.accuracy).limits(1 - 2 * 0.05 / 2)
    assert found.price == pytest.approx(high)
    assert 0 < found.price <= 0.005
    assert pick_text(found).endswith(f"costs at most {100 * high:.2f} points (95%)")


def test_a_narrow_margin_picks_the_most_accurate():
    found = pick([SLOW, FAST, FASTEST], {"latency_ms": 4}, accuracy_margin=0.0005)
    assert (found.name, found.price) == ("slow", None)
    assert "most accurate of 3" in pick_text(found)


def test_the_upper_limit_has_to_meet_the_budget():
    late = candidate("late", 1.9, high=2.1)
    found = pick([SLOW, late, FASTEST], {"latency_ms": 2.0})
    assert found.name == "fastest"
    assert [(r.name, r.objective, r.limit) for r in found.rejected] == [
        ("slow", "latency_ms", pytest.approx(3.03)),
        ("late", "latency_ms", 2.1),
    ]


def test_all_parts_of_the_budget_count():
    small, large = candidate("small", 2.0, lost=2000, bytes=10.0), candidate("large", 1.0, bytes=20.0)
    assert pick([small, large], {"latency_ms": 4, "bytes": 15}).name == "small"
    assert pick([small, large], {"latency_ms": 1.5, "bytes": 15}).name is None


def test_accuracy_is_a_lower_limit():
    found = pick([SLOW, FASTEST], {"accuracy": 0.88})
    assert found.within == ("slow",)
    assert found.rejected[0].objective == "accuracy"


def test_the_upper_limit_over_seeds_counts_for_times_per_seed():
    steady = Candidate(accuracy=arm("steady", 0.9), measures={"s": SeedTimes(values=[10, 10.1, 9.9], seeds=range(3))})
    jumpy = Candidate(accuracy=arm("jumpy", 0.99), measures={"s": SeedTimes(values=[10, 2, 15], seeds=range(3))})
    single = Candidate(accuracy=arm("single", 0.8), measures={"s": SeedTimes(values=[10], seeds=[0])})
    found = pick([steady, jumpy, single], {"s": 12}, speed="s")
    assert (found.name, found.within) == ("steady", ("steady", "single"))


def test_nothing_within_the_budget_is_said():
    found = pick([SLOW], {"latency_ms": 0.1})
    assert (found.name, found.most_accurate, found.price, found.within) == (None, None, None, ())
    assert pick_text(found) == "no recipe meets the budget"


def test_what_was_not_measured_does_not_meet_the_budget():
    found = pick([Candidate(accuracy=arm("unknown", 0.99)), FAST], {"latency_ms": 2})
    assert (found.name, found.rejected[0].name, found.rejected[0].limit) == ("fast", "unknown", None)


def test_two_seeds_are_picked_only_as_the_most_accurate():
    assert pick([SLOW, candidate("two", 0.1, n=2, lost=300)], {"latency_ms": 9}).name == "slow"


def test_of_equally_fast_ones_the_most_accurate_is_picked():
    assert pick([candidate("less", 1.0, lost=10), candidate("more", 1.0)], {"latency_ms": 9}).name == "more"


def test_a_budget_on_an_unknown_figure_is_refused():
    with pytest.raises(InputError, match="weight: no recipe has this figure"):
        pick([SLOW], {"weight": 1})
