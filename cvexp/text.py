"""Escape text that came from data for a terminal, CSV, Markdown, JSON or a message."""

import math
import re
import reprlib
from typing import Any

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
LONGEST_SHOWN = 120
"""Characters of a value in a message."""

_CONTROL = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"  # control characters, bidirectional formatting
    r"|[\ud800-\udfff]"  # surrogates: bytes of a file name that are not UTF-8, which no stream can encode
)
_MARKUP = re.compile(r"([\\`*_\[\]|~])")


def clean(text: object) -> str:
    """Replace control characters, which could move a terminal's cursor or hide text."""
    return _CONTROL.sub("\ufffd", str(text))


def finite(value: Any) -> Any:
    """Plain values for JSON: NaN and the infinities, which it cannot represent, become None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def escaped(json_text: str) -> str:
    """JSON text in which the characters that `clean` replaces are escaped, so that no value is changed."""
    return _CONTROL.sub(lambda found: "\n" if found[0] == "\n" else f"\\u{ord(found[0]):04x}", json_text)


def inert(value: object) -> object:
    """A CSV cell; text that a spreadsheet would evaluate as a formula gets an apostrophe in front."""
    if not isinstance(value, str):
        return value
    text = clean(value)
    return f"'{text}" if text.lstrip().startswith(FORMULA_STARTS) else text


def markdown(text: object) -> str:
    """Escape text for a Markdown table cell: no markup, links, HTML or further cells."""
    escaped = _MARKUP.sub(r"\\\1", clean(text))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


class _Short(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = LONGEST_SHOWN
        self.maxlong = 40
        self.maxlevel = 3


def shown(value: object) -> str:
    """The `repr` of a value for a message, truncated where it is long or deep."""
    text = _Short().repr(value)
    return text if len(text) <= 2 * LONGEST_SHOWN else text[: 2 * LONGEST_SHOWN] + "…"
