"""What all figures share: text as matplotlib can show it, and Okabe and Ito's colours (jfly.uni-koeln.de/color)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cvexp.text import clean

if TYPE_CHECKING:
    from matplotlib.colors import Colormap

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#E69F00", "#009E73", "#666666"
INK, MUTED, OFF, FAINT = "#1A1A1A", "#4A4A4A", "#9A9A9A", "#E6E6E6"
"""Text, text that explains, what is dominated, and grid lines."""

RIGHT, WRONG = GREEN, "#D55E00"
LONGEST_NAME = 24


def shortened(name: str) -> str:
    """A name that fits a label, made `plain`."""
    return plain(name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…")


def plain(text: str) -> str:
    """Text without control characters that matplotlib does not read as a formula; line breaks stay."""
    return "\n".join(clean(line).replace("$", r"\$") for line in text.split("\n"))


def diverging() -> Colormap:
    """Blue below the middle, white at it, and orange above."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("cvexp", ["#003A5C", BLUE, "white", ORANGE, "#7A3B00"])
