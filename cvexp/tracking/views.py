"""The saved view of an experiment's page in MLflow: accuracy against speed and size, runs of one recipe as one group.

MLflow 3.17 lists the tags `mlflow.sharedViewState.<id>` of an experiment in the menu *Views*; a link may name one. The
keys of the state are those of MLflow's own pages.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from cvexp.results import Metric
from cvexp.runs import FRONT, RECIPE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cvexp.tracking.store import Store

NAME = "Accuracy against speed"
VIEW_ID = "cvexp-accuracy-against-speed"
VIEW_TAG = f"mlflow.sharedViewState.{VIEW_ID}"
VERSION = 1
"""Of the view's content: raise it when the view changes, so that the view of existing experiments is replaced."""

VERSION_TAG = "cvexp.view_version"
"""The experiment's tag with the version that was written."""

TRAINING_PAGES = "workflowType=machine_learning"
"""In a link: the pages for training models; MLflow opens in those for language models."""

MAX_CHARACTERS = 5000
"""Of an experiment's tag, in every kind of store that MLflow has."""

_SECTION = "cvexp-section"
_N_COLUMNS, _CARD_HEIGHT = 2, 320  # of charts; pixels
_NAME_COLUMN = "attributes.`Run Name`"
_COLUMNS = {
    _NAME_COLUMN: 300,
    f"metrics.`{Metric.TEST_ACCURACY}`": 130,
    f"metrics.`{Metric.VAL_ACCURACY}`": 130,
    f"metrics.`{Metric.TRAIN_SECONDS}`": 160,
    f"metrics.`{Metric.LATENCY_MS}`": 140,
    f"metrics.`{Metric.PARAMETERS}`": 130,
    f"metrics.`{Metric.BYTES}`": 120,
    "params.`model`": 100,
    "params.`dataset`": 100,
    "params.`seed`": 70,
    f"tags.`{FRONT}`": 170,
}
"""Widths in pixels, by column."""


def view_state() -> dict[str, Any]:
    """What the page shows: columns and widths, the grouping by model and recipe, scatter plots and bar charts.

    The charts show the mean of each group; a row of the table opens to the runs of its group.
    """
    measures = (Metric.TRAIN_SECONDS, Metric.LATENCY_MS, Metric.PARAMETERS)
    charts = [_scatter(measure, Metric.TEST_ACCURACY) for measure in measures]
    charts += [_bars(metric) for metric in (Metric.TEST_ACCURACY, *measures[:2])]
    section = {"uuid": _SECTION, "name": NAME, "display": True, "isReordered": True, "deleted": False}
    keys = [("param", "model"), ("tag", RECIPE)]
    return {
        "selectedColumns": [column for column in _COLUMNS if column != _NAME_COLUMN],
        "columnOrder": list(_COLUMNS),
        "columnWidths": _COLUMNS,
        "runsHiddenMode": "SHOW_ALL",
        "groupBy": {
            "aggregateFunction": "average",
            "groupByKeys": [{"mode": mode, "groupByData": key} for mode, key in keys],
        },
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "isAccordionReordered": True,  # else the sections are sorted by name
        "compareRunSections": [section | {"isGenerated": False, "columns": _N_COLUMNS, "cardHeight": _CARD_HEIGHT}],
        "compareRunCharts": charts,
    }


def _scatter(x: Metric, y: Metric) -> dict[str, Any]:
    axes = {name: {"key": metric, "type": "METRIC"} for name, metric in (("xaxis", x), ("yaxis", y))}
    return _chart("SCATTER", x) | axes | {"runsCountToCompare": 100}


def _bars(metric: Metric) -> dict[str, Any]:
    return _chart("BAR", metric) | {"metricKey": metric, "runsCountToCompare": 20}


def _chart(kind: str, metric: Metric) -> dict[str, Any]:
    """A chart of our section; MLflow writes the keys of its metrics above it."""
    own = {"type": kind, "uuid": f"cvexp-{kind.lower()}-{metric.name.lower()}", "metricSectionId": _SECTION}
    return own | {"deleted": False, "isGenerated": False}


def view_value(*, at: int) -> str:
    """The tag's value, under `MAX_CHARACTERS`; `at` is when the view is written, in milliseconds since 1970."""
    state = json.dumps(view_state(), separators=(",", ":"))
    return json.dumps({"name": NAME, "createdAt": at, "state": state}, separators=(",", ":"))


def write_view(store: Store) -> None:
    """Write the view to the store's experiment where its version was not written yet; other views are left as they are.

    So is this one once the user has overridden it, and where the user has deleted it, until the version changes. One
    call of MLflow where there is nothing to do. Raises what MLflow does.
    """
    tags = _tags(store)
    if _version(tags) >= VERSION:
        return
    if not _is_overridden(tags.get(VIEW_TAG, "")):
        store.client.set_experiment_tag(store.experiment_id, VIEW_TAG, view_value(at=int(time.time() * 1000)))
    store.client.set_experiment_tag(store.experiment_id, VERSION_TAG, str(VERSION))


def has_view(store: Store) -> bool:
    """Whether the experiment has the view: the user may have deleted it. Raises what MLflow does."""
    return VIEW_TAG in _tags(store)


def _is_overridden(value: str) -> bool:
    """Whether MLflow's page wrote the view's tag anew ("Override saved view"): then it says when."""
    try:
        return "updatedAt" in json.loads(value)
    except (ValueError, TypeError, RecursionError):  # there is none, or it is damaged
        return False


def _tags(store: Store) -> Mapping[str, str]:
    tags: Mapping[str, str] = store.client.get_experiment(store.experiment_id).tags
    return tags


def _version(tags: Mapping[str, str]) -> int:
    written = tags.get(VERSION_TAG, "")
    return int(written) if written.isascii() and written.isdigit() and len(written) < 10 else 0  # noqa: PLR2004 - a store's content is untrusted
