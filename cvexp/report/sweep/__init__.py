"""How a sweep is shown: while it runs, its trials, and what its best ones did with fresh seeds."""

from cvexp.report.sweep.console import SweepConsole
from cvexp.report.sweep.document import document, outlook_document
from cvexp.report.sweep.terminal import UPCOMING, next_commands, show, show_outlook

__all__ = ["UPCOMING", "SweepConsole", "document", "next_commands", "outlook_document", "show", "show_outlook"]
