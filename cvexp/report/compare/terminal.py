"""A comparison on the terminal: a table for each test set, or stacked rows where the terminal is too narrow for one."""

from collections.abc import Sequence

from rich.cells import cell_len
from rich.table import Table as RichTable
from rich.text import Text

from cvexp.comparison.figures import MISSING
from cvexp.comparison.groups import Group
from cvexp.comparison.tables import Table
from cvexp.jobs.compare import Comparison
from cvexp.report.compare.cells import Column, caption_of, columns_of, folded, split_constant
from cvexp.report.compare.pair import show_pair
from cvexp.report.terminal import cell, console, hint, say, table
from cvexp.text import clean

GAP, EDGES = 3, 2
"""Blanks between two columns of a table, and at its ends."""

NARROWEST = 12
"""Of a column that wraps."""


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
    fitting, hidden = _fitted(columns, shown, out.width)
    if _width(fitting, shown) > out.width:
        fitting, hidden = _fitted(folded(columns), shown, out.width)
    if _width(fitting, shown) <= out.width:
        out.print(_table(shown, fitting))
    else:
        hidden = []
        _show_stacked(shown, columns, out.width)
    for sentence in shown.sentences:
        say(sentence)
    for line in caption_of(shown, shared, hidden):
        say(line, "dim")


def _fitted(columns: Sequence[Column], shown: Table, width: int) -> tuple[list[Column], list[str]]:
    """The columns without those that have to be dropped to fit, as far as they may be, and the headers of these."""
    kept, hidden = list(columns), []
    while _width(kept, shown) > width:
        dropped = max(kept, key=lambda column: column.priority)
        if not dropped.priority:
            break
        kept.remove(dropped)
        hidden.append(dropped.header)
    return kept, hidden


def _width(columns: Sequence[Column], shown: Table) -> int:
    """Of the whole table, columns that wrap at their narrowest."""
    widths = (max(map(cell_len, _pieces(column, shown))) for column in columns)
    return sum(widths) + GAP * (len(columns) - 1) + EDGES


def _pieces(column: Column, shown: Table) -> list[str]:
    """What must not be broken: whole cells; of the settings, the words."""
    texts = [column.header, *(clean(column.text(group)) for group in shown.groups)]
    below = [] if column.below is None else [clean(column.below(group)) for group in shown.groups]
    if column.wraps:
        return ["-" * NARROWEST, *below, *(word for text in texts for word in text.split())]
    return texts


def _table(shown: Table, columns: Sequence[Column]) -> RichTable:
    made = table(*(f">{column.header}" if column.figure else column.header for column in columns))
    for column, drawn in zip(columns, made.columns, strict=True):
        drawn.no_wrap = not column.wraps
        drawn.min_width = max(map(cell_len, _pieces(column, shown)))
    for group in shown.groups:
        made.add_row(*(_cell(column, group, shown) for column in columns))
    return made


def _cell(column: Column, group: Group, shown: Table) -> Text:
    style = column.style(group, shown)
    made = cell(column.text(group), style)
    if column.below is not None:
        made.append("\n")
        made.append_text(cell(column.below(group), "dim"))
    return made


def _show_stacked(shown: Table, columns: Sequence[Column], width: int) -> None:
    """Print each group as a paragraph: what it is called, then its figures, none of them broken over two lines."""
    for group in shown.groups:
        named = [
            text for column in columns if column.name in ("model", "settings", "front") if (text := column.text(group))
        ]
        say(" ".join(named) or group.label, "bold" if group.label == shown.best else "")
        rest = {c.header: c.text(group) for c in columns if c.name not in ("model", "settings", "front")}
        pieces = [f"{header} {text}" for header, text in rest.items() if text != MISSING]
        for line in _filled(pieces, width - GAP):
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
