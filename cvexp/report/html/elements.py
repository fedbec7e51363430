"""HTML elements; every text is escaped, and control characters are replaced, unless it was made here."""

from __future__ import annotations

import base64
import html
from pathlib import Path
from typing import Any

from cvexp.text import clean

VOID = ("meta", "img", "br")
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""The file loads nothing and runs nothing, whatever text from a store is in it."""


class Html(str):
    """Markup that is written as it is; all other text is escaped."""

    __slots__ = ()


def text(value: object) -> Html:
    """A value as text: markup unchanged, anything else escaped."""
    return value if isinstance(value, Html) else Html(html.escape(clean(value), quote=True))


def element(tag: str, *content: object, **attributes: str | None) -> Html:
    """An element; attributes that are None are left out, `_` in their names is `-`, and `class_` is `class`."""
    pairs = ((key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items() if value is not None)
    written = "".join(f' {key}="{text(value)}"' for key, value in pairs)
    opening = f"<{tag}{written}>"
    if tag in VOID:
        return Html(opening)
    return Html(f"{opening}{joined(*content)}</{tag}>")


def joined(*parts: object) -> Html:
    """Parts one after the other; those that are None left out."""
    return Html("".join(text(part) for part in parts if part is not None))


def picture(data: bytes, *, alt: str, kind: str = "svg+xml") -> Html:
    """An SVG or PNG as an image: the identifiers of an SVG stay its own, and a script in it would not run."""
    encoded = base64.b64encode(data).decode("ascii")
    return element("img", src=f"data:image/{kind};base64,{encoded}", alt=alt)


def table(header: list[Html], rows: list[list[Html]], *, caption: str | None = None) -> Html:
    """A table, in a box within which it scrolls where it is wider than the page; cells are `th` and `td` elements."""
    made = element(
        "table",
        *([] if caption is None else [element("caption", caption)]),
        element("thead", element("tr", *header)),
        element("tbody", *(element("tr", *row) for row in rows)),
    )
    return element("div", made, class_="scroll", tabindex="0", role="region", aria_label=caption or "table")


def paragraphs(lines: Any, **attributes: str) -> Html:
    """Each line as a paragraph."""
    return joined(*(element("p", line, **attributes) for line in lines))


def bullets(items: Any) -> Html | None:
    """Items as a list; None where there are none."""
    made = [element("li", item) for item in items]
    return element("ul", *made) if made else None


def terms(pairs: Any) -> Html:
    """Pairs of a term and its explanation."""
    return element("dl", *(joined(element("dt", term), element("dd", words)) for term, words in pairs))


def page(title: str, *body: object) -> str:
    """A whole document that needs no other file, in ASCII: it reads the same in every encoding of stdout."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", title),
        element("style", Html(_style())),
    )
    document = f"<!doctype html>\n{element('html', head, element('body', element('main', *body)), lang='en')}\n"
    return document.encode("ascii", "xmlcharrefreplace").decode("ascii")


def _style() -> str:
    return Path(__file__).with_name("style.css").read_text(encoding="utf-8")
