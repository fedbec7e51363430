from __future__ import annotations

import gc
import itertools

import numpy as np
import pytest

from cvexp.inference.latency.figures import ratios
from cvexp.inference.latency.procedure import Limits, Rounds, measure, warm_up
from cvexp.inference.latency.stopwatch import Block

LIMITS = Limits()


class FakeWatch:
    """A clock that only calls move; `waits` are the shares that blocks waited for a core, then none."""

    def __init__(self, waits=()):
        self.time, self.blocks, self.waits = 0.0, [], iter(waits)

    def now(self):
        return self.time

    def first(self, call):
        before = self.time
        call()
        return self.time - before

    def block(self, call, *, seconds):
        start, calls = self.time, []
        while self.time - start < seconds or not calls:
            calls.append(self.first(call))
        self.blocks.append((call, len(calls)))
        return Block(calls=np.array(calls), seconds_per_call=float(np.mean(calls)), waited=next(self.waits, 0.0))


class Model:
    """Takes the seconds of `costs`, then the last of them for ever; `drift` is added for each second on the clock."""

    def __init__(self, watch, *costs, drift=0.0):
        self.watch, self.costs, self.drift, self.n_calls = watch, costs, drift, 0

    def __call__(self):
        cost = self.costs[min(self.n_calls, len(self.costs) - 1)]
        self.watch.time += cost + self.drift * self.watch.time
        self.n_calls += 1


class Noisy(Model):
    """Each block of calls is faster or slower by a factor of its own."""

    def __init__(self, watch, cost, spread, seed):
        super().__init__(watch, cost)
        self.factors = np.random.default_rng(seed).lognormal(0, spread, 10_000)

    def __call__(self):
        self.watch.time += self.costs[0] * self.factors[len(self.watch.blocks)]


def test_warming_up_takes_at_least_twenty_calls_and_three_tenths_of_a_second():
    watch = FakeWatch()
    quick, slow = Model(watch, 1.0, 0.0001), Model(watch, 0.05)
    warm = warm_up(quick, watch, LIMITS)
    assert (warm.first_seconds, warm.settled) == (1.0, True)
    assert warm.n_calls >= 20
    watch.time = 0
    warm = warm_up(Model(watch, 0.0001), watch, LIMITS)
    assert watch.time == pytest.approx(0.3, abs=0.006)
    watch.time = 0
    warm = warm_up(slow, watch, LIMITS)
    assert (warm.n_calls, watch.time) == (20, pytest.approx(1.0))


def test_warming_up_goes_on_until_three_block_medians_agree():
    watch = FakeWatch()
    falling = [0.005 * 0.97**i for i in range(120)]  # a block a call; the last three differ by 6% until it ends
    warm = warm_up(Model(watch, *falling), watch, LIMITS)
    assert warm.settled
    assert warm.n_calls >= 122
    watch.time = 0
    never = warm_up(Model(watch, *itertools.islice(itertools.cycle([0.0051, 0.0061]), 1000)), watch, LIMITS)
    assert not never.settled
    assert watch.time == pytest.approx(1.5, abs=0.012)


def test_each_round_goes_forward_and_back_and_the_next_one_the_other_way():
    watch = FakeWatch()
    models = [Model(watch, 0.001 * k) for k in (1, 2, 3)]
    rounds = measure(models, watch, LIMITS, confidence=0.95)
    order = [models.index(call) for call, _ in watch.blocks]
    assert order[:12] == [0, 1, 2, 2, 1, 0, 2, 1, 0, 0, 1, 2]
    assert len(order) == 6 * len(rounds.every)
    assert [n for _, n in watch.blocks[:3]] == [5, 3, 2]  # at least 5 ms


def test_fifteen_rounds_do_where_nothing_varies():
    watch = FakeWatch()
    rounds = measure([Model(watch, 0.001), Model(watch, 0.002)], watch, LIMITS, confidence=0.95)
    assert (len(rounds.every), len(rounds.clean), rounds.busy) == (15, 15, False)
    assert rounds.used == rounds.clean


def test_rounds_go_on_until_the_ratio_is_known_to_one_percent():
    watch = FakeWatch()
    rounds = measure([Noisy(watch, 0.001, 0.06, 0), Model(watch, 0.001)], watch, LIMITS, confidence=0.95)
    logs = np.stack([one.logs for one in rounds.clean])
    difference = logs[:, 0] - logs[:, 1]
    assert 15 < len(rounds.every) < 6 / 0.02
    assert 2.1 * difference.std(ddof=1) / np.sqrt(len(logs)) <= 0.0105


def test_rounds_end_after_six_seconds_but_never_before_the_fifteenth():
    watch = FakeWatch()
    noisy = measure([Noisy(watch, 0.001, 0.5, 1), Noisy(watch, 0.001, 0.5, 2)], watch, LIMITS, confidence=0.95)
    assert watch.time == pytest.approx(6, abs=0.1)
    assert len(noisy.every) > 100
    watch = FakeWatch()
    slow = measure([Model(watch, 1.0)], watch, LIMITS, confidence=0.95)
    assert (len(slow.every), watch.time) == (15, pytest.approx(30))


def test_a_block_that_waited_for_a_core_drops_its_whole_round():
    watch = FakeWatch(waits=[0, 0, 0.021, 0, 0, 0.02, 0, 0])
    rounds = measure([Model(watch, 0.001), Model(watch, 0.002)], watch, LIMITS, confidence=0.95)
    assert len(rounds.every) == 16
    assert rounds.clean == rounds.every[1:]
    assert not rounds.busy


def test_too_few_clean_rounds_make_the_machine_busy_and_all_rounds_count():
    watch = FakeWatch(waits=itertools.chain([0] * 28, itertools.repeat(0.5)))
    rounds = measure([Model(watch, 0.001)], watch, LIMITS, confidence=0.95)
    assert (len(rounds.clean), rounds.busy) == (14, True)
    assert rounds.used == rounds.every
    assert watch.time == pytest.approx(6, abs=0.02)  # it goes on in the hope of clean rounds


def test_a_linear_drift_of_the_machine_favours_no_model():
    watch = FakeWatch()
    models = [Model(watch, 0.005, drift=0.001) for _ in range(3)]
    rounds = measure(models, watch, LIMITS, confidence=0.95)
    logs = np.stack([one.logs for one in rounds.used])
    first_only = np.log([[np.median(pair[0].calls) for pair in one.blocks] for one in rounds.used])
    assert abs((logs[:, 0] - logs[:, 2]).mean()) < 1e-6
    assert abs(first_only[0, 0] - first_only[0, 2]) > 1e-3  # what one pass would have claimed


def test_no_garbage_is_collected_meanwhile_and_afterwards_it_is_again():
    watch, seen = FakeWatch(), []
    model = Model(watch, 0.01)
    measure([lambda: (seen.append(gc.isenabled()), model())], watch, LIMITS, confidence=0.95)
    assert not any(seen)
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError):
        measure([lambda: 1 / 0], watch, LIMITS, confidence=0.95)
    assert gc.isenabled()


def test_the_rounds_of_a_busy_machine_are_all_used():
    assert Rounds(every=(1, 2), clean=(2,), busy=True).used == (1, 2)
    assert Rounds(every=(1, 2), clean=(2,), busy=False).used == (2,)


class Unsteady:
    """A model on a machine whose speed wanders, with noise of its own in every block and now and then a slow one."""

    def __init__(self, watch, generator):
        self.watch, self.generator, self.block, self.cost = watch, generator, -1, 0.0

    def __call__(self):
        if self.block != len(self.watch.blocks):
            self.block = len(self.watch.blocks)
            wander = 0.1 * np.sin(self.watch.time)  # on the clock, so that all models share it
            slow = 1.5 if self.generator.random() < 0.03 else 1.0
            self.cost = 0.002 * slow * np.exp(wander + self.generator.normal(0, 0.03))
        self.watch.time += self.cost


@pytest.mark.slow
def test_a_model_differs_from_itself_in_at_most_one_of_twenty_measurements():
    """200 measurements; three standard errors of a share of 5% are 4.6%."""
    generator, claims = np.random.default_rng(5), 0
    for _ in range(200):
        watch = FakeWatch()
        rounds = measure([Unsteady(watch, generator) for _ in range(2)], watch, LIMITS, confidence=0.95)
        (ratio,) = ratios(np.stack([one.logs for one in rounds.used]))
        claims += not ratio.times.low <= 1 <= ratio.times.high
    assert 0 < claims < 200 * 0.096
