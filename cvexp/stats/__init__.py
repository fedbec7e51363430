"""Intervals, paired tests and fronts: arrays in, frozen results out; numpy and scipy only."""

from cvexp.stats.difference import Difference, accuracy_difference, score_difference
from cvexp.stats.interval import Interval, collapsed, mean_interval
from cvexp.stats.two_runs import agresti_min, mcnemar_midp

__all__ = [
    "Difference",
    "Interval",
    "accuracy_difference",
    "agresti_min",
    "collapsed",
    "mcnemar_midp",
    "mean_interval",
    "score_difference",
]
