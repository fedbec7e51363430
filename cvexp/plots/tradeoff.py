"""Accuracy against cost with intervals and the Pareto front: a row for each test set, a panel for each cost."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cvexp.plots.axes import accuracy_limits
from cvexp.plots.charts import STATUS_WORDS, Chart, Panel
from cvexp.plots.files import DPI
from cvexp.plots.lettering import elided, lines_within, text_inches
from cvexp.plots.ranking import draw_ranking, ranking_columns
from cvexp.plots.scatter import draw_panel, marker_style
from cvexp.plots.style import BLUE, INK, MUTED, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL_INCHES = (4.7, 3.9)
SMALL_PANEL_INCHES = (3.7, 3.3)
CROWDED_PANEL_INCHES = (4.7, 4.7)
"""For a picture of one panel that is shown in a narrow column; the larger one for more than MANY points."""

MANY = 12

TALLEST_PANEL = 7.5
ROW_INCHES = (0.26, 0.5)
"""Height of a model in the ranking: the least, and the most where there are few."""

_EDGE, _GUTTER, _TICK_LABELS = 0.2, 0.25, 0.75
_TITLE, _AXIS, _LINE = 0.36, 0.52, 0.17
_PANELS_ABREAST = 2
_SMALL = 8.5
_LEGEND, _LEGEND_MARK = 9.0, 0.6
_LONGEST_KEY = 8

FRONT = "the front"
CROSSES = (
    "Crosses are 95% intervals; a single measurement, or a mean with a collapsed seed, has none. "
    "Verdicts come from paired intervals, not from overlapping crosses."
)


def tradeoff(charts: Sequence[Chart], *, notes: Sequence[str] = ()) -> Figure:
    """Draw each chart: its ranking by accuracy beside its panels; a legend and the notes below."""
    return _draw(charts, _Layout(charts, with_ranking=True, panel=PANEL_INCHES, notes=notes))


def one_panel(chart: Chart, panel: Panel) -> Figure:
    """Draw one panel alone, as large as a narrow column; below it a legend, and the names that it has no room for."""
    charts = [replace(chart, title="", panels=(panel,))]
    size = CROWDED_PANEL_INCHES if len(panel.points) > MANY else SMALL_PANEL_INCHES
    return _draw(charts, _Layout(charts, with_ranking=False, panel=size, notes=()))


def _draw(charts: Sequence[Chart], layout: _Layout) -> Figure:
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(layout.width, layout.height), dpi=DPI)
    top = layout.height - _EDGE
    for chart in charts:
        if chart.title:
            x, y = _EDGE / layout.width, top / layout.height
            figure.text(x, y, plain(chart.title), va="top", fontsize=12.5, fontweight="bold", color=INK)
        numbered = _draw_panels(figure, layout, chart, top)
        if layout.with_ranking:
            _draw_ranking(figure, layout, chart, top, numbered=numbered)
        elif numbered:
            _key(figure, layout, [f"{k + 1}  {plain(chart.scores[k].label)}" for k in sorted(numbered)])
        top -= layout.chart_height(chart)
    _legend(figure, layout)
    return figure


def _key(figure: Figure, layout: _Layout, entries: Sequence[str]) -> None:
    """Write the numbers' names below the figure, which grows by them when it is saved."""
    n_columns = 1 if len(entries) <= _LONGEST_KEY else 2
    inches = (layout.width - 2 * _EDGE) / n_columns
    n_rows = -(-len(entries) // n_columns)
    for column in range(n_columns):
        lines = [elided(entry, inches - 0.1, _SMALL) for entry in entries[column * n_rows : (column + 1) * n_rows]]
        left = (_EDGE + column * inches) / layout.width
        figure.text(left, 0, "\n".join(lines), va="top", fontsize=_SMALL, color=INK, gid="key")


class _Layout:
    """Sizes in inches."""

    def __init__(
        self, charts: Sequence[Chart], *, with_ranking: bool, panel: tuple[float, float], notes: Sequence[str]
    ) -> None:
        self.panel_width, self.least_height = panel
        self.names, self.dots, self.values = ranking_columns([chart.scores for chart in charts])
        self.ranking = self.names + self.dots + self.values + _GUTTER if with_ranking else 0.0
        self.with_ranking = with_ranking
        abreast = min(_PANELS_ABREAST, max((len(chart.panels) for chart in charts), default=0))
        self.width = 2 * _EDGE + self.ranking + abreast * (_TICK_LABELS + self.panel_width) + max(0, abreast - 1) * 0.15
        shown = {point.status for chart in charts for panel in chart.panels for point in panel.points}
        self.statuses = [status for status in STATUS_WORDS if status in shown]
        self.n_columns = self._legend_columns([*(STATUS_WORDS[status] for status in self.statuses), FRONT])
        self.footer = [line for text in (CROSSES, *notes) for line in self.wrapped(text, self.width - 2 * _EDGE)]
        self.legend = 0.24 * -(-(len(self.statuses) + 1) // self.n_columns)
        self.height = sum(map(self.chart_height, charts)) + self.legend + len(self.footer) * _LINE + 2 * _EDGE

    def _legend_columns(self, entries: Sequence[str]) -> int:
        """As many as fit; each column is as wide as its widest entry."""
        widths = [text_inches(entry, _LEGEND) + _LEGEND_MARK for entry in entries]
        for n_columns in range(len(widths), 1, -1):
            rows = -(-len(widths) // n_columns)
            if sum(max(widths[k : k + rows]) for k in range(0, len(widths), rows)) <= self.width - 2 * _EDGE:
                return n_columns
        return 1

    @staticmethod
    def wrapped(text: str, inches: float) -> list[str]:
        return lines_within(plain(text), inches, _SMALL)

    def conditions(self, panel: Panel) -> list[str]:
        return self.wrapped(panel.conditions, self.panel_width + _TICK_LABELS / 2)

    def ranking_height(self, chart: Chart) -> float:
        least, most = ROW_INCHES
        n_rows = len(chart.scores)
        return n_rows * max(least, min(most, self.least_height / n_rows)) if self.with_ranking else 0.0

    def panel_height(self, chart: Chart) -> float:
        return min(TALLEST_PANEL, max(self.least_height, self.ranking_height(chart)))

    def panel_rows(self, chart: Chart) -> list[tuple[Panel, ...]]:
        return [chart.panels[k : k + _PANELS_ABREAST] for k in range(0, len(chart.panels), _PANELS_ABREAST)]

    def row_height(self, chart: Chart, panels: Sequence[Panel]) -> float:
        lines = max(len(self.conditions(panel)) for panel in panels)
        return _TITLE + self.panel_height(chart) + _AXIS + lines * _LINE + 0.15

    def heading(self, chart: Chart) -> float:
        return 0.32 if chart.title else 0.0

    def chart_height(self, chart: Chart) -> float:
        panels = sum(self.row_height(chart, row) for row in self.panel_rows(chart))
        ranking = _TITLE + self.ranking_height(chart) + _AXIS if self.with_ranking else 0.0
        return self.heading(chart) + max(panels, ranking) + 0.1


def _axes(figure: Figure, layout: _Layout, *, left: float, top: float, width: float, height: float) -> Axes:
    """Axes whose frame is at the given inches from the left and the bottom edge of the figure."""
    box = (left / layout.width, (top - height) / layout.height, width / layout.width, height / layout.height)
    return figure.add_axes(box)


def _draw_panels(figure: Figure, layout: _Layout, chart: Chart, top: float) -> set[int]:
    """Draw the panels, and give the indices of the scores that a panel had only room to number."""
    numbered: set[int] = set()
    limits = accuracy_limits(chart.scores)
    top -= layout.heading(chart)
    width, height = layout.panel_width, layout.panel_height(chart)
    for row in layout.panel_rows(chart):
        for k, panel in enumerate(row):
            left = _EDGE + layout.ranking + _TICK_LABELS + k * (_TICK_LABELS + width + 0.15)
            axes = _axes(figure, layout, left=left, top=top - _TITLE, width=width, height=height)
            axes.set_title(plain(panel.title), loc="left", fontsize=10.5, fontweight="bold", color=INK)
            numbered |= draw_panel(axes, panel, chart, limits)
            below = -(_AXIS + 0.02) / height
            text = "\n".join(layout.conditions(panel))
            axes.text(
                0, below, text, transform=axes.transAxes, va="top", fontsize=_SMALL, color=MUTED, gid="conditions"
            )
        top -= layout.row_height(chart, row)
    return numbered


def _draw_ranking(figure: Figure, layout: _Layout, chart: Chart, top: float, *, numbered: set[int]) -> None:
    top -= layout.heading(chart) + _TITLE
    height = layout.ranking_height(chart)
    axes = _axes(figure, layout, left=_EDGE + layout.names, top=top, width=layout.dots, height=height)
    draw_ranking(axes, chart, names=layout.names, numbered=numbered)


def _legend(figure: Figure, layout: _Layout) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], linestyle="", label=STATUS_WORDS[status], **marker_style(status)) for status in layout.statuses
    ]
    handles.append(Line2D([], [], color=BLUE, linewidth=1.4, alpha=0.45, label=FRONT))
    bottom = (_EDGE + len(layout.footer) * _LINE) / layout.height
    anchor = (_EDGE / layout.width, bottom)
    figure.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=anchor,
        ncols=layout.n_columns,
        frameon=False,
        fontsize=_LEGEND,
        borderpad=0,
        borderaxespad=0,
        handletextpad=0.4,
        columnspacing=1.6,
    )
    footer = "\n".join(layout.footer)
    figure.text(_EDGE / layout.width, bottom - 0.06 / layout.height, footer, va="top", fontsize=_SMALL, color=MUTED)
