from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from mlflow import MlflowClient

from cvexp.config import RunConfig, run_config
from cvexp.config.checkpoint import CheckpointPolicy
from cvexp.config.experiment import PlannedRun, read_experiment
from cvexp.config.recipe import recipe
from cvexp.data.registry import find_spec
from cvexp.errors import ConfigError, DatasetError, Interrupted
from cvexp.events import EpochEnded
from cvexp.jobs import experiment, resume, train
from cvexp.models.registry import complete_arguments, find_entry
from cvexp.results import Metric
from cvexp.runs import RECIPE
from cvexp.settings import store_settings
from cvexp.sweep.points import random_point

EXPERIMENTS = sorted((Path(__file__).parents[2] / "experiments").glob("*.yaml"))
TWO = """
experiment: pair
defaults: {dataset: digits, epochs: 1, device: cpu}
runs:
  - {model: linear, published: {test/accuracy: 0.5, time/train_seconds: 9.0}}
grid:
  model: [mlp]
  hidden_units: [5, 10]
"""


def written(tmp_path, text):
    path = tmp_path / "file.yaml"
    path.write_text(text)
    return path


def test_there_are_experiments_to_check():
    assert {path.name for path in EXPERIMENTS} >= {"learnpytorch.yaml", "mnist-5k.yaml", "sweep-tinyvgg.yaml"}


def searched(read):
    """The first point of an experiment's sweep, if it has one."""
    if read.sweep is None:
        return []
    point = random_point(read.sweep.space, 0, seed=read.sweep.seed)
    return [PlannedRun(config=read.sweep.config(point))]


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.name)
def test_a_shipped_experiment_parses_names_what_exists_and_says_how_to_run_it(path):
    header = [line for line in path.read_text().splitlines() if line.startswith("#")]
    read = read_experiment(path)
    for planned in (*read.runs, *searched(read)):
        if "/" in planned.config.dataset:  # a folder of the user's own: the header says what belongs there
            assert any(planned.config.dataset in line for line in header)
        else:
            find_spec(planned.config.dataset)
        entry = find_entry(planned.config.model)
        complete_arguments(entry.name, entry.load(), planned.config.model_args)
        assert set(planned.published) <= {metric.value for metric in Metric}
    assert any(f"cvexp run experiments/{path.name}" in line for line in header)
    assert any("Expected" in line for line in header)
    assert any("cores" in line or "GPU" in line for line in header)


def test_defaults_lists_and_grids_make_runs(tmp_path):
    read = read_experiment(written(tmp_path, TWO))
    assert [(run.config.model, run.config.hidden_units, run.config.epochs) for run in read.runs] == [
        ("linear", 10, 1),
        ("mlp", 5, 1),
        ("mlp", 10, 1),
    ]
    assert read.runs[0].published == {"test/accuracy": 0.5, "time/train_seconds": 9.0}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "a mapping is wanted"),
        ("- linear", "a mapping is wanted"),
        ("runs: []", "asks for no runs"),
        ("runs: linear", "`runs` is a list"),
        ("runs: [linear]", "run 1: a mapping is wanted"),
        ("run: [{model: linear}]", "unknown key 'run'"),
        ("runs: [{model: linear, learning_rate: 1}]", "unknown key 'learning_rate'"),
        ("runs: [{epochs: 3}]", "model"),
        ("runs: [{model: linear, epochs: many}]", "--epochs many"),
        ("runs: [{model: linear, name: [a]}]", "`name` is text"),
        ("runs: [{model: linear, published: good}]", "`published` maps"),
        ("grid: {epochs: 3, model: [linear]}", "`epochs` is a list of values"),
        ("grid: {model: [linear], seed: []}", "`seed` is a list of values"),
        ("defaults: {modle: linear}\nruns: [{}]", "unknown key 'modle'"),
        ("runs: [!!python/object/apply:os.getcwd []]", "is not YAML"),
        (f"grid: {{model: [linear], seed: {list(range(1001))}}}", "at most 1,000"),
    ],
)
def test_a_file_that_is_wrong_is_explained(text, complaint, tmp_path):
    with pytest.raises(ConfigError) as refused:
        read_experiment(written(tmp_path, text))
    assert complaint in " ".join(refused.value.lines())


def test_images_are_read_at_every_size_before_anything_is_trained(tmp_path, monkeypatch):
    class Reached(Exception):  # noqa: N818 - no fault
        pass

    loaded = []

    def load(config, _data_dir, **how):
        loaded.append((config.dataset, config.image_size, how["interpolation"]))

    def train_nothing(*_, **__):
        assert loaded == [("digits", 16, "bilinear"), ("mnist-5k", None, "bilinear")]
        raise Reached

    monkeypatch.setattr("cvexp.data.dataset.load_dataset", load)
    monkeypatch.setattr("cvexp.jobs.plan.Trainer.run", train_nothing)
    text = """
defaults: {device: cpu, model: linear}
runs: [{dataset: digits}, {dataset: digits, image_size: 16}, {dataset: digits, lr: 1}, {dataset: mnist-5k}]
"""
    planned = experiment.plan(written(tmp_path, text), tracking_uri=f"sqlite:///{tmp_path}/none.db")
    with pytest.raises(Reached):
        experiment.run(planned, data_dir=tmp_path)


@pytest.mark.slow
def test_what_is_trained_is_skipped_unless_asked_for_again(cvexp, lab, tmp_path):
    path = str(written(tmp_path, TWO))
    planned = cvexp("run", path, "--dry-run", "--json").document
    assert [run["trained_already_as"] for run in planned["runs"]] == [None] * 3
    assert not [run for run in cvexp("compare", "--json").document["runs"] if run["params"]["hidden_units"] == "5"]

    first = cvexp("run", path, "--json")
    assert (first.code, first.document["trained"]) == (0, 3), first.stderr
    assert len(first.document["comparison"]["runs"]) == 3

    shown = cvexp("run", path)
    assert shown.code == 0
    assert "0 of 3 runs were trained now" in shown.stderr
    assert "trained already" in shown.stderr
    assert "another machine" in shown.stdout

    longer = written(tmp_path, TWO.replace("[5, 10]", "[5, 10, 20]"))
    again = cvexp("run", str(longer), "--json").document
    assert again["trained"] == 1
    assert [run["run_id"] for run in again["runs"]][:3] == [run["run_id"] for run in first.document["runs"]]

    redone = cvexp("run", str(longer), "--again", "--json").document
    assert redone["trained"] == 4
    assert not {run["run_id"] for run in redone["runs"]} & {run["run_id"] for run in first.document["runs"]}


class StopsAfter:
    """Sends this process a signal at the end of an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def __call__(self, event):
        if isinstance(event, EpochEnded) and event.metrics.epoch == self.epoch:
            os.kill(os.getpid(), signal.SIGTERM)


PAIR = """
experiment: pair
defaults: {dataset: digits, epochs: 3, device: cpu}
runs: [{model: linear}, {model: linear, seed: 7}]
"""


def runs_of(record, name="pair"):
    client = MlflowClient(record.uri)
    return client.search_runs([client.get_experiment_by_name(name).experiment_id])


@pytest.mark.slow
def test_the_same_file_goes_on_with_the_run_that_was_interrupted(record, cvexp, tmp_path):
    path = written(tmp_path, PAIR)
    with pytest.raises(Interrupted):
        experiment.run(experiment.plan(path), data_dir=tmp_path, observer=StopsAfter(2))
    (begun,) = runs_of(record)
    assert begun.info.status == "KILLED"
    result = cvexp("run", str(path), "--json")
    assert result.code == 0, result.stderr
    assert result.document["runs"][0]["run_id"] == begun.info.run_id
    assert "resumed" in result.stderr
    assert sorted(run.info.status for run in runs_of(record)) == ["FINISHED", "FINISHED"]
    history = MlflowClient(record.uri).get_metric_history(begun.info.run_id, "train/loss")
    assert [point.step for point in history] == [1, 2, 3]


@pytest.mark.slow
def test_an_interrupted_run_of_another_configuration_or_experiment_is_left_alone(record, tmp_path):
    path = written(tmp_path, PAIR)
    with pytest.raises(Interrupted):
        experiment.run(experiment.plan(path), data_dir=tmp_path, observer=StopsAfter(1))
    (begun,) = runs_of(record)
    others = (PAIR.replace("epochs: 3", "epochs: 2"), PAIR.replace("experiment: pair", "experiment: other"))
    for text in others:
        result = experiment.run(experiment.plan(written(tmp_path, text)), data_dir=tmp_path)
        assert begun.info.run_id not in result.run_ids
    result = experiment.run(experiment.plan(path, again=True), data_dir=tmp_path)
    assert begun.info.run_id not in result.run_ids


def test_a_dataset_that_a_later_configuration_lacks_is_missed_before_anything_is_trained(record, tmp_path, monkeypatch):
    def refuse(dataset, *_arguments):
        raise DatasetError(f"{dataset} could not be downloaded")

    monkeypatch.setattr("cvexp.data.download.torchvision_download", refuse)
    path = written(tmp_path, PAIR.replace("seed: 7", "dataset: kmnist"))
    with pytest.raises(DatasetError, match="kmnist"):
        experiment.run(experiment.plan(path), data_dir=tmp_path / "data")
    assert MlflowClient(record.uri).get_experiment_by_name("pair") is None


MLP = "runs: [{model: mlp, dataset: digits, device: cpu, seed: 7}]"


def planned(tmp_path, text=MLP):
    (step,) = experiment.plan(written(tmp_path, text)).steps
    return step.done.run_id if step.done else None


def test_a_run_of_a_version_that_recorded_no_recipe_is_recognised(record, tmp_path):
    settings = {"model": "mlp", "model_args": {"output_relu": True}}
    record("other seed", **settings)
    record("other argument", model="mlp", model_args={"output_relu": False}, seed=7)
    record("unfinished", status="KILLED", seed=7, **settings)
    assert planned(tmp_path) is None
    old = record("old", seed=7, **settings)
    record("other model", seed=7)
    assert planned(tmp_path) == old


def test_a_run_of_a_version_with_fewer_options_and_arguments_is_recognised(record, tmp_path, monkeypatch):
    """It recorded neither them nor a recipe; they are at their defaults now."""
    whole = RunConfig.params
    with monkeypatch.context() as before:
        before.setattr(RunConfig, "params", lambda self: {k: v for k, v in whole(self).items() if k != "allow_nan"})
        old = record("old", model="mlp", seed=7)
    assert planned(tmp_path) == old
    assert planned(tmp_path, MLP.replace("seed: 7", "seed: 7, allow_nan: true")) is None


def test_a_recorded_recipe_is_what_counts_unless_a_setting_contradicts_it(record, tmp_path):
    config = run_config({"model": "mlp", "dataset": "digits", "device": "cpu"})
    settings = {"model": "mlp", "seed": 7, "tags": {RECIPE: recipe(config.params(), {"output_relu": True})}}
    record("of another default", epochs=5, **settings)
    record("of another recipe", **{**settings, "tags": {RECIPE: "0" * 16}})
    assert planned(tmp_path) is None
    assert planned(tmp_path, MLP.replace("seed: 7", "seed: 7, epochs: 3")) is None
    assert record("first", **settings) == planned(tmp_path)


@pytest.mark.slow
def test_training_and_resuming_record_the_recipe_of_the_settings_in_effect(record, tmp_path):
    settings = store_settings(record.uri)
    asked = {"model": "linear", "dataset": "digits", "device": "cpu", "epochs": 1}
    kept = {"data_dir": tmp_path, "policy": CheckpointPolicy(keep=1), "command": ["cvexp"]}
    run_id = train.run(run_config(asked), settings, **kept).run_id

    def recorded():
        return MlflowClient(record.uri).get_run(run_id).data.tags[RECIPE]

    assert recorded() == recipe(run_config(asked).params(), {})
    resume.run(run_id, settings, epochs=2, **kept)
    assert recorded() == recipe(run_config({**asked, "epochs": 2}).params(), {})
