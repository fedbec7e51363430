"""Runs side by side: as tables that fit their terminal, as CSV, Markdown or JSON."""

from cvexp.report.compare.document import document
from cvexp.report.compare.files import to_csv, to_markdown
from cvexp.report.compare.terminal import show

__all__ = ["document", "show", "to_csv", "to_markdown"]
