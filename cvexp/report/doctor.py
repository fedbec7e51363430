"""How `cvexp doctor` is shown."""

from __future__ import annotations

import textwrap
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.text import Text

from cvexp.report.terminal import console
from cvexp.text import clean
from cvexp.tracking.finding import Level

if TYPE_CHECKING:
    from cvexp.jobs.doctor import Diagnosis

STYLES = {Level.OK: "green", Level.NOTE: "yellow", Level.PROBLEM: "bold red"}
INDENT = 20
"""Of what was found: the columns of level and topic come before it."""


def show(diagnosis: Diagnosis) -> None:
    """Print every finding, wrapped to the terminal, and below it the command that remedies it, in one line."""
    out = console()
    width = max(out.width - INDENT, 30)
    for one in diagnosis.findings:
        lines = textwrap.wrap(clean(one.text), width, break_on_hyphens=False) or [""]
        first = Text.assemble((f"{one.level.value:<9}", STYLES[one.level]), f"{one.topic:<11}", lines[0])
        rest = [Text(" " * INDENT + line) for line in lines[1:]]
        for line in (first, *rest):
            out.print(line, soft_wrap=True)
        if one.remedy:
            out.print(Text(" " * INDENT + f"$ {clean(one.remedy)}", style="bold"), soft_wrap=True)


def document(diagnosis: Diagnosis) -> dict[str, Any]:
    """The findings for `--json`."""
    findings = [asdict(one) | {"level": one.level.value, "remedy": one.remedy or None} for one in diagnosis.findings]
    return {"problems": diagnosis.n_problems, "findings": findings}
