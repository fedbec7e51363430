"""How wide text is, and text broken into lines that fit."""

from __future__ import annotations

from functools import cache

ELISION = " … "
POINTS_PER_INCH = 72


@cache
def text_inches(text: str, size: float, *, bold: bool = False) -> float:
    """Width of one line in the default font at `size` points."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=size, weight="bold" if bold else "normal")
    width, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return float(width) / POINTS_PER_INCH


def lines_within(text: str, inches: float, size: float) -> list[str]:
    """`text` in lines at most so wide; a word that is wider has a line of its own, shortened."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_inches(longer, size) <= inches:
            lines[-1] = longer
        else:
            lines.append(elided(word, inches, size))
    return lines


def elided(text: str, inches: float, size: float) -> str:
    """`text`, its middle left out where it would be wider than `inches`: names of runs differ at both ends."""
    kept = len(text)
    shown = text
    while kept > 2 and text_inches(shown, size) > inches:  # noqa: PLR2004 - a character on each side
        kept -= 1
        shown = text[: (kept + 1) // 2].rstrip() + ELISION.strip() + text[-(kept // 2) :].lstrip()
    return shown


def in_two_lines(text: str, inches: float, size: float) -> str:
    """`text` in one line, or in two of at most `inches`, broken after a word where possible, the middle left out."""
    if text_inches(text, size) <= inches:
        return text
    lines = lines_within(text, inches, size)
    if len(lines) > 2:  # noqa: PLR2004 - two lines
        lines = [lines[0], elided(" ".join(text.split())[len(lines[0]) :].strip(), inches, size)]
    return "\n".join(lines)
