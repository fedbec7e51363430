"""Commands that cvexp prints can be pasted: they repeat the flags that say where runs and data are."""

from __future__ import annotations

import re
import shlex
import signal
from pathlib import Path

import pytest
import typer
from PIL import Image

from cvexp import settings
from cvexp.cli.main import app
from cvexp.events import EpochEnded
from cvexp.report.train import TrainConsole

pytestmark = pytest.mark.slow

FLAGS = ("--tracking-uri", "sqlite:///my runs.db", "--experiment", "it's mine", "--data-dir", "my data")
STORE_FLAGS = FLAGS[:4]
TRAIN = ("train", "linear", "--dataset", "digits", "--epochs", "1", "--device", "cpu")


def printed(outcome):
    """The commands on stderr, as a shell would split them."""
    found = [
        command for line in outcome.stderr.splitlines() for command in re.findall(r"cvexp [a-z]+.*?(?=   \||$)", line)
    ]
    return [tuple(shlex.split(command))[1:] for command in found]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("elsewhere")
    Image.new("L", (8, 8)).save(made / "IMAGE", format="PNG")
    (made / "plan.yaml").write_text("experiment: of the file\nruns:\n  - {model: linear, dataset: digits, epochs: 1}\n")
    return made


@pytest.fixture
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def trained(cvexp, here):
    """What training a run printed."""
    if not (here / "my runs.db").exists():
        outcome = cvexp(*TRAIN, *FLAGS)
        assert outcome.code == 0, outcome.stderr
        (here / "stderr").write_text(outcome.stderr)
    return (here / "stderr").read_text()


def check_pasted(cvexp, commands):
    for words in commands:
        if words[0] == "ui":  # it would serve until Ctrl-C
            assert words[1:] == STORE_FLAGS
            continue
        pasted = cvexp(*words)
        assert pasted.code == 0, (words, pasted.stderr)


def test_what_train_prints_finds_the_run(cvexp, trained):
    commands = [
        tuple(shlex.split(command))[1:]
        for line in trained.splitlines()
        if line.startswith("next ")
        for command in line.removeprefix("next").split("   |   ")
    ]
    assert [words[0] for words in commands] == ["evaluate", "compare", "ui"]
    check_pasted(cvexp, commands)


@pytest.mark.parametrize(
    "words",
    [
        ("compare", *STORE_FLAGS),
        ("export", "@last", "--out", "it's exported.pt", *FLAGS),
        ("run", "plan.yaml", *STORE_FLAGS[:2], *FLAGS[4:]),
        ("data", "digits", *FLAGS[4:]),
        ("data", *FLAGS[4:]),
    ],
    ids=lambda words: " ".join(words[:2]),
)
@pytest.mark.usefixtures("trained")
def test_what_a_verb_prints_works(words, cvexp):
    outcome = cvexp(*words)
    assert outcome.code == 0, outcome.stderr
    commands = [
        tuple("digits" if word in ("NAME", "fashion-mnist") else word for word in command)
        for command in printed(outcome)
    ]
    assert commands
    check_pasted(cvexp, commands)


@pytest.mark.usefixtures("trained")
def test_what_an_error_says_to_type_works(cvexp):
    refused = cvexp("evaluate", "nobody", *FLAGS)
    assert refused.code == 2
    (command,) = printed(refused)
    assert command == ("compare", "--data-dir", "my data", *STORE_FLAGS)
    check_pasted(cvexp, [command])


def test_a_first_run_is_started_in_the_store_that_was_named(cvexp, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused = cvexp("evaluate", "@last", *FLAGS)
    assert refused.code == 2
    assert printed(refused) == [("train", "linear", "--data-dir", "my data", *STORE_FLAGS)]


@pytest.mark.usefixtures("trained")
@pytest.mark.slow
def test_an_interrupted_run_goes_on_with_the_command_that_is_printed(cvexp, monkeypatch):
    shown = TrainConsole.__call__

    def interrupt(self, event):
        shown(self, event)
        if isinstance(event, EpochEnded):
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(TrainConsole, "__call__", interrupt)
    heeded = signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the tests run in the background
    stopped = cvexp(*TRAIN, "--epochs", "2", *FLAGS)
    signal.signal(signal.SIGINT, heeded)
    assert stopped.code == 130
    monkeypatch.setattr(TrainConsole, "__call__", shown)
    (command,) = printed(stopped)
    assert set(FLAGS) < set(command)
    check_pasted(cvexp, [command])


@pytest.mark.usefixtures("trained")
@pytest.mark.slow
def test_a_name_that_two_runs_have_is_not_what_is_printed(cvexp):
    for _ in range(2):
        outcome = cvexp(*TRAIN, "--name", "twin", *FLAGS)
        assert outcome.code == 0, outcome.stderr
    check_pasted(cvexp, printed(outcome))


@pytest.mark.usefixtures("trained")
def test_without_flags_the_printed_commands_have_none(cvexp, here, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{here}/my runs.db")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "it's mine")
    commands = printed(cvexp("compare"))
    assert commands
    assert not any(word.startswith(("--tracking-uri", "--experiment")) for words in commands for word in words)
    check_pasted(cvexp, commands)


@pytest.mark.slow
def test_records_that_wait_are_delivered_to_the_store_that_was_named_without_printing_its_password(
    cvexp, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    away = ("--tracking-uri", "http://me:se-cret@127.0.0.1:9", "--experiment", "it's mine")
    outcome = cvexp(*TRAIN, *away)
    assert outcome.code == 3, outcome.stderr
    assert "se-cret" not in outcome.stderr
    commands = {words[0]: words[1:] for words in printed(outcome)}
    assert commands["sync"] == ("--tracking-uri", "http://127.0.0.1:9", "--experiment", "it's mine")


def test_a_printed_command_has_no_flag_that_its_verb_does_not_take():
    verbs = typer.main.get_command(app).commands
    flags = settings.typed_flags("sqlite:///x.db", "x", Path("x"))
    for verb, command in verbs.items():
        known = {option for parameter in command.params for option in parameter.opts}
        repeated = {word for word in shlex.split(flags.command(verb)) if word.startswith("--")}
        assert repeated == known & {"--tracking-uri", "--experiment", "--data-dir"}
