"""What pictures of models show: accuracies, costs, and who is on the front. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["on", "undecided", "off", "unplaced"]
"""On the front; dominated in the point estimates only; shown to be dominated; not to be ranked."""

STATUS_WORDS: dict[Status, str] = {
    "on": "on the front",
    "undecided": "beaten in the point estimates only",
    "off": "beaten: another is better on one axis and not worse on the other",
    "unplaced": "not ranked: other conditions, or a busy machine",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """A model's test accuracy, in [0, 1]: the mean over `n` runs and its interval, None for a single run.

    `label` is its name in the picture, `note` what to know about it, such as a collapsed seed.
    """

    label: str
    accuracy: float
    low: float | None = None
    high: float | None = None
    n: int = 1
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """What the model `scores[score]` costs, larger than 0, with its interval; and whether it is on the front."""

    score: int
    cost: float
    low: float | None = None
    high: float | None = None
    status: Status = "on"


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """Costs that were measured under the same `conditions`, which are said below the panel.

    `cost` names the horizontal axis with its unit: `training time (seconds)`.
    """

    title: str
    cost: str
    conditions: str
    points: tuple[Point, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """Models that were measured on the same test images, the most accurate first; `quality` names their accuracy."""

    title: str
    scores: tuple[Score, ...]
    panels: tuple[Panel, ...]
    quality: str = "test accuracy"
