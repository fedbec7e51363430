"""A comparison as CSV and as Markdown."""

import csv
import io
from typing import Any

from cvexp.comparison.groups import Group
from cvexp.comparison.tables import Table
from cvexp.jobs.compare import Comparison
from cvexp.report.compare.cells import caption_of, columns_of
from cvexp.report.compare.document import interval_of, records
from cvexp.text import inert, markdown


def to_csv(comparison: Comparison) -> str:
    """A row a run with every parameter and metric, at full precision, and the figures of its group under `group.`.

    No text cell can start a formula.
    """
    of_group = {
        run.run_id: _group_cells(group, table)
        for table in comparison.tables
        for group in table.groups
        for run in group.runs
    }
    rows = [
        {
            **{key: value for key, value in record.items() if not isinstance(value, dict)},
            **of_group.get(record["run_id"], {}),
            **{f"params.{key}": value for key, value in record["params"].items()},
            **{f"metrics.{key}": value for key, value in record["metrics"].items()},
        }
        for record in records(comparison)
    ]
    header = list(dict.fromkeys(key for row in rows for key in row))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, header, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: inert(value) for key, value in row.items()} for row in rows)
    return stream.getvalue()


def _group_cells(group: Group, table: Table) -> dict[str, Any]:
    standing = table.front.of(group.label)
    cells: dict[str, Any] = {
        "group": group.label,
        "group.n": group.n,
        "group.on_front": standing.on_front,
        "group.dominated_by": standing.dominated_by,
    }
    if group.n > 1:
        for key in group.keys:
            interval = interval_of(group, key)
            cells |= {f"group.{key}.{name}": value for name, value in interval.items()} if interval else {}
    return cells


def to_markdown(comparison: Comparison) -> str:
    """The tables, with every column, and the sentences below them, as Markdown."""
    parts = []
    for table in comparison.tables:
        if len(comparison.tables) > 1:
            parts.append(f"**test set {markdown(table.test_set)}**\n")
        parts += [_markdown_table(comparison, table), ""]
        lines = [*table.sentences, *caption_of(table, {})]
        parts += [*(f"{markdown(line)}  " for line in lines), ""] if lines else []
    closing = [*(comparison.pick.sentences if comparison.pick else ()), *comparison.captions]
    parts += [f"{markdown(line)}  " for line in closing]
    return "\n".join(parts).rstrip("\n") + "\n"


def _markdown_table(comparison: Comparison, table: Table) -> str:
    columns = columns_of(comparison, table)
    lines = [
        "| " + " | ".join(markdown(column.header) for column in columns) + " |",
        "|" + "|".join("---:" if column.figure else "---" for column in columns) + "|",
    ]
    for group in table.groups:
        cells = []
        for column in columns:
            mark = "**" if column.style(group, table) == "bold" else ""
            cells.append(f"{mark}{markdown(column.text(group))}{mark}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
