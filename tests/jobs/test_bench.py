"""`cvexp bench`: what is timed, what is logged where, and what is refused."""

from __future__ import annotations

import contextlib
import itertools
import json

import pytest

from cvexp.config import run_config
from cvexp.errors import ConfigError, StoreError
from cvexp.inference.latency.figures import Measured, Ratio
from cvexp.inference.latency.procedure import Limits
from cvexp.inference.latency.times import BatchTimes, ModelTimes
from cvexp.jobs import bench, train
from cvexp.jobs.bench_process import reordered
from cvexp.results import Metric
from cvexp.settings import store_settings
from cvexp.tracking.artifacts import local_path
from cvexp.tracking.histories import history
from cvexp.tracking.queries import search
from cvexp.tracking.store import open_store
from tests.faults.answering import check_refusal

QUICK = Limits(block_seconds=0.0005, warm_seconds=0.01, warm_most_seconds=0.05, most_seconds=0.05, waited=1.0)


@pytest.fixture
def quick(monkeypatch):
    """Measurements of milliseconds, on a machine that is never busy."""
    monkeypatch.setattr("cvexp.inference.latency.times.shared_limits", lambda *_: QUICK)


@pytest.fixture
def busy(monkeypatch):
    """The same on one where no round is clean."""
    limits = Limits(block_seconds=0.0005, warm_seconds=0, warm_most_seconds=0, most_seconds=0, waited=-1)
    monkeypatch.setattr("cvexp.inference.latency.times.shared_limits", lambda *_: limits)


@pytest.fixture(scope="module")
def _own(tmp_path_factory):
    """A store with one run, which the tests here may change."""
    folder = tmp_path_factory.mktemp("bench")
    settings = store_settings(f"sqlite:///{folder}/mlflow.db", "Default")
    with contextlib.chdir(folder):
        asked = {"model": "linear", "dataset": "digits", "epochs": 1, "device": "cpu", "limit": 60}
        result = train.run(run_config(asked), settings, data_dir=folder, command=["cvexp"])
    return folder, settings, result.run_id


@pytest.fixture
def own(_own, monkeypatch):
    folder, settings, run_id = _own
    monkeypatch.chdir(folder)
    return settings, run_id


def stored(settings):
    (run,) = search(open_store(settings, create=False))
    return run


def test_the_document_has_a_result_for_every_model_and_batch_and_a_ratio_for_every_pair(lab, cvexp, quick):
    ids = [lab.runs[name].run_id for name in ("linear", "mlp", "tinyvgg")]
    outcome = cvexp("bench", *ids, "--no-log", "--batch", "1,16", "--device", "cpu", "--json")
    assert outcome.code == 0, outcome.stderr
    found = outcome.document
    assert [(one["run_id"], one["batch"]) for one in found["results"]] == [(i, b) for b in (1, 16) for i in ids]
    for one in found["results"]:
        assert (one["device"], one["threads"], one["busy"]) == ("cpu", 1, False)
        assert 0 < one["latency_ms"]["low"] <= one["latency_ms"]["p50"] <= one["latency_ms"]["high"]
        assert one["latency_ms"]["p50"] <= one["latency_ms"]["p90"]
        assert one["images_per_second"] > 0
        assert one["first_call_ms"] > 0
    assert [(one["a"], one["b"], one["batch"]) for one in found["ratios"]] == [
        (ids[a], ids[b], batch) for batch in (1, 16) for a, b in ((0, 1), (0, 2), (1, 2))
    ]
    assert all(one["low"] < one["ratio"] < one["high"] for one in found["ratios"])


def test_the_slower_model_has_the_lower_rank(lab, cvexp, quick, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    ids = [lab.runs[name].run_id for name in ("tinyvgg", "linear")]
    shown = cvexp("bench", *ids, "--no-log", "--batch", "64", "--device", "cpu")
    assert shown.code == 0, shown.stderr
    linear, tinyvgg = lab.runs["linear"].run_name, lab.runs["tinyvgg"].run_name
    rows = [line.split() for line in shown.stdout.splitlines() if line.lstrip().startswith((linear, tinyvgg))]
    assert [(row[0], row[1]) for row in rows[:2]] == [(linear, "1"), (tinyvgg, "2")]
    assert f"{linear} is the fastest; {tinyvgg} takes " in shown.stdout


@pytest.mark.parametrize("columns", ["60", "80", "200"])
def test_no_figure_is_cut_whatever_the_width(columns, lab, cvexp, quick, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    ids = [lab.runs[name].run_id for name in ("tinyvgg", "linear", "mlp")]
    table = cvexp("bench", *ids, "--no-log", "--batch", "1", "--device", "cpu").stdout.splitlines()[1:8]
    assert max(map(len, table)) <= int(columns)
    assert "…" not in "".join(table)
    for name in ("tinyvgg", "linear", "mlp"):
        (row,) = [line.split() for line in table if line.strip().startswith(lab.runs[name].run_name)]
        assert row[1].isdigit()
        assert float(row[2]) > 0
    assert any("p99" in line for line in table) is (columns == "200")


def test_a_busy_machine_ranks_nothing_and_says_so(lab, cvexp, busy):
    ids = [lab.runs[name].run_id for name in ("tinyvgg", "linear")]
    words = ("bench", *ids, "--no-log", "--batch", "64", "--device", "cpu")
    shown, document = cvexp(*words), cvexp(*words, "--json").document
    assert "machine busy: 0 of 15 rounds did not wait for a core" in shown.stdout
    assert "fastest;" not in shown.stdout
    assert "when the machine is idle" in shown.stderr
    assert all(one["busy"] for one in document["results"])


@pytest.mark.slow
def test_without_one_image_a_run_gets_no_latency_and_it_is_left_alone_when_asked_for(own, cvexp, quick):
    settings, run_id = own
    assert cvexp("bench", run_id, "--no-log").code == 0
    assert "cvexp.bench" not in stored(settings).tags
    assert cvexp("bench", run_id, "--batch", "8").code == 0
    run = stored(settings)
    assert [key for key in run.metrics if key.startswith("bench/")] == [Metric.BENCH_IMAGES_PER_SECOND]
    assert json.loads(run.tags["cvexp.bench"])["batch"] == [8]


@pytest.mark.slow
def test_figures_are_logged_to_the_run_and_the_latest_ones_count(own, cvexp, quick):
    settings, run_id = own
    first = cvexp("bench", run_id, "--batch", "1,8", "--device", "cpu", "--json").document["results"]
    last = cvexp("bench", "@last", "--batch", "8,1", "--device", "cpu", "--json").document["results"]
    run, by_batch = stored(settings), {one["batch"]: one for one in last}
    assert run.metrics[Metric.LATENCY_MS] == by_batch[1]["latency_ms"]["p50"]
    assert run.metrics[Metric.LATENCY_P90_MS] == by_batch[1]["latency_ms"]["p90"]
    assert run.metrics[Metric.FIRST_CALL_MS] == by_batch[1]["first_call_ms"]
    assert run.metrics[Metric.BENCH_IMAGES_PER_SECOND] == by_batch[8]["images_per_second"]
    points = [point.value for point in history(settings, run)[Metric.LATENCY_MS]]
    assert sorted(points) == sorted([first[0]["latency_ms"]["p50"], by_batch[1]["latency_ms"]["p50"]])
    conditions = json.loads(run.tags["cvexp.bench"])
    assert (conditions["device"], conditions["threads"], conditions["batch"]) == ("cpu", 1, [8, 1])
    assert conditions["busy"] is False
    everything = json.loads((local_path(run.artifacts_uri) / "bench.json").read_text())
    assert (everything["threads"], everything["models"][0]["run_id"]) == (1, run_id)
    assert (run.status, "test/accuracy" in run.metrics) == ("FINISHED", True)


def test_an_exported_file_is_timed_beside_its_run_and_has_nothing_logged(own, cvexp, quick):
    _, run_id = own
    assert cvexp("export", run_id, "--out", "a.safetensors", "--format", "safetensors").code == 0
    outcome = cvexp("bench", "a.safetensors", run_id, "--batch", "1", "--json")
    assert outcome.code == 0, outcome.stderr
    of_file, of_run = outcome.document["results"]
    assert (of_file["file"], of_file["run_id"], of_file["logged"]) == ("a.safetensors", run_id, False)
    assert (of_run["file"], of_run["run_id"], of_run["logged"]) == (None, run_id, True)
    (ratio,) = outcome.document["ratios"]
    assert (ratio["a"], ratio["b"]) == ("a.safetensors", run_id)


def test_figures_that_cannot_be_logged_are_printed_all_the_same(own, cvexp, quick, monkeypatch):
    def refuse(*_words, **_more):
        raise StoreError("the tracking store does not answer")

    monkeypatch.setattr("cvexp.tracking.figures.add_figures", refuse)
    outcome = cvexp("bench", own[1], "--batch", "1", "--json")
    assert outcome.code == 1
    assert outcome.document["results"][0]["logged"] is False
    assert "does not answer" in outcome.stderr
    assert len(outcome.stderr.splitlines()) <= 3


TRAIN = ("train", "linear", "--dataset", "digits", "--epochs", "1", "--device", "cpu", "--limit", "60", "--json")


@pytest.mark.slow
def test_training_ends_with_a_bench_where_that_is_asked_for(record, cvexp, quick):
    outcome = cvexp(*TRAIN, "--bench", "--seeds", "2")
    assert outcome.code == 0, outcome.stderr
    ids = [one["run_id"] for one in outcome.document["runs"]]
    results = outcome.document["bench"]["results"]
    assert [(one["run_id"], one["batch"]) for one in results] == [(i, batch) for batch in (1, 256) for i in ids]
    metrics = {run.run_id: run.metrics for run in search(open_store(store_settings(record.uri), create=False))}
    assert all(metrics[one["run_id"]][Metric.LATENCY_MS] > 0 for one in results)


@pytest.mark.slow
def test_a_bench_that_fails_takes_nothing_from_the_training(record, cvexp, monkeypatch):
    def fail(*_words, **_more):
        raise ConfigError("no memory for a batch of 256 images")

    monkeypatch.setattr("cvexp.jobs.bench_process.measure", fail)
    outcome = cvexp(*TRAIN, "--bench")
    assert outcome.code == 2
    assert outcome.document["status"] == "FINISHED"
    assert "bench" not in outcome.document
    assert outcome.stderr.splitlines()[-1] == "error: no memory for a batch of 256 images"


WRONG = {
    "no run": ((), "RUN|FILE"),
    "unknown run": (("nobody",), "'nobody'"),
    "file that is not there": (("none.pt",), "none.pt"),
    "batch of nothing": (("LINEAR", "--batch", "0"), "--batch 0"),
    "batch in words": (("LINEAR", "--batch", "one,two"), "one,two"),
    "batch without a number": (("LINEAR", "--batch", "1,,2"), "1,,2"),
    "negative batch": (("LINEAR", "--batch", "-5"), "-5"),
    "huge batch": (("LINEAR", "--batch", "100000"), "--batch 100000"),
    "batch beyond every number": (("LINEAR", "--batch", "9" * 5000), "--batch 999"),
    "no threads": (("LINEAR", "--threads", "0"), "--threads 0"),
    "threads in words": (("LINEAR", "--threads", "many"), "many"),
    "no processes": (("LINEAR", "--processes", "0"), "--processes 0"),
    "too many processes": (("LINEAR", "--processes", "1000"), "--processes 1000"),
    "device that is not here": (("LINEAR", "--device", "cuda:99"), "cuda:99"),
    "the same run twice": (("LINEAR", "LINEAR"), "the same model"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_uses_are_explained_in_three_lines(name, cvexp, lab):
    words, named = WRONG[name]
    wrong = cvexp("bench", *(lab.runs["linear"].run_id if word == "LINEAR" else word for word in words))
    check_refusal(wrong.code, wrong.stdout, wrong.stderr, named)


def test_a_run_named_in_two_ways_is_refused_with_its_name(cvexp, lab):
    run = lab.runs["linear"]
    wrong = cvexp("bench", run.run_id, run.run_name)
    assert wrong.code == 2
    assert run.run_name in wrong.stderr


def test_too_large_a_batch_for_the_memory_is_bad_input(lab, quick, monkeypatch):
    def exhausted(*_words, **_more):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr("cvexp.inference.latency.times.time_models", exhausted)
    with pytest.raises(ConfigError, match="no memory for a batch of 64 images"):
        bench.run([lab.runs["linear"].run_id], lab.settings, data_dir=lab.folder, batches=[64], log=False)


def test_models_that_were_measured_in_another_order_come_back_as_they_were_named():
    def estimate(value):
        return Measured(value=value, low=value / 2, high=value * 2)

    def times(seconds):
        models = tuple(
            ModelTimes(
                p50=estimate(one),
                p90=estimate(one),
                p95=estimate(one),
                p99=None,
                images_per_second=1 / one,
                first_call_ms=1,
                n_calls=1,
                settled=True,
            )
            for one in seconds
        )
        pairs = itertools.combinations(range(len(seconds)), 2)
        ratios = tuple(Ratio(a=a, b=b, times=estimate(seconds[a] / seconds[b])) for a, b in pairs)
        return BatchTimes(batch=1, models=models, ratios=ratios, n_rounds=1, n_clean_rounds=1, busy=False, seconds=1)

    assert reordered(times([2.0, 3.0, 1.0]), [1, 2, 0]) == times([1.0, 2.0, 3.0])


@pytest.mark.slow
def test_new_processes_measure_each_and_their_spread_is_the_interval(lab, cvexp):
    ids = [lab.runs[name].run_id for name in ("linear", "tinyvgg")]
    outcome = cvexp("bench", *ids, "--no-log", "--batch", "64", "--device", "cpu", "--processes", "2", "--json")
    assert outcome.code == 0, outcome.stderr
    found = outcome.document
    assert [len(one) for one in found["processes"]] == [1, 1]
    each = [one[0]["models"][1]["p50"]["value"] for one in found["processes"]]
    tinyvgg = found["results"][1]
    assert min(each) <= tinyvgg["latency_ms"]["p50"] <= max(each)
    assert tinyvgg["latency_ms"]["low"] < min(each)
    (ratio,) = found["ratios"]
    assert (ratio["a"], ratio["b"]) == tuple(ids)
    assert ratio["ratio"] < 1
