"""A sweep for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cvexp.jobs.sweep import SweepResult
    from cvexp.jobs.sweep_confirm import Candidate, Confirmed
    from cvexp.jobs.sweep_plan import Outlook
    from cvexp.jobs.trials import Trial
    from cvexp.stats import Interval


def document(result: SweepResult) -> dict[str, Any]:
    """The result for `--json`, under the key that the file has it under."""
    return {"sweep": _sweep(result)}


def _sweep(result: SweepResult) -> dict[str, Any]:
    sweep = result.plan.sweep
    return {
        "file": result.plan.path,
        "digest": sweep.digest,
        "search": sweep.search,
        "goals": {goal.figure: "maximize" if goal.maximize else "minimize" for goal in sweep.goals},
        "tried": len(result.trials),
        "trained_now": result.trained,
        "minutes": result.minutes,
        "space_exhausted": result.exhausted,
        "best": [one.number for one in result.best],
        "trials": [_trial(one) for one in result.trials],
        "importances": dict(result.importances),
        "confirmed": None if result.confirmed is None else _confirmed(result.confirmed),
        "notes": list(result.notes),
        "undelivered": result.undelivered,
    }


def _trial(trial: Trial) -> dict[str, Any]:
    return {
        "number": trial.number,
        "run_id": trial.run_id or None,
        "run_name": trial.run_name or None,
        "state": trial.state,
        "epochs": trial.epochs,
        "seed": trial.seed,
        "attempts": trial.attempts,
        "point": dict(trial.point),
        "metrics": dict(trial.metrics),
        "reason": trial.reason or None,
    }


def _confirmed(confirmed: Confirmed) -> dict[str, Any]:
    return {
        "candidates": [_candidate(one) for one in confirmed.candidates],
        "pick": None if confirmed.pick is None else confirmed.pick.trial.number,
        "sentences": list(confirmed.sentences),
        "test_accuracy": None if confirmed.test is None else _plain(confirmed.test),
        "picks_measured_on_test": confirmed.n_tested,
        "trouble": confirmed.trouble or None,
    }


def _candidate(one: Candidate) -> dict[str, Any]:
    confirmed_at = None if one.confirmed_at is None else _plain(one.confirmed_at)
    repeats = [_trial(trial) for trial in one.repeats]
    return {
        "number": one.trial.number,
        "selected_at": one.selected_at,
        "confirmed_at": confirmed_at,
        "repeats": repeats,
    }


def _plain(over: Interval) -> dict[str, Any]:
    return {"mean": over.mean, "std": over.std, "low": over.low, "high": over.high, "n": over.n}


def outlook_document(found: Outlook) -> dict[str, Any]:
    """The same for `--json`."""
    trials = sorted(found.known.trials.values(), key=lambda one: one.number)
    known = {
        "digest": found.plan.sweep.digest,
        "trials": [_trial(one) for one in trials],
        "next": [dict(point) for point in found.points],
    }
    return {"sweep": known}
