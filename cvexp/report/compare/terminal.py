"""A comparison on the terminal: a table for each test set, or stacked rows where the terminal is too narrow for one."""

from collections.abc import Sequence

from rich.cells import cell_len
from rich.table import Table as RichTable

from cvexp.comparison.tables import Table
from cvexp.jobs.compare import Comparison
from cvexp.report.compare.cells import Column, caption_of, columns_of, split_constant
from cvexp.report.compare.pair import show_pair
from cvexp.report.terminal import cell, console, hint, say, table
from cvexp.text import clean

GAP = 2
"""Columns between two of a table."""

NARROWEST_SETTINGS = 12


def show(comparison: Comparison) -> None:
    """Print the tables fitted to the terminal; below each its verdicts, and what has to be known to read it."""
    if not comparison.runs:
        hint(*(comparison.notes or ("no run here matches",)))
        return
    for one in comparison.tables:
        if len(comparison.tables) > 1:
            say(f"test set {one.test_set}", "bold")
        _show_table(comparison, one)
    if comparison.pick is not None:
        for line in comparison.pick.sentences:
            say(line)
    if comparison.pair is not None:
        show_pair(comparison.pair)
    for line in comparison.captions:
        say(line, "dim")
    hint(*comparison.notes)


def _show_table(comparison: Comparison, shown: Table) -> None:
    out = console()
    shared, columns = split_constant(columns_of(comparison, shown), shown)
    hidden: list[str] = []
    while _width(columns, shown) > out.width:
        dropped = max(columns, key=lambda column: column.priority)
        if not dropped.priority:
            break
        columns.remove(dropped)
        hidden.append(dropped.header)
    if _width(columns, shown, narrowest=True) <= out.width:
        out.print(_table(shown, columns))
    else:
        _show_stacked(shown, columns, out.width)
    for sentence in shown.sentences:
        say(sentence)
    for line in caption_of(shown, shared, hidden):
        say(line, "dim")


def _width(columns: Sequence[Column], shown: Table, *, narrowest: bool = False) -> int:
    """Of the whole table; at its narrowest, the settings are wrapped between words."""
    total = GAP * (len(columns) - 1)
    for column in columns:
        texts = [column.header, *(clean(column.text(group)) for group in shown.groups)]
        if narrowest and column.name == "settings":
            words = [word for text in texts for word in text.split()]
            total += max([NARROWEST_SETTINGS, *map(cell_len, words)])
        else:
            total += max(map(cell_len, texts))
    return total


def _table(shown: Table, columns: Sequence[Column]) -> RichTable:
    made = table(*(f">{column.header}" if column.figure else column.header for column in columns))
    for column, drawn in zip(columns, made.columns, strict=True):
        drawn.no_wrap = column.name != "settings"
    for group in shown.groups:
        made.add_row(*(cell(column.text(group), column.style(group, shown)) for column in columns))
    return made


def _show_stacked(shown: Table, columns: Sequence[Column], width: int) -> None:
    """Print each group as a paragraph: what it is called, then its figures, none of them broken over two lines."""
    for group in shown.groups:
        named = [text for column in columns if column.name in ("model", "settings", "front") if (text := column.text(group))]
        say(" ".join(named) or group.label, "bold" if group.label == shown.best else "")
        rest = [c for c in columns if c.name not in ("model", "settings", "front")]
        for line in _filled([f"{c.header} {c.text(group)}" for c in rest], width - GAP):
            say(f"{' ' * GAP}{line}", "dim" if shown.front.of(group.label).status == "off" else "")
    say("")


def _filled(pieces: Sequence[str], width: int) -> list[str]:
    """The pieces in lines of at most `width` columns; a piece that is longer has a line of its own."""
    lines: list[str] = []
    for piece in pieces:
        if lines and cell_len(lines[-1]) + 3 + cell_len(piece) <= width:
            lines[-1] += f"   {piece}"
        else:
            lines.append(piece)
    return lines
