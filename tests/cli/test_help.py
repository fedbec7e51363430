from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from cvexp.cli.main import app
from tests.cli.reference import reference

HEAVY = ("torch", "mlflow", "matplotlib", "pandas", "numpy", "sklearn", "pydantic")
README = Path(__file__).parents[2] / "README.md"


def verbs():
    return typer.main.get_command(app).commands


@pytest.mark.parametrize("words", ["--help", "train --help", "train --help-all", "compare --help", "--version"])
def test_help_loads_nothing_heavy(words):
    script = (
        "import sys\nfrom cvexp.cli.main import run\n"
        f"code = run({words.split()!r})\n"
        f"print('LOADED', code, [name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "LOADED 0 []"


@pytest.mark.slow
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
    known = {option for command in verbs().values() for parameter in command.params for option in parameter.opts}
    used = {
        flag
        for line in README.read_text().splitlines()
        if "cvexp " in line and not line.startswith("pip")
        for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]+", line)
    }
    assert used
    assert used <= known | {"--help", "--version", "--debug", "--install-completion", "--help-all"}


ADVANCED = ("--split-seed", "--log-every", "--allow-nan", "--step", "--threads", "--checkpoint-every")


def test_help_lists_everyday_options_in_panels_and_ends_with_two_examples(cvexp, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    shown = cvexp("train", "--help").stdout
    titles = re.findall(r"^╭─ (\w+) ", shown, re.MULTILINE)
    assert titles == ["Arguments", "Model", "Data", "Optimizer", "Training", "Execution", "Checkpoints", "General"]
    assert not [flag for flag in ADVANCED if re.search(rf"{flag}\s", shown)]
    assert [line.split()[0] for line in shown.splitlines() if line.strip()][-3:] == ["Examples:", "cvexp", "cvexp"]
    assert "Without it: sgd 0.1, adam 0.001, adamw 0.001." in " ".join(shown.replace("│", " ").split())


def test_help_all_lists_every_option(cvexp, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    shown = cvexp("train", "--help-all")
    assert shown.code == 0
    assert all(re.search(rf"{option}\s", shown.stdout) for p in verbs()["train"].params for option in p.opts)


@pytest.mark.parametrize(
    ("name", "incomplete", "values"),
    [
        ("optimizer", "ada", ["adam", "adamw"]),
        ("step", "c", ["captured", "cuda-graph"]),
        ("dataset", "dig", ["digits"]),
        ("model", "t", ["tinyvgg"]),
    ],
)
def test_values_are_completed(name, incomplete, values):
    command = verbs()["train"]
    (parameter,) = [one for one in command.params if one.name == name]
    found = parameter.shell_complete(typer.Context(command), incomplete)
    assert [one.value for one in found] == values


def test_advanced_flags_are_completed_though_help_does_not_list_them(cvexp):
    cvexp("train", "--help")
    command = verbs()["train"]
    found = [one.value for one in command.shell_complete(typer.Context(command), "--spl")]
    assert found == ["--split-seed"]


def test_the_reference_of_the_command_line_is_the_apps_own():
    written = (README.parent / "docs" / "cli.md").read_text()
    assert written == reference(), "write it again: python -m tests.cli.reference > docs/cli.md"
