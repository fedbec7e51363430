from __future__ import annotations

import contextlib
import itertools
from dataclasses import replace

import pytest
import torch
from torch import nn

from cvexp.data.transforms import Transform
from cvexp.inference.latency.figures import Measured, Ratio
from cvexp.inference.latency.procedure import Limits
from cvexp.inference.latency.times import (
    BatchTimes,
    ModelTimes,
    Subject,
    batches_of,
    over_processes,
    shared_limits,
    time_models,
)
from cvexp.inference.predictor import TorchPredictor

CPU = torch.device("cpu")
QUICK = Limits(block_seconds=0.0005, warm_seconds=0.01, warm_most_seconds=0.05, most_seconds=0.1, waited=1.0)


def images_of(n_images):
    return torch.arange(n_images * 4, dtype=torch.int64).to(torch.uint8).reshape(n_images, 1, 2, 2)


def predictor():
    torch.manual_seed(0)
    return TorchPredictor(nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), Transform(), CPU)


class Program:
    """A predictor that is no torch module: an exported program, say."""

    def __init__(self):
        self.shapes = set()

    def logits(self, images):
        self.shapes.add(tuple(images.shape))
        return torch.zeros(len(images), 3)


def test_models_of_any_kind_are_timed_together_on_batches_of_one_size():
    program = Program()
    subjects = [Subject(predictor=predictor(), images=images_of(40)), Subject(predictor=program, images=images_of(9))]
    times = time_models(subjects, CPU, batch=8, n_threads=1, limits=QUICK)
    assert (times.batch, len(times.models), times.busy) == (8, 2, False)
    assert times.n_rounds >= times.n_clean_rounds >= 15
    assert program.shapes == {(8, 1, 2, 2)}
    for one in times.models:
        assert 0 < one.p50.low <= one.p50.value <= one.p50.high
        assert one.p50.value <= one.p90.value
        assert one.first_call_ms > 0
        assert one.n_calls >= 2 * times.n_clean_rounds
    ratio = times.ratio(0, 1).times
    assert ratio.value == pytest.approx(1 / times.ratio(1, 0).times.value)
    assert 1 in (times.rank(0), times.rank(1))


def test_a_prepared_call_gives_the_logits_of_the_predictor():
    one, images = predictor(), images_of(6)
    with one.prepared(images, n_threads=1) as predict:
        assert torch.is_inference_mode_enabled()
        assert torch.equal(predict(images), one.logits(images))
        assert torch.equal(predict(images[:6].flip(0)), one.logits(images.flip(0)))
    assert not torch.is_inference_mode_enabled()


def test_threads_are_set_for_the_calls_and_are_as_before_afterwards():
    before = torch.get_num_threads()
    with predictor().prepared(images_of(1), n_threads=before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(("n_images", "batch", "n_batches"), [(10, 3, 3), (2, 5, 1), (300, 1, 64), (256, 256, 1)])
def test_batches_are_different_images_and_repeated_where_there_are_too_few(n_images, batch, n_batches):
    images = images_of(n_images)
    batches = batches_of(images, batch, CPU)
    assert [len(one) for one in batches] == [batch] * n_batches
    seen = torch.cat(batches)
    assert torch.equal(seen, images.repeat(-(-len(seen) // n_images), 1, 1, 1)[: len(seen)])


def test_all_sizes_together_take_the_time_of_one():
    assert shared_limits(1, 1) == Limits()
    two = shared_limits(2, 2)
    assert (two.most_seconds, two.warm_most_seconds, two.rounds) == (3.0, 1.0, 15)
    assert shared_limits(50, 2).warm_most_seconds == Limits().warm_seconds


def model_times(p50, **changes):
    known = ModelTimes(
        p50=Measured(value=p50, low=p50 * 0.9, high=p50 * 1.1),
        p90=Measured(value=2 * p50, low=None, high=None),
        p95=Measured(value=3 * p50, low=None, high=None),
        p99=None,
        images_per_second=1000 / p50,
        first_call_ms=9.0,
        n_calls=100,
        settled=True,
    )
    return replace(known, **changes)


def process(*p50s, **changes):
    models = tuple(map(model_times, p50s))
    ratios = tuple(
        Ratio(a=a, b=b, times=Measured(value=p50s[a] / p50s[b], low=None, high=None))
        for a, b in itertools.combinations(range(len(p50s)), 2)
    )
    known = BatchTimes(batch=1, models=models, ratios=ratios, n_rounds=20, n_clean_rounds=18, busy=False, seconds=3.0)
    return replace(known, **changes)


def test_intervals_over_processes_are_wider_than_what_any_process_knows():
    both = over_processes([process(1.0, 2.0), process(1.2, 2.2), process(0.9, 1.9)])
    p50 = both.models[0].p50
    assert p50.value == pytest.approx((1.0 * 1.2 * 0.9) ** (1 / 3))
    assert p50.low < 0.9
    assert p50.high > 1.2
    assert both.ratio(1, 0).times.value == pytest.approx((2 * 2.2 / 1.2 * 1.9 / 0.9) ** (1 / 3))
    assert (both.n_rounds, both.n_clean_rounds, both.seconds) == (60, 54, 9.0)
    assert both.models[0].p99 is None


def test_one_busy_process_makes_the_whole_busy():
    both = over_processes([process(1.0, 2.0), process(1.0, 2.0, busy=True)])
    assert both.busy
    assert (both.rank(0), both.rank(1)) == (None, None)


def test_models_that_cannot_be_told_apart_share_a_rank():
    three = over_processes([process(1.0, 1.01, 3.0), process(1.01, 1.0, 3.02), process(1.02, 1.03, 3.01)])
    assert [three.rank(index) for index in range(3)] == [1, 1, 3]


def test_nothing_is_timed_outside_of_the_block_that_prepares():
    class Once(Program):
        @contextlib.contextmanager
        def prepared(self, images, *, n_threads):
            self.asked = (tuple(images.shape), n_threads)
            yield lambda images: images

    one = Once()
    time_models([Subject(predictor=one, images=images_of(4))], CPU, batch=2, n_threads=3, limits=QUICK)
    assert one.asked == ((2, 1, 2, 2), 3)
    assert not one.shapes
