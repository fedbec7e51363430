"""A comparison as one JSON object."""

from dataclasses import asdict
from typing import Any

from cvexp.comparison.groups import Group
from cvexp.comparison.tables import Pick, Table
from cvexp.jobs.compare import Comparison
from cvexp.report.compare.pair import pair_document


def document(comparison: Comparison) -> dict[str, Any]:
    """The result for `--json`."""
    return {
        "by": comparison.analysis.request.by,
        "sort": comparison.analysis.sort,
        "groups": [_group(group, table) for table in comparison.tables for group in table.groups],
        "verdicts": [
            {**asdict(verdict), "test_set": table.test_set} for table in comparison.tables for verdict in table.verdicts
        ],
        "contenders": {table.test_set: list(table.contenders) for table in comparison.tables},
        "groups_left_out": {table.test_set: table.n_left_out for table in comparison.tables if table.n_left_out},
        "objectives": {table.test_set: list(table.front.objectives) for table in comparison.tables},
        "pick": None if comparison.pick is None else _pick(comparison.pick),
        "pair": None if comparison.pair is None else pair_document(comparison.pair),
        "sentences": [sentence for table in comparison.tables for sentence in table.sentences],
        "runs": records(comparison),
        "conditions": comparison.analysis.differences,
        "notes": [*comparison.notes, *comparison.captions],
    }


def records(comparison: Comparison) -> list[dict[str, Any]]:
    """One flat record a run: every setting in force and every metric, keyed as MLflow's parameters and metrics."""
    analysis = comparison.analysis
    return [
        {
            "run_id": run.run_id,
            "run_name": run.name,
            "status": run.status,
            "started_at": run.started_at.isoformat(timespec="seconds"),
            "device": run.tags.get("cvexp.device", ""),
            "device_name": run.tags.get("cvexp.device_name", ""),
            "comparability_key": run.comparability_key,
            "conditions": analysis.letters[run.run_id],
            "test_set": analysis.labels[run.test_set],
            "best_of_test_set": run.run_id in comparison.best,
            "params": run.settings,
            "metrics": dict(run.metrics),
        }
        for run in analysis.runs
    ]


def interval_of(group: Group, key: str) -> dict[str, Any] | None:
    """A group's mean of a metric with its 95% interval, as JSON has it."""
    found = group.figure(key)
    if found is None:
        return None
    return {"mean": found.mean, "low": found.low, "high": found.high, "n": found.n}


def _group(group: Group, table: Table) -> dict[str, Any]:
    standing = table.front.of(group.label)
    return {
        "recipe": group.recipe or None,
        "label": group.label,
        "model": group.model,
        "n": group.n,
        "seeds": list(group.seeds),
        "metrics": {key: interval_of(group, key) for key in group.keys},
        "on_front": standing.on_front,
        "dominated_by": standing.dominated_by or None,
        "front": standing.status,
        "test_set": table.test_set,
        "conditions": group.conditions,
        "bench_conditions": group.bench_conditions or None,
        "busy": group.busy,
        "n_collapsed": group.n_collapsed,
        "run_ids": [run.run_id.partition("#")[0] for run in group.runs],
        "export": group.first.export or None,
        "runs_of_the_same_seeds": group.n_again,
    }


def _pick(pick: Pick) -> dict[str, Any]:
    return {
        "label": pick.label or None,
        "run_ids": [one.partition("#")[0] for one in pick.run_ids],
        "budget": list(pick.budget),
        "chosen_on": pick.chosen_on,
        "price": pick.price,
        "text": " ".join(pick.sentences),
    }
