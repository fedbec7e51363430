from __future__ import annotations

import math

import pytest
from scipy import stats

from cvexp.stats.difference import Estimate, SeedVariance
from cvexp.stats.planning import plan


def paired(*, n, seed_sd, images, residual=0.08, n_images=10_000, mean=0.0):
    """A paired estimate with the given SD over seeds and V∞ = images / N."""
    seeds = SeedVariance(variance=seed_sd**2, residual=residual, n=n)
    return Estimate(mean=mean, seeds=(seeds,), image_variance=images + residual / n, n_images=n_images, binary=True)


def half_width(found, n):
    """By hand, from the formulas of V and df."""
    (seeds,) = found.seeds
    floor = (found.image_variance - seeds.residual / seeds.n) / found.n_images
    variance = floor + seeds.variance / n
    per_image = floor + seeds.residual / (n * found.n_images)
    df = variance**2 / ((seeds.variance / n) ** 2 / (n - 1) + per_image**2 / (found.n_images - 1))
    return stats.t.ppf(0.975, df) * math.sqrt(variance)


@pytest.mark.parametrize("seed_sd", [0.004, 0.008, 0.02])
def test_seeds_needed_are_the_smallest_number_with_a_half_width_within_the_margin(seed_sd):
    found = paired(n=3, seed_sd=seed_sd, images=0.01)
    needed = plan(found, 0.005)
    assert needed.n_images is None
    assert half_width(found, needed.n_seeds) <= 0.005 < half_width(found, needed.n_seeds - 1)


def test_the_observed_difference_has_no_part_in_the_plan():
    near, far = (paired(n=3, seed_sd=0.008, images=0.01, mean=mean) for mean in (0.0, 0.3))
    assert plan(near, 0.005) == plan(far, 0.005)


def test_where_seeds_cannot_settle_it_images_are_planned():
    found = paired(n=5, seed_sd=0.008, images=0.1)  # 1.96 sqrt(0.1 / 10,000) = 0.62 points
    needed = plan(found, 0.005)
    assert needed.n_seeds is None
    assert needed.n_images == math.ceil(stats.norm.ppf(0.975) ** 2 * 0.1 / 0.005**2)
    assert needed.n_images > 10_000


def test_few_images_are_planned_with_their_own_degrees_of_freedom():
    found = paired(n=3, seed_sd=0.001, images=2.9e-5, residual=0.0, n_images=6)
    assert 1.96 * math.sqrt(found.images) < 0.005 < stats.t.ppf(0.975, 5) * math.sqrt(found.images)
    needed = plan(found, 0.005)
    assert (needed.n_seeds, needed.n_images) == (None, 7)


@pytest.mark.parametrize("n_images", [6, 100, 10_000])
def test_a_plan_ends_however_close_the_images_alone_come_to_the_margin(n_images):
    limit = n_images * (0.005 / stats.t.ppf(0.975, n_images - 1)) ** 2
    for share in (1 - 1e-3, 1 - 1e-9, 1 - 1e-15, 1, 1 + 1e-15, 1 + 1e-9):
        needed = plan(paired(n=5, seed_sd=0.003, images=share * limit, n_images=n_images), 0.005)
        assert (needed.n_seeds is None) != (needed.n_images is None)
        assert needed.n_images is None or needed.n_images > n_images


def test_data_that_are_precise_already_are_planned_for_a_certain_decision():
    found = paired(n=20, seed_sd=0.008, images=0.005)
    assert half_width(found, 20) < 0.005
    needed = plan(found, 0.005)
    assert needed.n_seeds > 20
    share = 1 + stats.norm.ppf(0.95) / stats.norm.ppf(0.975)
    assert half_width(found, needed.n_seeds) * share <= 0.005 < half_width(found, needed.n_seeds - 1) * share


def test_three_seeds_are_the_least():
    assert plan(paired(n=2, seed_sd=0.0001, images=0.0001, residual=0.001), 0.005).n_seeds == 3


def test_many_pairs_take_more_seeds():
    found = paired(n=3, seed_sd=0.008, images=0.01)
    assert plan(found, 0.005, level=0.05 / 10).n_seeds > plan(found, 0.005).n_seeds
