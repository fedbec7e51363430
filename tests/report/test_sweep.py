"""A sweep's outcome at 80 columns: the winner's own figure never stands alone."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from cvexp.config.experiment import read_experiment
from cvexp.config.goals import GOALS
from cvexp.jobs.sweep import SweepResult
from cvexp.jobs.sweep_confirm import Candidate, Confirmed
from cvexp.jobs.sweep_plan import SweepPlan
from cvexp.jobs.trials import Trial
from cvexp.report import sweep as report
from cvexp.report.sweep.words import SHORT, shown_figure
from cvexp.settings import store_settings
from cvexp.stats import mean_interval
from cvexp.sweep.trials import Tried

FILE = """
defaults: {dataset: digits, epochs: 9, val_split: 0.1}
sweep:
  search: random
  runs: 40
  space:
    model: [linear, tinyvgg]
    lr: {low: 0.0001, high: 0.1, log: true}
    hidden_units: {low: 8, high: 128, log: true}
  confirm: {best: 2, seeds: 3}
"""


def test_every_goal_has_a_name_and_a_form():
    assert SHORT.keys() == GOALS.keys()
    shown = {figure: shown_figure(figure, 0.123456) for figure in GOALS if figure.startswith("val/")}
    assert shown == {
        "val/accuracy": "12.35%",
        "val/balanced_accuracy": "12.35%",
        "val/macro_f1": "0.1235",
        "val/loss": "0.1235",
    }


@pytest.fixture
def result(tmp_path):
    path = tmp_path / "searched.yaml"
    path.write_text(FILE)
    sweep = read_experiment(path).sweep
    planned = SweepPlan(path=path, settings=store_settings(f"sqlite:///{tmp_path}/none.db"), sweep=sweep)
    trials, values = [], {}
    for number in range(6):
        point = {"model": "tinyvgg", "lr": 0.01234 / (number + 1), "hidden_units": 100 + number}
        metrics = {"val/accuracy": 0.9 - number / 50, "val/loss": 0.3 + number}
        state = ("finished", "finished", "finished", "pruned", "failed", "interrupted")[number]
        trial = Trial(number=number, key=f"k{number}", point=point, config=sweep.config(point), state=state)
        trial.epochs, trial.metrics, trial.run_id = (3 if state == "pruned" else 9), metrics, f"{number}" * 32
        trial.run_name, trial.reason = f"tinyvgg-{number * 111111:06d}", "the loss is nan" if state == "failed" else ""
        trials.append(trial)
        if trial.ended:
            values[trial.key] = (metrics["val/accuracy"],)
    best = [
        Tried(number=n, key=f"k{n}", point=trials[n].point, state="finished", values=values[f"k{n}"], epochs=9)
        for n in range(3)
    ]
    return SweepResult(
        plan=planned, trials=tuple(trials), best=tuple(best), values=values, trained=4, minutes=8.5, exhausted=False
    )


def confirmed(result):
    repeats = tuple(replace(result.trials[0], state="finished", key=f"r{n}") for n in range(3))
    candidates = [
        Candidate(trial=one, selected_at=one.values[0], repeats=repeats, confirmed_at=mean_interval(values))
        for one, values in zip(result.best[:2], ([0.84, 0.85, 0.86], [0.86, 0.87, 0.88]), strict=True)
    ]
    return Confirmed(
        candidates=tuple(candidates),
        pick=candidates[1],
        sentences=("Trial 1 is better.",),
        test=mean_interval([0.85, 0.86, 0.87]),
        n_tested=2,
    )


def test_the_table_fits_80_columns_and_says_what_became_of_each_trial(result, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    report.show(result)
    printed = capsys.readouterr()
    rows = printed.out.splitlines()
    assert all(len(row) <= 80 for row in rows if not row.startswith("Selected"))
    assert "…" not in printed.out
    for state in ("finished", "pruned at 3", "failed", "interrupted"):
        assert any(row.rstrip().endswith(state) for row in rows)
    assert "the best of 6 tried" in printed.out
    assert "looks better than it is" in " ".join(printed.out.split())
    assert "trial 4 failed: the loss is nan" in printed.err
    assert "--retry-failed" in printed.err
    assert "6 trials took 8 min 30 s over all starts" in printed.err


def test_selected_and_confirmed_stand_side_by_side(result, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    report.show(replace(result, confirmed=confirmed(result)))
    out = " ".join(capsys.readouterr().out.split())
    assert "selected at 88.00% of 6 tried, confirmed at 87.00% by the mean of 3 fresh seeds" in out
    assert "Test accuracy of the pick: 86.00%" in out
    assert "2 picks have been measured on them" in out


def test_the_document_is_json_with_every_trial(result):
    whole = report.document(replace(result, confirmed=confirmed(result)))["sweep"]
    json.dumps(whole, default=str)
    assert [one["number"] for one in whole["trials"]] == list(range(6))
    assert whole["confirmed"]["pick"] == 1
    assert whole["confirmed"]["candidates"][0]["confirmed_at"]["n"] == 3
    assert whole["tried"] == 6


def test_what_comes_next_repeats_the_best_with_fresh_seeds_or_looks_at_the_pick(result):
    first, _ = report.next_commands(result)
    assert first.startswith("cvexp train tinyvgg ")
    assert "--seeds 43,44,45,46,47" in first
    assert "--seed " not in first
    first, _ = report.next_commands(replace(result, confirmed=confirmed(result)))
    assert first.startswith("cvexp confmat tinyvgg-000000")


def test_many_settings_still_fit_80_columns(result, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    more = {"momentum": 0.9123, "weight_decay": 0.0001234, "label_smoothing": 0.1234, "augment": "flip-crop"}
    space = {**result.plan.sweep.space, **dict.fromkeys(more, result.plan.sweep.space["lr"])}
    trials = tuple(
        replace(one, point={**one.point, **more, "momentum": one.number / 7, "augment": f"flip-crop,{one.number}"})
        for one in result.trials
    )
    plan = replace(result.plan, sweep=replace(result.plan.sweep, space=space))
    report.show(replace(result, plan=plan, trials=trials))
    printed = capsys.readouterr().out
    assert all(len(row) <= 80 for row in printed.splitlines() if not row.startswith("Selected"))
    assert "…" not in printed
