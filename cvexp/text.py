"""Text that came from data, made safe for the place it goes to: a terminal, a CSV cell, a Markdown cell, a message."""

from __future__ import annotations

import math
import re
import reprlib
from typing import Any

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
LONGEST_SHOWN = 120
"""Characters of a value that a message repeats."""

_CONTROL = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"  # moves the cursor, or turns text round
    r"|[\ud800-\udfff]"  # bytes of a file's name that are no UTF-8; no stream takes them
)
_MARKUP = re.compile(r"([\\`*_\[\]|~])")


def clean(text: object) -> str:
    """Text without control characters, which could move a terminal's cursor or hide what follows."""
    return _CONTROL.sub("\ufffd", str(text))


def finite(value: Any) -> Any:
    """Plain values as JSON can hold them: NaN and the infinities, for which it has no words, become None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def escaped(json_text: str) -> str:
    """JSON in which whatever `clean` would replace stands as an escape, so that it is harmless and still all there."""
    return _CONTROL.sub(lambda found: "\n" if found[0] == "\n" else f"\\u{ord(found[0]):04x}", json_text)


def inert(value: object) -> object:
    """A CSV cell; text that a spreadsheet would take for a formula gets an apostrophe in front."""
    if not isinstance(value, str):
        return value
    text = clean(value)
    return f"'{text}" if text.lstrip().startswith(FORMULA_STARTS) else text


def markdown(text: object) -> str:
    """Text that stays text inside a Markdown table cell: no markup, no link, no HTML, no further cell."""
    escaped = _MARKUP.sub(r"\\\1", clean(text))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


class _Short(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = LONGEST_SHOWN
        self.maxlong = 40
        self.maxlevel = 3


def shown(value: object) -> str:
    """A value as a message repeats it: `repr`, cut where it is long or deep."""
    text = _Short().repr(value)
    return text if len(text) <= 2 * LONGEST_SHOWN else text[: 2 * LONGEST_SHOWN] + "…"
