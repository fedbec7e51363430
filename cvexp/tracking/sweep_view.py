"""The saved view of a sweep in MLflow's pages: its trials, the settings that vary, and parallel coordinates of both."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from cvexp.redaction import without_credentials
from cvexp.results import Metric
from cvexp.runs import PRUNED, SWEEP, TRIAL_NUMBER
from cvexp.tracking.mlflow_errors import translated
from cvexp.tracking.views import MAX_CHARACTERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cvexp.tracking.store import Store

TAG = "mlflow.sharedViewState.cvexp-sweep-{digest}"
MOST_SETTINGS = 12
"""That are columns, and axes of the parallel coordinates."""

_NAME_COLUMN = "attributes.`Run Name`"
_COSTS = {"parameters": Metric.PARAMETERS.value}
_SECTION = "cvexp-sweep-section"


def view_value(*, name: str, digest: str, settings: Sequence[str], goals: Sequence[str], at: int) -> str:
    """The tag's value, at most `MAX_CHARACTERS` long; `at` is when the view is written, in milliseconds since 1970."""
    shown = list(settings)[:MOST_SETTINGS]
    while True:
        state = json.dumps(_state(digest, shown, goals), separators=(",", ":"))
        view = {"name": f"Sweep {without_credentials(name)[:60]}", "createdAt": at, "state": state}
        value = json.dumps(view, separators=(",", ":"))
        if len(value) <= MAX_CHARACTERS or not shown:
            return value
        shown.pop()


def _state(digest: str, settings: Sequence[str], goals: Sequence[str]) -> dict[str, Any]:
    figures = [_COSTS.get(goal, goal) for goal in goals if goal != "macs"]
    figures = list(dict.fromkeys([*figures, Metric.VAL_ACCURACY.value, Metric.VAL_LOSS.value]))
    columns = {
        _NAME_COLUMN: 200,
        f"tags.`{TRIAL_NUMBER}`": 90,
        **{f"metrics.`{key}`": 130 for key in figures},
        **{f"params.`{setting}`": 120 for setting in settings},
        f"tags.`{PRUNED}`": 110,
        f"metrics.`{Metric.TRAIN_SECONDS}`": 150,
    }
    section = {"uuid": _SECTION, "name": "Sweep", "display": True, "isReordered": True, "deleted": False}
    chart = {"metricSectionId": _SECTION, "deleted": False, "isGenerated": False}
    parallel = {
        "type": "PARALLEL",
        "uuid": "cvexp-sweep-parallel",
        "selectedParams": list(settings),
        "selectedMetrics": figures[:1],
        "showAllRuns": True,
        "runsCountToCompare": 100,
    }
    bars = {"type": "BAR", "uuid": "cvexp-sweep-bars", "metricKey": figures[0], "runsCountToCompare": 20}
    ascending = not figures[0].endswith("accuracy")
    return {
        "searchFilter": f"tags.`{SWEEP}` = '{digest}'",
        "orderByKey": f"metrics.`{figures[0]}`",
        "orderByAsc": ascending,
        "selectedColumns": [column for column in columns if column != _NAME_COLUMN],
        "columnOrder": list(columns),
        "columnWidths": columns,
        "runsHiddenMode": "SHOW_ALL",
        "hideEmptyCharts": True,
        "isAccordionReordered": True,
        "compareRunSections": [section | {"isGenerated": False, "columns": 1, "cardHeight": 420}],
        "compareRunCharts": [chart | parallel, chart | bars],
    }


def write_sweep_view(store: Store, *, name: str, digest: str, settings: Sequence[str], goals: Sequence[str]) -> None:
    """Write the view of the sweep with that digest to the store's experiment, once; it is in the menu *Views*.

    Raises:
        StoreError: The store cannot be written.
    """
    tag = TAG.format(digest=digest)
    with translated(store.settings):
        if tag in store.client.get_experiment(store.experiment_id).tags:
            return
        value = view_value(name=name, digest=digest, settings=settings, goals=goals, at=int(time.time() * 1000))
        store.client.set_experiment_tag(store.experiment_id, tag, value)
