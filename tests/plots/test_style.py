from __future__ import annotations

from cvexp.plots.style import shortened


def test_long_names_are_shortened_and_never_read_as_formulas():
    assert shortened("x" * 50) == "x" * 23 + "…"
    assert shortened("cash $5$") == r"cash \$5\$"
