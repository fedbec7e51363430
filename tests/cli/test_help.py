from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import typer

from cvexp.cli.main import app

HEAVY = ("torch", "mlflow", "matplotlib", "pandas", "numpy", "sklearn")
README = Path(__file__).parents[2] / "README.md"


def verbs():
    return typer.main.get_command(app).commands


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["compare", "--help"], ["--version"]])
def test_help_loads_nothing_heavy(words):
    script = (
        "import sys\nfrom cvexp.cli.main import run\n"
        f"code = run({words!r})\n"
        f"print('LOADED', code, [name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "LOADED 0 []"


def test_comparing_does_not_import_torch(lab):
    script = (
        "import sys\nfrom cvexp.cli.main import run\n"
        "code = run(['compare', '--json'])\n"
        "print('LOADED', code, 'torch' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=lab.folder)
    assert done.stderr.splitlines()[-1] == "LOADED 0 False"


@pytest.mark.parametrize("verb", sorted(verbs()))
def test_every_verb_explains_itself(verb, cvexp, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    shown = cvexp(verb, "--help")
    assert shown.code == 0
    assert len(shown.stdout.splitlines()) > 5
    assert max(map(len, shown.stdout.splitlines())) <= 100


def test_the_readme_lists_every_verb_with_its_own_words():
    rows = [line for line in README.read_text().splitlines() if line.startswith("| `cvexp ")]
    listed = dict(row.strip("| ").split(" | ", 1) for row in rows)
    for name, command in verbs().items():
        (row,) = [text for start, text in listed.items() if start.split()[1].strip("`") == name]
        assert row == command.help.split("\n\n")[0]
    assert len(listed) == len(verbs())


def test_the_readme_names_no_flag_that_is_not_there():
    import re

    known = {option for command in verbs().values() for parameter in command.params for option in parameter.opts}
    used = {
        flag
        for line in README.read_text().splitlines()
        if "cvexp " in line and not line.startswith("pip")
        for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]+", line)
    }
    assert used
    assert used <= known | {"--help", "--version", "--debug", "--install-completion"}
