"""A finding of `cvexp doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cvexp.errors import CvexpError


class Level(StrEnum):
    """How much a finding matters: `note` is worth knowing, `problem` keeps something from working."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that was looked at: what it is about, what was found, and a command that remedies it, if one does."""

    topic: str
    text: str
    level: Level = Level.OK
    remedy: str = ""


def of_error(topic: str, error: CvexpError) -> Finding:
    """An error as a problem; the command in its hint, if it has one, is the remedy."""
    hint = error.hints[0] if error.hints else ""
    command = hint.rpartition(": ")[2] if hint.rpartition(": ")[2].startswith("cvexp ") else ""
    text = error.what if command or not hint else f"{error.what}; {hint}"
    return Finding(topic=topic, text=text, level=Level.PROBLEM, remedy=command)
