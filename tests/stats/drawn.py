"""Drawn arms: correctness per image of recipes with a known accuracy."""

from __future__ import annotations

import numpy as np

from cvexp.stats import Arm


def correct(accuracy, *, n=5, n_images=4000, sd=0.002, seed=0):
    draw = np.random.default_rng(seed)
    return draw.random((n, n_images)) < accuracy + sd * draw.standard_normal((n, 1))


def arm(name, accuracy, *, n=5, n_images=4000, sd=0.002):
    drawn = correct(accuracy, n=n, n_images=n_images, sd=sd, seed=sum(map(ord, name)))
    return Arm(name=name, correct=drawn, seeds=range(n))
