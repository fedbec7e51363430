"""Names of figures, their texts with and without intervals, columns and budgets as they are typed."""

from __future__ import annotations

import math

import pytest

from cvexp.comparison.budget import read_budget
from cvexp.comparison.columns import VIEWS, choose_columns
from cvexp.comparison.figures import FIGURES, figure_of, find_figure
from cvexp.comparison.request import Request
from cvexp.errors import ConfigError
from cvexp.results import Metric
from cvexp.stats import Interval, mean_interval

ALL = [key.value for key in Metric]


def test_every_name_means_one_figure():
    names = [name for figure in FIGURES for name in figure.names]
    assert len(set(names)) == len(names)
    for figure in FIGURES:
        for name in (*figure.names, figure.names[0].replace("_", "-"), figure.key):
            assert find_figure(name, ALL, what="--sort") == figure


def test_an_unknown_metric_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigError) as error:
        find_figure("latncy_ms", ALL, what="--budget")
    assert "did you mean 'latency_ms'" in error.value.hints[0]


def test_a_metric_that_cvexp_does_not_know_is_found_by_its_key():
    assert find_figure("mine/score", ["mine/score"], what="--sort").key == "mine/score"


@pytest.mark.parametrize(
    ("key", "values", "text"),
    [
        ("test/accuracy", [0.8841], "88.41%"),
        ("test/accuracy", [0.88, 0.884, 0.888], "88.4 ± 1.0"),
        ("test/accuracy", [0.9852, 0.9853, 0.9854], "98.53 ± 0.02"),
        ("time/train_seconds", [18.0, 18.3, 18.6], "18.3 ± 0.7"),
        ("bench/latency_ms", [0.0301, 0.0302, 0.0303], "0.0302 ± 0.0002"),
        ("time/train_seconds", [0.12, 0.13, 0.14], "0.13 ± 0.02"),
        ("model/bytes", [4000.0, 4000.0], "4,000"),
        ("test/loss", [0.3], "0.3000"),
        ("test/loss", [math.nan], "nan"),
    ],
)
def test_figures_are_written_as_mean_and_half_of_the_interval(key, values, text):
    finite = len(values) > 1
    interval = mean_interval(values) if finite else Interval(mean=values[0], std=None, low=None, high=None, n=1)
    assert figure_of(key).spread(interval) == text


def test_a_withheld_interval_leaves_the_mean():
    assert figure_of("test/accuracy").spread(Interval(mean=0.723, std=0.3, low=None, high=None, n=5)) == "72.3"


def test_a_view_has_the_columns_that_any_run_has():
    assert choose_columns(None, "size", ["test/accuracy", "model/bytes"]) == (
        *("model", "settings", "front", "test/accuracy", "model/bytes", "run"),
    )
    assert all(choose_columns(None, view, ALL) for view in VIEWS)


def test_columns_are_named_by_figure_key_or_text():
    names = ("model", "accuracy", "bench/latency_ms", "run", "accuracy")
    assert choose_columns(names, None, ALL) == ("model", "test/accuracy", "bench/latency_ms", "run")


@pytest.mark.parametrize(
    ("columns", "view", "said"),
    [
        (("modl",), None, "'model'"),
        (("acuracy",), None, "'accuracy'"),
        ((" ",), None, "--columns"),
        (None, "fast", "speed"),
        (("run",), "all", "--view"),
    ],
)
def test_columns_that_do_not_exist_are_refused(columns, view, said):
    with pytest.raises(ConfigError) as error:
        choose_columns(columns, view, ALL)
    assert said in " ".join(error.value.lines())


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("latency_ms<1", 1.0),
        ("latency_ms < 500us", 0.5),
        ("latency-ms<=0.001s", 1.0),
        ("bytes<100k", 100_000.0),
        ("bytes<100,000", 100_000.0),
        ("bytes<1MiB", 2.0**20),
        ("parameters<1.5M", 1.5e6),
        ("train_seconds<2min", 120.0),
        ("accuracy>88%", 0.88),
        ("accuracy>88", 0.88),
        ("accuracy>0.88", 0.88),
        ("time/train_seconds<1e2", 100.0),
    ],
)
def test_a_budget_is_read_with_its_units(text, limit):
    (found,) = read_budget(text, ALL)
    assert found.value == pytest.approx(limit)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("latncy_ms<1", "did you mean 'latency_ms'"),
        ("latency_ms", "'latency_ms'"),
        ("latency_ms<", "latency_ms<"),
        ("latency_ms<1 furlong", "furlong"),
        ("latency_ms<1k", "units: ms"),
        ("latency_ms=1", "latency_ms=1"),
        ("latency_ms<1,,bytes<3", "''"),
        ("latency_ms<1..2", "1..2"),
        ("<1", "<1"),
        ("bytes<1," * 30, "more than 20"),
    ],
)
def test_a_budget_that_cannot_be_read_is_refused(text, said):
    with pytest.raises(ConfigError) as error:
        read_budget(text, ALL)
    assert said in " ".join(error.value.lines())
    assert len(error.value.lines()) <= 3


def test_a_limit_is_met_by_the_end_of_the_interval_that_is_nearer_to_it():
    wide = Interval(mean=1.0, std=0.1, low=0.8, high=1.2, n=5)
    one = Interval(mean=1.0, std=None, low=None, high=None, n=1)
    met = {
        text: read_budget(text, ALL)[0] for text in ("latency_ms<1.1", "latency_ms<1.2", "latency_ms<=1.2", "bytes>0.9")
    }
    assert not met["latency_ms<1.1"].is_met(wide)
    assert not met["latency_ms<1.2"].is_met(wide)
    assert met["latency_ms<=1.2"].is_met(wide)
    assert met["latency_ms<1.1"].is_met(one)
    assert not met["bytes>0.9"].is_met(wide)
    assert not met["latency_ms<1.1"].is_met(None)


@pytest.mark.parametrize(
    "asked",
    [
        {"margin": 0.0},
        {"margin": -0.01},
        {"margin": math.nan},
        {"margin": 0.6},
        {"at": "0"},
        {"at": "first"},
        {"at": "-3"},
        {"at": "9" * 5000},
        {"front": ("accuracy",)},
        {"budget": " "},
    ],
)
def test_what_cannot_be_meant_is_refused_before_a_store_is_opened(asked):
    with pytest.raises(ConfigError) as error:
        Request(**asked)
    assert len(error.value.lines()) <= 3
