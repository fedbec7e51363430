"""From a comparison to pictures: which models, which costs, under which conditions, and who is on the front."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cvexp.comparison.bench import bench_conditions
from cvexp.comparison.figures import better, figure_of, key_in_words
from cvexp.comparison.front import front_of
from cvexp.comparison.groups import best_first
from cvexp.errors import ConfigError
from cvexp.plots.charts import STATUS_WORDS, Chart, Panel, Point, Score
from cvexp.plots.files import as_svg, save
from cvexp.plots.tradeoff import one_panel, tradeoff
from cvexp.results import Metric

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from cvexp.comparison.groups import Group
    from cvexp.comparison.tables import Standing, Table
    from cvexp.runs import RunSummary
    from cvexp.settings import StoreSettings

COSTS: dict[str, tuple[str, str]] = {
    Metric.TRAIN_SECONDS: ("against training time", "training time (seconds)"),
    Metric.LATENCY_MS: ("against latency", "latency of one image (ms)"),
}
"""What pictures show accuracy against, besides the objectives of the front: a title and an axis."""

MAX_DRAWN = 40
"""Models that a picture can show, all test sets together."""

MAX_DRAWN_SETS = 8
MAX_CONDITIONS = 4
"""Panels for one cost that was measured under different conditions; those with the most models."""

LONGEST_CONDITION = 80


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """One panel as SVG, for the table of `test_set`; `alt` says in words what it shows."""

    test_set: str
    svg: bytes
    alt: str


def draw(tables: Sequence[Table], settings: StoreSettings, path: Path) -> tuple[str, ...]:
    """Draw the groups of all tables to `path`, and say what the picture leaves out.

    Raises:
        ConfigError: There is nothing to draw; InputError, where the path cannot be written.
    """
    charts, notes = charts_of(tables)
    if not charts:
        raise ConfigError("there is no finished run to draw", f"train one first: {settings.command('train', 'linear')}")
    save(tradeoff(charts, notes=notes), path)
    return notes


def pictures(tables: Sequence[Table]) -> tuple[Picture, ...]:
    """Each panel of the tables as a picture of its own."""
    charts, _ = charts_of(tables, titled=True)
    return tuple(
        Picture(test_set=chart.title, svg=as_svg(one_panel(chart, panel)), alt=_in_words(chart, panel))
        for chart in charts
        for panel in chart.panels
    )


def charts_of(tables: Sequence[Table], *, titled: bool = False) -> tuple[list[Chart], tuple[str, ...]]:
    """A chart for each test set with accuracies, and what is left out, in sentences; titled where there are several."""
    drawable = {table.test_set: _drawable(table) for table in tables}
    sets = sorted((table for table in tables if drawable[table.test_set]), key=lambda t: -len(drawable[t.test_set]))
    kept = [table for table in tables if table in sets[:MAX_DRAWN_SETS]]
    share = MAX_DRAWN // max(1, len(kept))
    charts = [
        _chart(table, drawable[table.test_set][:share], title=table.test_set if titled or len(kept) > 1 else "")
        for table in kept
    ]
    notes = []
    if len(sets) > len(kept):
        notes.append(f"The picture shows {len(kept)} of {len(sets):,} test sets, those with the most models.")
    n_drawn = sum(len(chart.scores) for chart in charts)
    n_drawable = sum(len(drawable[table.test_set]) + table.n_left_out for table in kept)
    if n_drawn < n_drawable:
        notes.append(
            f"The picture shows {n_drawn:,} of {n_drawable:,} models, the most accurate of those in the tables; "
            "compare fewer with --where."
        )
    return charts, tuple(notes)


def _drawable(table: Table) -> list[Group]:
    """The groups with the accuracy that the table is by, the most accurate first."""
    return [g for g in best_first(table.groups, table.quality) if math.isfinite(_mean(g, table.quality))]


def _mean(group: Group, key: str) -> float:
    mean = group.mean(key)
    return math.nan if mean is None else mean


def _chart(table: Table, groups: Sequence[Group], *, title: str) -> Chart:
    others = [key for key in table.front.objectives if key != table.quality and better(figure_of(key)) < 0]
    costs = list(dict.fromkeys([*map(str, COSTS), *others]))
    panels = [panel for key in costs for panel in _panels(table, groups, key)]
    scores = tuple(_score(group, table.quality) for group in groups)
    return Chart(title=title, scores=scores, panels=tuple(panels), quality=key_in_words(table.quality))


def _score(group: Group, quality: str) -> Score:
    found = group.figure(quality)
    collapsed = f"{group.n_collapsed} of {group.n} collapsed" if group.n_collapsed and group.n > 1 else ""
    known = found is not None and not collapsed
    return Score(
        label=group.label,
        accuracy=_mean(group, quality),
        low=found.low if known and found is not None else None,
        high=found.high if known and found is not None else None,
        n=group.n if found is None else found.n,
        note=collapsed,
    )


def _panels(table: Table, groups: Sequence[Group], key: str) -> list[Panel]:
    """A panel for each of the conditions under which a cost was measured."""
    shared = figure_of(key).conditions == "training"  # by exported files with their run
    entries = {k: group for k, group in enumerate(groups) if not (shared and group.first.export)}
    measured = {k: group for k, group in entries.items() if 0 < _mean(group, key) < math.inf}
    if not measured:
        return []
    standings = front_of(
        table.groups,
        (table.quality, key),
        table.arms,
        margin=table.margin,
        n_classes=table.n_classes,
        quality=table.quality,
    ).standings
    letters: dict[str, list[int]] = {}
    for k, group in measured.items():
        letters.setdefault(group.conditions_of(key), []).append(k)
    most = sorted(letters, key=lambda letter: -len(letters[letter]))[:MAX_CONDITIONS]
    title, cost = COSTS.get(key) or _names(key)
    title = f"{key_in_words(table.quality).removeprefix('test ').capitalize()} {title}"
    return [
        Panel(
            title=f"{title}, conditions {letter}" if len(letters) > 1 else title,
            cost=cost,
            conditions=_conditions(measured[letters[letter][0]], key),
            points=tuple(_point(k, measured[k], key, standings) for k in letters[letter]),
        )
        for letter in letters
        if letter in most
    ]


def _names(key: str) -> tuple[str, str]:
    figure = figure_of(key)
    unit = f" ({figure.unit})" if figure.unit and figure.unit not in figure.header else ""
    return f"against {figure.header}", f"{figure.header}{unit}"


def _point(score: int, group: Group, key: str, standings: Mapping[str, Standing]) -> Point:
    found = group.figure(key)
    standing = standings.get(group.label)
    return Point(
        score=score,
        cost=_mean(group, key),
        low=None if found is None else found.low,
        high=None if found is None else found.high,
        status="unplaced" if standing is None else standing.status,
    )


def _conditions(group: Group, key: str) -> str:
    """The conditions of a cost in words."""
    kind = figure_of(key).conditions
    pool = group.pool(key)
    if not kind or not pool:
        return ""
    return _bench_words(pool[0]) if kind == "bench" else _training_words(pool[0])


def _bench_words(run: RunSummary) -> str:
    found = bench_conditions(run)
    return "" if found is None else f"Measured on {_short(found.words)}, one image at a time."


def _training_words(run: RunSummary) -> str:
    found = run.conditions
    if not found:
        return ""
    known = {name: _short(found[name]) for name in found}
    words = [
        f"Trained on {known.get('device', 'an unknown device')}",
        f"threads {known['threads']}" if "threads" in known else "",
        f"batch {known['batch_size']}" if "batch_size" in known else "",
        f"{known['epochs']} epoch{'' if known['epochs'] == '1' else 's'}" if "epochs" in known else "",
        f"{_thousands(found['train_images'])} images" if "train_images" in found else "",
        f"torch {known['torch']}" if "torch" in known else "",
        known.get("precision", ""),
        f"{known['step_runner']} steps" if known.get("step_runner", "unknown") != "unknown" else "",
        f"augment {known['augment']}" if "augment" in known else "",
        f"features {known['features']}" if "features" in known else "",
    ]
    return ", ".join(filter(None, words)) + "."


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= LONGEST_CONDITION else text[: LONGEST_CONDITION - 1] + "…"


def _thousands(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else _short(value)


def _in_words(chart: Chart, panel: Panel) -> str:
    """What a panel shows, for those who cannot see it."""
    points = sorted(panel.points, key=lambda point: point.cost)
    said = [
        f"{chart.scores[p.score].label}: {chart.scores[p.score].accuracy:.2%}, {p.cost:,.4g}, {STATUS_WORDS[p.status]}"
        for p in points
    ]
    return f"{panel.title}; {panel.cost}. {'; '.join(said)}. {panel.conditions}"
