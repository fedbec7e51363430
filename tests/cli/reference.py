"""Write the reference of every verb, from the app itself: `python -m tests.cli.reference > docs/cli.md`."""

from __future__ import annotations

import sys
from itertools import groupby

import typer

from cvexp.cli.main import app

HEAD = """# The command line

Every verb with its options. This file is made by `python -m tests.cli.reference > docs/cli.md`; a test compares it
with the app. Options marked *advanced* are listed by `--help-all` only.
"""


def reference():
    """The whole file."""
    group = typer.main.get_command(app)
    root = typer.Context(group, info_name="cvexp")
    verbs = [_verb(typer.Context(command, info_name=name, parent=root)) for name, command in group.commands.items()]
    return "\n".join([HEAD, *verbs])


def _verb(context):
    command = context.command
    lines = [f"## {context.command_path}", "", f"`{context.command_path} {_pieces(context)}`", "", command.help, ""]
    options = sorted(command.params, key=lambda one: one.param_type_name != "argument")
    for panel, ones in groupby(options, key=_panel):
        lines += [f"**{panel}**", "", "| option | value | default | meaning |", "|---|---|---|---|"]
        lines += [_row(one, context) for one in ones]
        lines.append("")
    if command.epilog:
        first, *examples = command.epilog.splitlines()
        lines += [first, "", "```console", *examples, "```", ""]
    return "\n".join(lines)


def _pieces(context):
    return " ".join(context.command.collect_usage_pieces(context))


def _panel(option):
    return "Arguments" if option.param_type_name == "argument" else option.rich_help_panel or "Options"


def _row(option, context):
    is_flag = getattr(option, "is_flag", False)
    value = "" if is_flag else (option.metavar or option.display_type(context).strip("<>"))
    default = "" if is_flag or option.default is None or not option.show_default else f"`{option.default}`"
    name = option.name if option.param_type_name == "argument" else ", ".join(option.opts)
    advanced = "*advanced* " if option.name in getattr(context.command.callback, "advanced", ()) else ""
    cells = (f"`{name}`", value, default, advanced + option.help)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    sys.stdout.write(reference())
