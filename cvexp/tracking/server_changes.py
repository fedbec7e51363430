"""What has changed in a server's store since it was looked at last, as far as MLflow's filters can tell.

They cannot list ids, names or tags without the whole runs, at two milliseconds each. What cvexp writes it marks with
the time of delivery; what has ended since is asked for as well, for earlier versions of cvexp, which marked nothing;
which runs are deleted is asked each time. What other programs change in a run that has ended, its name or a tag, is not
seen so: a report asks again for the runs that it names, and everything is read again after some days.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from cvexp.tracking.delivery import DELIVERED
from cvexp.tracking.local_changes import ENDED, Changes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from cvexp.runs import RunSummary

    Ask = Callable[[str, str], Iterable[Any]]
    """MLflow's runs of the experiment by a filter, and of which stage: active, deleted or all."""

OVERLAP_SECONDS = 900.0
"""How far the clocks of the machines that deliver may be apart, and how long a delivery may take."""

SAID_TWICE = 50
"""Ids in one filter."""


def server_changes(
    ask: Ask, known: Mapping[str, RunSummary], marks: Mapping[str, Any], summary: Callable[[Any], RunSummary]
) -> Changes:
    """The experiment's runs, of which only those are asked for that may not be as they are `known`; as local_changes.

    `known` may have deleted runs, which are not among the runs while they are deleted. Raises what MLflow does.
    """
    open_clause = " and ".join(f"attributes.status != '{status}'" for status in ENDED)
    found: dict[str, Any] = {}
    if marks:
        delivered, ended = marks["delivered"] - OVERLAP_SECONDS, marks["ended"] - 1000 * OVERLAP_SECONDS
        for clause in (f"metrics.`{DELIVERED}` >= {delivered!r}", f"attributes.end_time >= {int(ended)}", open_clause):
            found |= {run.info.run_id: run for run in ask(clause, "all")}
    else:
        known, found = {}, {run.info.run_id: run for run in ask("", "all")}
    deleted = {run.info.run_id for run in ask("", "deleted")}
    gone = set(marks.get("deleted", ())) - deleted  # restored, or removed for good
    known = {run_id: run for run_id, run in known.items() if run_id not in gone}
    for some in _parts(sorted(gone)):
        listed = ", ".join(f"'{run_id}'" for run_id in some)
        found |= {run.info.run_id: run for run in ask(f"attributes.run_id IN ({listed})", "all")}
    read = {run_id: summary(run) for run_id, run in found.items()}
    changed = [run for run_id, run in read.items() if run.status in ENDED and not run.is_as(known.get(run_id))]
    reopened = [run_id for run_id, run in read.items() if run.status not in ENDED]
    runs = [run for run_id, run in {**known, **read}.items() if run_id not in deleted]
    runs.sort(key=lambda run: (-run.started_at.timestamp(), run.run_id))
    new = {
        "delivered": max([float(marks.get("delivered", 0.0)), *(_delivered(run) for run in found.values())]),
        "ended": max([int(marks.get("ended", 0)), *(run.info.end_time or 0 for run in found.values())]),
        "deleted": sorted(deleted),
    }
    return Changes(runs=runs, changed=changed, dropped=[*gone - read.keys(), *reopened], marks=new)


def _delivered(run: Any) -> float:
    with contextlib.suppress(TypeError, ValueError):
        return float(run.data.metrics.get(DELIVERED, 0.0))
    return 0.0


def _parts(ids: list[str]) -> Iterable[list[str]]:
    return (ids[start : start + SAID_TWICE] for start in range(0, len(ids), SAID_TWICE))
