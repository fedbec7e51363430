"""A comparison as one HTML file to send around: tables, verdicts, pictures, how figures were measured, provenance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cvexp.jobs.changed_images import deciding_images
from cvexp.jobs.drawing import pictures
from cvexp.report.compare.cells import columns_of
from cvexp.report.html.definitions import definitions
from cvexp.report.html.elements import element, page, terms
from cvexp.report.html.provenance import provenance
from cvexp.report.html.sections import answer, conditions, images_section, pair_section, test_set
from cvexp.settings import VERSION

if TYPE_CHECKING:
    from datetime import datetime

    from cvexp.jobs.compare import Comparison


def to_html(comparison: Comparison, *, made_at: datetime) -> str:
    """The whole report with its pictures; `made_at` is in UTC.

    It loads nothing, and texts from the store cannot act in it.
    """
    drawn = pictures(comparison.tables)
    columns = {column.name: column for table in comparison.tables for column in columns_of(comparison, table)}
    n_runs = len(comparison.runs)
    about = f"{n_runs:,} run{'' if n_runs == 1 else 's'}, made {made_at:%Y-%m-%d %H:%M} UTC by cvexp {VERSION}"
    measured = definitions(comparison.tables, list(columns.values()))
    return page(
        f"Comparison: {comparison.experiment}",
        element("h1", f"Which one to ship: {comparison.experiment}"),
        element("p", about, class_="about"),
        answer(comparison.pick),
        *(test_set(comparison, table, drawn) for table in comparison.tables),
        None if comparison.tables else element("p", "No run here matches."),
        pair_section(comparison.pair),
        images_section(deciding_images(comparison, data_dir=comparison.data_dir)),
        conditions(comparison),
        element("section", element("h2", "How the figures were measured"), terms(measured)) if measured else None,
        element("section", element("h2", "Where the figures come from"), provenance(comparison.runs))
        if n_runs
        else None,
    )
