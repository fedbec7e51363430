"""Whole sweeps: begun, extended, confirmed, refused while another process is at it."""

from __future__ import annotations

import json

import pytest
from mlflow import MlflowClient

from cvexp.config.experiment import read_experiment
from cvexp.errors import RunError
from cvexp.jobs import sweep
from cvexp.jobs.driver_lock import driver_lock
from cvexp.jobs.sweep_confirm import Confirming
from cvexp.jobs.sweep_plan import outlook, plan
from cvexp.jobs.trials import Known, Trial
from cvexp.runs import CONFIRMS, SWEEP, SWEEP_FILE, TRIAL
from cvexp.settings import store_settings
from cvexp.sweep.trials import Tried

FILE = """
experiment: searched
plot: searched.png
defaults: {dataset: digits, epochs: 3, val_split: 0.2, device: cpu, limit: 200}
sweep:
  search: random
  runs: 4
  space:
    model: [linear, mlp]
    lr: {low: 0.01, high: 1, log: true}
  prune: {min_epochs: 1, keep: 1/2}
  confirm: {best: 2, seeds: 2}
"""
TWO_GOALS = FILE.replace("  prune: {min_epochs: 1, keep: 1/2}", "  goal: {maximize: val/accuracy, minimize: macs}")


def written(tmp_path, text=FILE):
    path = tmp_path / "file.yaml"
    path.write_text(text)
    return path


def runs_of(record, name="searched"):
    client = MlflowClient(record.uri)
    return client.search_runs([client.get_experiment_by_name(name).experiment_id])


@pytest.mark.slow
def test_a_sweep_is_searched_confirmed_and_extended_and_nothing_is_trained_twice(record, cvexp, tmp_path):
    path = written(tmp_path)
    first = cvexp("run", str(path), "--json")
    assert first.code == 0, first.stderr
    found = first.document["sweep"]
    assert (found["tried"], found["trained_now"]) == (4, 8)
    ended = [one for one in found["trials"] if one["state"] == "finished"]
    assert {one["state"] for one in found["trials"]} == {"finished", "pruned"}
    assert all(one["epochs"] < 3 for one in found["trials"] if one["state"] == "pruned")
    best = max(ended, key=lambda one: one["metrics"]["val/accuracy"])
    assert found["best"][0] == best["number"]
    candidates = found["confirmed"]["candidates"]
    assert [one["selected_at"] for one in candidates] == sorted((c["selected_at"] for c in candidates), reverse=True)
    assert [repeat["seed"] for repeat in candidates[0]["repeats"]] == [43, 44]
    assert found["confirmed"]["trouble"] is None
    pick = next(one for one in candidates if one["number"] == found["confirmed"]["pick"])
    assert pick["confirmed_at"]["mean"] == max(one["confirmed_at"]["mean"] for one in candidates)
    assert found["confirmed"]["test_accuracy"]["n"] == 2

    stored = runs_of(record)
    assert len(stored) == 8
    picked = {repeat["run_id"] for repeat in pick["repeats"]}
    assert {run.info.run_id for run in stored if "test/accuracy" in run.data.metrics} == picked
    assert len({run.data.tags[TRIAL] for run in stored}) == 8
    assert sum(CONFIRMS in run.data.tags for run in stored) == 4
    for name in ("searched-history.png", "searched-importance.png"):
        assert (tmp_path / name).exists() == (name != "searched-importance.png")  # four trials say nothing of settings
    experiment = MlflowClient(record.uri).get_experiment_by_name("searched")
    view = json.loads(experiment.tags[f"mlflow.sharedViewState.cvexp-sweep-{found['digest']}"])
    assert found["digest"] in view["state"]
    assert {run["run_id"] for run in cvexp("compare", "--json", "--experiment", "searched").document["runs"]} == picked

    path = written(tmp_path, FILE.replace("runs: 4", "runs: 6"))
    longer = cvexp("run", str(path), "--json").document["sweep"]
    assert longer["tried"] == 6
    assert longer["trials"][:4] == found["trials"]
    assert len({run.data.tags[TRIAL] for run in runs_of(record)}) == len(runs_of(record))

    again = cvexp("run", str(path))
    assert again.code == 0
    assert "0 runs were trained now" in again.stderr
    assert "selected at" in again.stdout
    assert "confirmed at" in again.stdout
    changed = cvexp("run", str(written(tmp_path, FILE.replace("high: 1", "high: 2"))), "--dry-run", "--json")
    assert changed.document["sweep"]["digest"] != found["digest"]


def test_a_second_process_is_refused_in_three_lines(cvexp, record, tmp_path):
    path = written(tmp_path)
    read = read_experiment(path).sweep
    with driver_lock(store_settings(record.uri, "searched"), read.digest, called="it"):
        refused = cvexp("run", str(path))
    assert refused.code == 2
    assert "is being trained by another process" in refused.stderr
    assert len(refused.stderr.splitlines()) == 3


def test_other_work_is_not_locked(record):
    settings = store_settings(record.uri, "searched")
    with driver_lock(settings, "one", called="it"), driver_lock(settings, "another", called="it"):
        with pytest.raises(RunError), driver_lock(settings, "one", called="it"):
            pass
        with driver_lock(store_settings(record.uri, "elsewhere"), "one", called="it"):
            pass


def test_a_dry_run_says_what_comes_next_and_a_random_sweep_draws_it(record, cvexp, tmp_path):
    printed = cvexp("run", str(written(tmp_path)), "--dry-run", "--json")
    assert printed.code == 0
    points = printed.document["sweep"]["next"]
    assert len(points) == 4
    shown = cvexp("run", str(written(tmp_path)), "--dry-run")
    assert shown.stdout.count("to train") == 4
    assert "the budget is 4 trials" in shown.stderr


def test_points_that_are_one_training_have_one_key(record, tmp_path):
    planned = plan(written(tmp_path), tracking_uri=record.uri)
    first, second = {"model": "linear", "lr": 0.1}, {"model": "linear", "lr": 0.2}
    assert planned.key_of(first).endswith("-42")
    assert planned.key_of(first) == planned.key_of(dict(first))
    assert planned.key_of(first) != planned.key_of(second)


def test_known_trials_count_against_the_budget(record, tmp_path):
    planned = plan(written(tmp_path), tracking_uri=record.uri)
    record(
        "trial",
        experiment="searched",
        tags={SWEEP: planned.sweep.digest, TRIAL: "a-42", "cvexp.trial_number": "0"},
        lr=0.1,
        **{**planned.sweep.fixed, "model": "linear"},
    )
    found = outlook(planned, most=10)
    assert (len(found.known.trials), len(found.points)) == (1, 3)


def test_a_file_that_asked_for_another_sweep_before_says_so(record, tmp_path):
    nothing = Known(trials={}, repeats={}, resumable=frozenset())
    planned = plan(written(tmp_path), tracking_uri=record.uri)
    assert sweep._notes(planned, nothing) == ()
    record("trial", experiment="searched", tags={SWEEP: "0123456789ab", SWEEP_FILE: "file.yaml"})
    (note,) = sweep._notes(planned, nothing)
    assert "file.yaml asked for another sweep before (0123456789ab)" in note


def confirming(planned, known=None):
    points = [{"model": "linear", "lr": 0.1}, {"model": "mlp", "lr": 0.2}, {"model": "linear", "lr": 0.3}]
    best = [
        Tried(number=n, key=f"k{n}", point=point, state="finished", values=(0.9 - n / 100,), epochs=3)
        for n, point in enumerate(points)
    ]
    known = known or Known(trials={}, repeats={}, resumable=frozenset())
    return Confirming(planned, best, known, retry_failed=False)


def asked(one):
    found = []
    while (trial := one.next()) is not None:
        found.append(trial)
    return found


def test_the_best_are_repeated_a_round_for_each_seed_and_none_twice(record, tmp_path):
    planned = plan(written(tmp_path), tracking_uri=record.uri)
    trials = asked(confirming(planned))
    assert [(one.number, one.seed) for one in trials] == [(0, 43), (1, 43), (0, 44), (1, 44)]
    assert [one.confirms for one in trials] == ["k0", "k1", "k0", "k1"]
    done = {}
    for one in trials[:2]:
        done[one.key] = Trial(number=one.number, key=one.key, point=one.point, config=one.config, state="finished")
    known = Known(trials={}, repeats=done, resumable=frozenset())
    assert [(one.number, one.seed) for one in asked(confirming(planned, known))] == [(0, 44), (1, 44)]


def test_the_pick_is_the_best_by_the_mean_over_fresh_seeds_not_the_winner(record, tmp_path):
    planned = plan(written(tmp_path), tracking_uri=record.uri)
    one = confirming(planned)
    accuracies = {(0, 43): 0.80, (0, 44): 0.82, (1, 43): 0.86, (1, 44): 0.88}
    for trial in asked(one):
        figures = {"val/accuracy": accuracies[trial.number, trial.seed], "test/accuracy": 0.7 + trial.number / 100}
        trial.metrics, trial.state = figures, "finished"
        trial.run_id = record(
            f"repeat-{trial.number}-{trial.seed}",
            experiment="searched",
            figures=figures,
            tags={
                SWEEP: planned.sweep.digest,
                TRIAL: trial.key,
                CONFIRMS: trial.confirms,
                "cvexp.recipe": trial.confirms,
            },
            **{**planned.sweep.fixed, **trial.point, "seed": trial.seed},
        )
    found = one.judged(tmp_path)
    assert (found.pick.trial.number, found.trouble) == (1, "")
    first, second = found.candidates
    assert (first.selected_at, first.confirmed_at.mean) == (0.9, pytest.approx(0.81))
    assert (second.selected_at, second.confirmed_at.mean) == (0.89, pytest.approx(0.87))
    assert found.test.mean == pytest.approx(0.71)
    assert "trial 1" in found.sentences[0]
    assert "2 seeds" in found.sentences[-1]


def test_a_candidate_whose_repeats_failed_is_not_picked(record, tmp_path):
    planned = plan(written(tmp_path), tracking_uri=record.uri)
    one = confirming(planned)
    for trial in asked(one):
        trial.state = "failed" if trial.number == 0 and trial.seed == 44 else "finished"
        trial.metrics = {"val/accuracy": 0.9 if trial.number == 0 else 0.5}
    complete = [candidate.is_complete for candidate in one.judged(tmp_path).candidates]
    assert complete == [False, True]


@pytest.mark.slow
def test_two_goals_give_a_front_and_the_cheapest_that_is_not_less_accurate(record, tmp_path):
    planned = plan(written(tmp_path, TWO_GOALS.replace("runs: 4", "runs: 3")), tracking_uri=record.uri)
    result = sweep.run(planned, data_dir=tmp_path)
    assert all(len(values) == 2 for values in result.values.values())
    macs = [result.values[one.key][1] for one in result.best]
    assert macs == sorted(macs, reverse=True)
    assert result.confirmed.pick is not None
