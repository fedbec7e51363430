"""The parts of a comparison as HTML: answer, tables, pictures; the same texts as in the other formats."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cvexp.report.compare.cells import caption_of, columns_of, split_constant
from cvexp.report.compare.pair import NOTHING_DIFFERS, differing_rows, pair_sentences, recall_row
from cvexp.report.html.elements import Html, bullets, element, joined, paragraphs, picture, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cvexp.comparison.groups import Group
    from cvexp.comparison.pair import Pair
    from cvexp.comparison.tables import Pick, Table
    from cvexp.jobs.changed_images import Deciding
    from cvexp.jobs.compare import Comparison
    from cvexp.jobs.drawing import Picture
    from cvexp.report.compare.cells import Column

SHOWN_RECALLS = 30
_WIDE = ("settings", "run", "seeds")
_NAMES = ("model", "settings", "run")


def answer(pick: Pick | None) -> Html | None:
    """What was chosen, and why."""
    if pick is None:
        return None
    return element("section", element("h2", "The pick"), paragraphs(pick.sentences), class_="answer")


def test_set(comparison: Comparison, shown: Table, pictures: Sequence[Picture]) -> Html:
    """A table of groups with its verdicts, what has to be known to read it, and its pictures."""
    shared, columns = split_constant(columns_of(comparison, shown), shown)
    verdicts = bullets(shown.sentences)
    drawn = [element("figure", picture(one.svg, alt=one.alt)) for one in pictures if one.test_set == shown.test_set]
    return element(
        "section",
        element("h2", f"Test set {shown.test_set}"),
        verdicts and element("div", element("h3", "Verdicts"), verdicts, class_="answer"),
        _table(shown, columns),
        element("div", paragraphs(caption_of(shown, shared)), class_="caption"),
        element("div", *drawn, class_="figures") if drawn else None,
    )


def pair_section(pair: Pair | None) -> Html | None:
    """What sets two groups apart: what differs, recall by class, images gained and lost."""
    if pair is None:
        return None
    rows = [[element("td", text) for text in (kind, one.name, one.a, one.b)] for kind, one in differing_rows(pair)]
    header = [element("th", text, scope="col") for text in ("kind", "differs", pair.a, pair.b)]
    return element(
        "section",
        element("h2", f"{pair.a} and {pair.b} side by side"),
        table(header, rows, caption="What differs") if rows else element("p", NOTHING_DIFFERS),
        _recalls(pair) if pair.recalls else None,
        paragraphs(pair_sentences(pair)) if pair.n_images else None,
    )


def images_section(found: Deciding | None) -> Html | None:
    """The images that one of the two groups that decide gets right and the other wrong, or what is missing for it."""
    if found is None:
        return None
    alt = f"Test images that {found.b} classifies correctly and {found.a} does not, and the other way round."
    shown = element("figure", picture(found.png, alt=alt, kind="png"), class_="grid") if found.png else None
    title = f"Images gained and lost: from {found.a} to {found.b}"
    return element("section", element("h2", title), shown or element("p", found.why, class_="about"))


def _recalls(pair: Pair) -> Html:
    names = ("recall of", "images", pair.a, pair.b, "change in points", "95% interval")
    header = [element("th", name, scope="col", class_="number" if k else None) for k, name in enumerate(names)]
    rows = []
    for one in pair.recalls[:SHOWN_RECALLS]:
        name, *figures = recall_row(one)
        style = "number best" if one.is_clear else "number"
        rows.append([element("th", name, scope="row"), *(element("td", text, class_=style) for text in figures)])
    more = len(pair.recalls) - len(rows)
    caption = "Recall by class, the largest change first; bold where the class's own interval excludes 0"
    return joined(
        table(header, rows, caption=caption),
        element("p", f"{more:,} more classes changed less.", class_="about") if more > 0 else None,
    )


def _table(shown: Table, columns: Sequence[Column]) -> Html:
    header = [element("th", column.header, scope="col", class_=_kind(column)) for column in columns]
    rows = [
        [_cell(column, group, shown, is_first=column is columns[0]) for column in columns] for group in shown.groups
    ]
    return table(header, rows, caption=_heading(shown))


def _heading(shown: Table) -> str:
    n_groups, n_runs = len(shown.groups), sum(group.n for group in shown.groups)
    models = f"{n_groups:,} model{'' if n_groups == 1 else 's'}"
    return models if n_runs == n_groups else f"{models}, {n_runs:,} runs"


def _kind(column: Column) -> str | None:
    return "number" if column.figure else "wide" if column.name in _WIDE else None


def _cell(column: Column, group: Group, shown: Table, *, is_first: bool) -> Html:
    style = {"bold": "best"}.get(column.style(group, shown), column.style(group, shown))
    classes = " ".join(filter(None, (_kind(column), style))) or None
    if is_first and column.name in _NAMES:
        return element("th", column.text(group), scope="row", class_=classes)
    return element("td", column.text(group), class_=classes)


def conditions(comparison: Comparison) -> Html | None:
    """What holds for all tables."""
    lines = [*comparison.captions, *comparison.notes]
    return joined(element("h2", "Also to be known"), bullets(lines)) if lines else None
