"""Intervals, paired tests and fronts: arrays in, frozen results out; numpy and scipy only."""

from cvexp.stats.arms import Arm, class_weights
from cvexp.stats.choice import Pick, Rejected, pick, pick_text
from cvexp.stats.difference import Difference, accuracy_difference, score_difference
from cvexp.stats.front import Placement, pareto_front
from cvexp.stats.interval import Interval, collapsed, mean_interval
from cvexp.stats.judge import arms_verdict, score_verdict, verdict
from cvexp.stats.measures import Candidate, Measure, SeedTimes, TimeInterval
from cvexp.stats.several import Contenders, PairVerdict, contenders, holm, pairwise_verdicts
from cvexp.stats.two_runs import agresti_min, mcnemar_midp
from cvexp.stats.verdicts import Verdict, population_text, verdict_text, win_share_text

__all__ = [
    "Arm",
    "Candidate",
    "Contenders",
    "Difference",
    "Interval",
    "Measure",
    "PairVerdict",
    "Pick",
    "Placement",
    "Rejected",
    "SeedTimes",
    "TimeInterval",
    "Verdict",
    "accuracy_difference",
    "agresti_min",
    "arms_verdict",
    "class_weights",
    "collapsed",
    "contenders",
    "holm",
    "mcnemar_midp",
    "mean_interval",
    "pairwise_verdicts",
    "pareto_front",
    "pick",
    "pick_text",
    "population_text",
    "score_difference",
    "score_verdict",
    "verdict",
    "verdict_text",
    "win_share_text",
]
