"""Where the figures of a report come from: runs, versions, commits, data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cvexp.report.html.elements import Html, element, joined, table, terms
from cvexp.runs import versions_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cvexp.runs import RunSummary

SHOWN_RUNS = 500
COMMIT_DIGITS = 12


def _commit(run: RunSummary) -> str:
    commit = run.tags.get("mlflow.source.git.commit", "")[:COMMIT_DIGITS]
    changed = {"true": " with uncommitted changes", "unknown": " (unknown whether changed)"}
    return commit + changed.get(run.tags.get("cvexp.git_dirty", ""), "") if commit else ""


_FACTS: dict[str, Callable[[RunSummary], str]] = {
    "dataset": lambda run: run.params.get("dataset", ""),
    "data digest and split": lambda run: run.test_set,
    "device": lambda run: run.tags.get("cvexp.device_name", "") or run.tags.get("cvexp.device", ""),
    "threads": lambda run: run.tags.get("cvexp.threads", ""),
    "step runner": lambda run: run.tags.get("cvexp.step_runner", ""),
    "cvexp": lambda run: run.tags.get("cvexp.version", ""),
    "python": lambda run: run.tags.get("cvexp.python", ""),
    "torch": lambda run: versions_of(run.tags).get("torch", "") or str(run.conditions.get("torch", "")),
    "numpy": lambda run: versions_of(run.tags).get("numpy", ""),
    "commit": _commit,
    "recipe": lambda run: run.recipe,
    "epochs": lambda run: run.settings.get("epochs", ""),
    "seed": lambda run: run.params.get("seed", ""),
    "status": lambda run: run.status,
}


def provenance(runs: Sequence[RunSummary]) -> Html:
    """What all runs share, and a row for each run with the rest."""
    facts = {name: [fact(run) for run in runs] for name, fact in _FACTS.items()}
    facts = {name: values for name, values in facts.items() if any(values)}
    shared = {name: values[0] for name, values in facts.items() if len(set(values)) == 1 and name != "seed"}
    differing = {name: values for name, values in facts.items() if name not in shared}
    header = [element("th", name, scope="col") for name in ("run", "id", *differing, "started (UTC)")]
    rows = []
    for k, run in enumerate(runs[:SHOWN_RUNS]):
        cells = [element("td", values[k] or "-") for values in differing.values()]
        started = f"{run.started_at:%Y-%m-%d %H:%M}"
        code = element("td", element("code", run.run_id))
        rows.append([element("th", run.name, scope="row", class_="wide"), code, *cells, element("td", started)])
    left_out = len(runs) - len(rows)
    return joined(
        element("h3", "The same for all runs") if len(runs) > 1 else None,
        terms(shared.items()),
        element("h3", "Each run") if len(runs) > 1 else None,
        table(header, rows, caption=f"{len(runs):,} run{'' if len(runs) == 1 else 's'}"),
        element("p", f"{left_out:,} more runs are not listed.", class_="about") if left_out else None,
    )
