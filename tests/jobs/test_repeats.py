"""Repeats of one recipe: trained once each, found again, resumed, summarised; training is a fake where it can be."""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import replace
from types import SimpleNamespace

import pytest

import cvexp as cvexp_api
from cvexp.config import run_config
from cvexp.config.checkpoint import CheckpointPolicy
from cvexp.config.recipe import recipe
from cvexp.data.last import LastDataset
from cvexp.errors import ConfigError, Interrupted, RunError, TrainingError
from cvexp.events import EpochEnded, TrainingStarted
from cvexp.executors.inline import open_inline
from cvexp.executors.seam import Ended, Epoch, Started
from cvexp.jobs import repeats, resume
from cvexp.jobs.driver_lock import driver_lock
from cvexp.jobs.plan import AGAIN
from cvexp.jobs.standing import judged
from cvexp.jobs.summary import collapsed_seeds, summary
from cvexp.results import Metric
from cvexp.runs import FRONT, RECIPE, SEEDS
from cvexp.settings import store_settings
from cvexp.tracking.queries import search
from cvexp.tracking.store import open_store
from cvexp.training.request import read_request

SETTINGS = {"dataset": "digits", "device": "cpu", "epochs": 1}
CONFIG = {"model": "linear", **SETTINGS}


def settings_of(record):
    return store_settings(record.uri)


def plan(record, seeds="3", **given):
    return repeats.plan(run_config({**CONFIG, **given}), seeds, settings_of(record))


def finished(record, seed, accuracy=0.9, **more):
    """A finished run of the recipe, written without training."""
    config = run_config({**CONFIG, "seed": seed})
    tags = {RECIPE: recipe(config.params(), {}), SEEDS: "42,43,44", **more.pop("tags", {})}
    figures = {Metric.TEST_ACCURACY: accuracy, Metric.TEST_LOSS: 0.3, Metric.TRAIN_SECONDS: 1.0}
    return record(f"linear-{seed}", epochs=1, seed=seed, figures=figures, tags=tags, **more)


@pytest.fixture
def trained(monkeypatch, record):
    """The seeds that `jobs.train` is asked for; a run of each is written without training."""
    asked = []

    def train(config, _settings, **given):
        asked.append(config.seed)
        assert given["seeds"] == (42, 43, 44)
        run_id = finished(record, config.seed)
        return SimpleNamespace(run_id=run_id, run_name=f"linear-{config.seed}", config=config)

    monkeypatch.setattr("cvexp.jobs.train.run", train)
    return asked


def test_only_seeds_that_no_finished_run_has_are_trained(record, trained, tmp_path):
    finished(record, 43)
    finished(record, 44, status="KILLED")
    planned = plan(record)
    assert [step.done is not None for step in planned.steps] == [False, True, False]
    with pytest.raises(AttributeError):  # the fake's result has no figures
        repeats.run(planned, data_dir=tmp_path)
    assert trained == [42, 44]


def test_where_all_are_trained_the_figures_come_from_the_store(record, trained, tmp_path):
    for seed, accuracy in ((42, 0.8), (43, 0.9), (44, 0.85)):
        finished(record, seed, accuracy)
    found = repeats.run(plan(record), data_dir=tmp_path)
    assert not trained
    assert [(one.seed, one.trained_now) for one in found.runs] == [(42, False), (43, False), (44, False)]
    over = found.summary[Metric.TEST_ACCURACY]
    assert (round(over.mean, 12), round(over.std, 12), over.n) == (0.85, 0.05, 3)
    assert found.recipe == recipe(run_config(CONFIG).params(), {})


def test_the_api_has_the_same_repeats(record):
    for seed in (42, 43):
        finished(record, seed)
    found = cvexp_api.train_seeds("linear", seeds=[43, 42], tracking_uri=record.uri, **SETTINGS)
    assert [(one.seed, one.name) for one in found.runs] == [(43, "linear-43"), (42, "linear-42")]
    with pytest.raises(ConfigError, match="seed 1 is given twice"):
        cvexp_api.train_seeds("linear", seeds=[1, 1])


def test_a_finished_run_leads_to_the_rest_of_its_repeats(record):
    """Between two seeds there is no run to resume, and its folder is gone."""
    run_id = finished(record, 42)
    planned = repeats.plan_resumed("@last", settings_of(record))
    assert planned.seeds == (42, 43, 44)
    assert [step.done.run_id if step.done else None for step in planned.steps] == [run_id, None, None]


@pytest.mark.parametrize(
    "tags", [{SEEDS: ""}, {SEEDS: "43,44"}, {"cvexp.epochs": "9"}], ids=["alone", "of others", "trained on"]
)
def test_a_run_that_is_not_one_of_several_leads_to_none(record, tags):
    finished(record, 42, tags=tags)
    assert repeats.plan_resumed("@last", settings_of(record)) is None


@pytest.mark.parametrize("seeds", ["a", "1,1", "0,-1", "1" * 5000])
def test_a_tag_that_holds_no_seeds_is_refused(record, seeds):
    finished(record, 42, tags={SEEDS: seeds})
    with pytest.raises(ConfigError) as refused:
        repeats.plan_resumed("@last", settings_of(record))
    assert max(map(len, refused.value.lines())) < 250


@pytest.fixture
def two_slots(monkeypatch):
    """Workers are one thread of this process, whatever their number."""

    @contextlib.contextmanager
    def opened(_where, n_workers):
        assert n_workers == 2
        yield open_inline()

    monkeypatch.setattr("cvexp.device.usable_cpus", lambda: 2)
    monkeypatch.setattr("cvexp.jobs.plan_training.opened", opened)


def test_workers_train_what_one_process_does(record, tmp_path, two_slots):
    finished(record, 43, 0.5)
    planned = plan(record)
    told = []
    result = repeats.run(
        planned,
        data_dir=tmp_path,
        policy=CheckpointPolicy(keep=1),
        command=["cvexp", "train"],
        n_workers=2,
        on_event=lambda step, event: told.append((step.planned.config.seed, type(event))),
        histories=True,
    )
    assert [(one.seed, one.trained_now, one.undelivered) for one in result.runs] == [
        (42, True, 0),
        (43, False, 0),
        (44, True, 0),
    ]
    assert told == [(seed, kind) for seed in (42, 44) for kind in (Started, Epoch, Ended)]
    assert [list(one.history) for one in result.runs] == [[1], [], [1]]
    assert result.summary[Metric.TEST_ACCURACY].n == 3
    assert len(list(settings_of(record).state_dir.glob("runs/*/checkpoints/*.pt"))) == 2  # the policy is theirs
    store = open_store(settings_of(record), create=False)
    by_seed = {run.params["seed"]: run for run in search(store)}
    assert {run.tags[SEEDS] for run in by_seed.values()} == {"42,43,44"}
    alone = cvexp_api.train("linear", seed=44, tracking_uri=record.uri, experiment="alone", **SETTINGS)
    weights = {run.tags["cvexp.weights_sha256"] for run in search(store, everywhere=True) if run.params["seed"] == "44"}
    assert len(weights) == 1, alone.run_id


def test_repeats_are_trained_by_one_command_at_a_time(record, tmp_path, trained):
    planned = plan(record)
    work = f"repeats {planned.recipe} {planned.seeds}"
    with driver_lock(planned.settings, work, called="it"), pytest.raises(RunError) as refused:
        repeats.run(planned, data_dir=tmp_path)
    assert refused.value.what == "linear with these seeds is being trained by another process"
    assert not trained


def stops_in(seed, *, at_start=False):
    """An observer that has the training of one seed stopped, before its first step or after its first epoch."""
    current = []

    def observe(event):
        if isinstance(event, TrainingStarted):
            current[:] = [event.config.seed]
        if isinstance(event, TrainingStarted if at_start else EpochEnded) and current == [seed]:
            os.kill(os.getpid(), signal.SIGTERM)

    return observe


@pytest.mark.slow
def test_an_interrupted_plan_says_how_far_it_is_and_resume_finishes_all_of_it(record, tmp_path, cvexp):
    planned = plan(record, "3", epochs=2)
    for seed in (42, 44):
        config = run_config({**CONFIG, "epochs": 2, "seed": seed})
        record(
            f"done-{seed}", epochs=2, seed=seed, tags={RECIPE: recipe(config.params(), {})}, figures={"test/loss": 1.0}
        )
    planned = plan(record, "3", epochs=2)
    with pytest.raises(Interrupted) as stopped:
        repeats.run(planned, data_dir=tmp_path, command=["cvexp"], observer=stops_in(43))
    state, how = stopped.value.hints
    assert state.startswith("2 of 3 seeds are trained; seed 43 is kept as of epoch 2")
    assert how.startswith("go on: cvexp train --resume ")
    (folder,) = settings_of(record).state_dir.glob("runs/*")
    assert read_request(folder).seeds == (42, 43, 44)

    outcome = cvexp("train", "--resume", "@last", "--json")
    assert outcome.code == 0, outcome.stderr
    runs = outcome.document["runs"]
    assert [(run["seed"], run["trained_now"]) for run in runs] == [(42, False), (43, True), (44, False)]
    assert [run["status"] for run in runs] == ["FINISHED"] * 3
    assert len(runs[1]["history"]) == 2
    assert outcome.document["summary"]["test/loss"]["n"] == 3
    assert cvexp("train", "--resume", "@last").code == 0  # nothing is left to do


def test_a_run_that_goes_on_with_more_epochs_is_alone(record, tmp_path):
    with pytest.raises(Interrupted):
        repeats.run(plan(record), data_dir=tmp_path, command=["cvexp"], observer=stops_in(42, at_start=True))
    settings = settings_of(record)
    assert repeats.plan_resumed("@last", settings).seeds == (42, 43, 44)
    assert repeats.plan_resumed("@last", settings, epochs=5) is None
    with pytest.raises(Interrupted):
        resume.run("@last", settings, epochs=5, data_dir=tmp_path, command=["cvexp"], observer=stops_in(42))
    (folder,) = settings.state_dir.glob("runs/*")
    assert read_request(folder).seeds == ()


def test_an_error_names_the_seed_and_says_what_is_trained(record, tmp_path, monkeypatch):
    def fail(_config, _settings, **_given):
        raise TrainingError("the training loss is nan", "lower --lr")

    finished(record, 42)
    monkeypatch.setattr("cvexp.jobs.train.run", fail)
    with pytest.raises(TrainingError) as failed:
        repeats.run(plan(record), data_dir=tmp_path)
    what, *hints = failed.value.lines()
    assert what == "seed 43: the training loss is nan"
    assert hints == ["lower --lr", f"1 of 3 seeds are trained; then {AGAIN}"]


def test_a_stop_between_two_trainings_says_how_to_go_on(record, tmp_path, monkeypatch):
    def interrupt(_config, _settings, **_given):
        raise KeyboardInterrupt

    monkeypatch.setattr("cvexp.jobs.train.run", interrupt)
    with pytest.raises(Interrupted) as stopped:
        repeats.run(plan(record), data_dir=tmp_path)
    assert stopped.value.signum == signal.SIGINT
    assert stopped.value.hints == ("0 of 3 seeds are trained", AGAIN)


def test_a_dataset_is_loaded_once_for_runs_that_cut_it_alike(tmp_path, monkeypatch):
    loaded = []
    monkeypatch.setattr("cvexp.data.dataset.load_dataset", lambda config, *_, **__: loaded.append(config) or object())
    dataset, config = LastDataset(tmp_path), run_config(CONFIG)
    assert dataset(config) is dataset(run_config({**CONFIG, "seed": 7, "epochs": 9, "augment": "mixup"}))
    assert len(loaded) == 1
    first = dataset(config)
    assert dataset(run_config({**CONFIG, "limit": 100})) is not first
    assert dataset(config) is not first  # only the last one is kept
    assert len(loaded) == 3


def test_a_summary_has_the_metrics_of_all_and_no_interval_of_what_is_not_finite():
    figures = [{"test/loss": 0.1, "a": 1.0, "only": 2.0}, {"test/loss": float("nan"), "a": 3.0}]
    found = summary(figures)
    assert set(found) == {"test/loss", "a"}
    assert (found["a"].mean, found["a"].low < 2 < found["a"].high) == (2.0, True)
    assert found["test/loss"].low is None
    assert summary(figures, withheld=("a",))["a"].low is None
    assert summary(figures[:1])["a"].std is None


def test_a_seed_no_better_than_guessing_is_collapsed():
    figures = [{Metric.TEST_ACCURACY: value} for value in (0.9, 0.1, 0.14, 0.3)] + [{}]
    assert collapsed_seeds((1, 2, 3, 4, 5), figures, 10) == (2, 3)
    assert collapsed_seeds((1,), figures[:1], 1) == ()


@pytest.fixture
def repeated(record, tmp_path):
    """Three finished repeats of a recipe."""
    for seed in (42, 43, 44):
        finished(record, seed, 0.9 + seed / 1000)
    return repeats.run(plan(record), data_dir=tmp_path)


def front_tags(record):
    store = open_store(settings_of(record), create=False)
    return {run.name: run.tags[FRONT] for run in search(store) if FRONT in run.tags}


def test_repeats_are_judged_against_the_best_other_recipe_and_the_front_is_tagged(record, repeated):
    for name, accuracy in (("worst", 0.2), ("mlp", 0.5)):
        for seed in (42, 43, 44):
            figures = {Metric.TEST_ACCURACY: accuracy + seed / 1000, Metric.TRAIN_SECONDS: 2.0}
            record(f"{name}-{seed}", model="mlp", epochs=1, seed=seed, figures=figures, tags={RECIPE: name})
    result = judged(repeated, settings_of(record))
    assert result.verdict.startswith("linear is better than mlp: +40.00 points (95%")
    assert front_tags(record).keys() == {
        f"{name}-{seed}" for name in ("linear", "worst", "mlp") for seed in (42, 43, 44)
    }


def test_repeats_beside_no_other_recipe_are_not_judged(record, repeated):
    assert judged(repeated, settings_of(record)).verdict == ""
    assert front_tags(record) == {}


def test_repeats_that_wait_to_be_delivered_are_not_judged(record, repeated):
    record("other", model="mlp", figures={Metric.TEST_ACCURACY: 0.5}, tags={RECIPE: "other"})
    first, *others = repeated.runs
    waiting = replace(repeated, runs=(replace(first, undelivered=1), *others))
    assert judged(waiting, settings_of(record)).verdict == ""
