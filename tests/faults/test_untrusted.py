"""Content that somebody else wrote: it runs no code, forms no formula, moves no cursor, and passwords go nowhere."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import pickle
import shutil
import socket
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch
from PIL import Image

from cvexp.errors import InputError, RunError
from cvexp.jobs.api import load_model
from cvexp.redaction import password_needs_encoding, without_credentials
from cvexp.settings import store_settings
from cvexp.text import clean, escaped, inert, markdown, shown
from cvexp.tracking.store import open_store
from tests.faults.answering import answering, check_refusal

CANARY = "canary-2718281828"
ANYWHERE = "0.0.0.0"  # noqa: S104 - the case in question


class Marker:
    """Touches a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


def plain_pickle(marker):
    return pickle.dumps(Marker(marker))


def zipped_pickle(marker):
    """The pickle where torch looks for one, in an archive that is like its own."""
    buffer = io.BytesIO()
    torch.save({"1.weight": torch.zeros(2)}, buffer)
    forged = io.BytesIO()
    with zipfile.ZipFile(buffer) as sound, zipfile.ZipFile(forged, "w") as target:
        for name in sound.namelist():
            content = plain_pickle(marker) if name.endswith("data.pkl") else sound.read(name)
            target.writestr(name, content)
    return forged.getvalue()


def torch_pickle(marker):
    """What `torch.save` makes of a dictionary in which a tensor is such an object."""
    buffer = io.BytesIO()
    torch.save({"1.weight": Marker(marker), "1.bias": torch.zeros(10)}, buffer)
    return buffer.getvalue()


FORGERIES = (plain_pickle, zipped_pickle, torch_pickle)


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def test_the_forgeries_would_run_code_where_they_are_unpickled(tmp_path):
    for forge in FORGERIES:
        marker = tmp_path / forge.__name__
        content = forge(marker)
        if forge is plain_pickle:
            pickle.loads(content)
        else:
            torch.load(io.BytesIO(content), weights_only=False)
        assert marker.exists()


# ---- Weights


@pytest.fixture(params=FORGERIES)
def forged(request, tmp_path):
    """The forged bytes, and the file that must not appear."""
    marker = tmp_path / "marker"
    return request.param(marker), marker


@pytest.fixture
def exported(forged, lab, tmp_path):
    """A forged exported file, whose card has its digest."""
    from cvexp.jobs import export
    from cvexp.jobs.export_plan import Wanted

    file = tmp_path / "m.pt"
    export.run(lab.runs["linear"].run_id, lab.settings, data_dir=tmp_path, wanted=Wanted(out=file))
    card = json.loads((tmp_path / "m.pt.json").read_text())
    file.write_bytes(forged[0])
    card["spec"]["weights_sha256"] = sha256(forged[0])
    (tmp_path / "m.pt.json").write_text(json.dumps(card))
    return file


@pytest.fixture
def planted(forged, lab, tmp_path):
    """A run of somebody's whose weights are forged, and whose tag has their digest."""
    sound = Path(lab.runs["linear"].artifacts_uri.removeprefix("file://")) / "weights"
    folder = tmp_path / "weights"
    shutil.copytree(sound, folder)
    (folder / "state_dict.pt").write_bytes(forged[0])
    spec = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**spec, "weights_sha256": sha256(forged[0])}))
    client = open_store(lab.settings, create=False).client
    tags = {"cvexp.version": "0", "cvexp.weights_sha256": sha256(forged[0])}
    run = client.create_run("0", run_name="planted", tags=tags)
    client.log_artifacts(run.info.run_id, str(folder), "weights")
    client.set_terminated(run.info.run_id)
    yield run.info.run_id
    client.delete_run(run.info.run_id)


VERBS = {
    "evaluate": ("evaluate", "IT"),
    "confmat": ("confmat", "IT"),
    "predict": ("predict", "IT", "x.png"),
    "explain": ("explain", "IT", "x.png"),
    "export": ("export", "IT"),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("kind", ["exported", "planted"])
def test_forged_weights_run_no_code(kind, verb, forged, cvexp, request):
    target = str(request.getfixturevalue(kind))
    refused = cvexp(*(target if word == "IT" else word for word in VERBS[verb]))
    check_refusal(refused.code, refused.stdout, refused.stderr, "read safely", "restore the file")
    assert not forged[1].exists()


@pytest.mark.parametrize("kind", ["exported", "planted"])
def test_forged_weights_run_no_code_from_python(kind, forged, lab, request):
    with pytest.raises(InputError, match="read safely"):
        load_model(str(request.getfixturevalue(kind)), tracking_uri=lab.settings.tracking_uri)
    assert not forged[1].exists()


@pytest.fixture(scope="module")
def kept(_lab, tmp_path_factory):
    """A store with a run that can be trained on."""
    from cvexp.config import run_config
    from cvexp.config.checkpoint import CheckpointPolicy
    from cvexp.jobs import train

    folder = tmp_path_factory.mktemp("kept")
    shutil.copy(_lab.folder / "mlflow.db", folder / "mlflow.db")
    settings = store_settings(f"sqlite:///{folder}/mlflow.db", "Default")
    config = run_config({"model": "linear", "dataset": "digits", "device": "cpu", "epochs": 1})
    result = train.run(config, settings, data_dir=folder, policy=CheckpointPolicy(keep=1), command=["cvexp"])
    return settings, folder / ".cvexp" / "runs" / result.run_id


def test_a_forged_checkpoint_runs_no_code(forged, kept, cvexp, tmp_path, monkeypatch):
    settings, folder = kept
    monkeypatch.chdir(tmp_path)
    (sound,) = (folder / "checkpoints").glob("*.pt")
    content = sound.read_bytes()
    sound.unlink()
    planted = sound.with_name(f"epoch-00002-step-00000000-{sha256(forged[0])}.pt")
    planted.write_bytes(forged[0])
    refused = cvexp("train", "--resume", folder.name, "--epochs", "2", "--tracking-uri", settings.tracking_uri)
    planted.unlink()
    sound.write_bytes(content)
    check_refusal(refused.code, refused.stdout, refused.stderr, "read safely", "restore the file")
    assert not forged[1].exists()


@pytest.fixture
def logged_by_another(lab, tmp_path):
    """An MLflow model with a pickle inside, in a run without any tag of cvexp's."""
    marker = tmp_path / "marker"
    folder = tmp_path / "model"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "model.pth").write_bytes(torch_pickle(marker))
    (folder / "python_model.pkl").write_bytes(plain_pickle(marker))
    (folder / "MLmodel").write_text(
        "flavors:\n  pytorch:\n    model_data: data\n  python_function:\n"
        "    loader_module: mlflow.pytorch\n    data: data\n    python_model: python_model.pkl\n"
    )
    client = open_store(lab.settings, create=False).client
    run = client.create_run("0", run_name="from-another-tool")
    for name in ("model", "weights"):
        client.log_artifacts(run.info.run_id, str(folder), name)
    client.set_terminated(run.info.run_id)
    yield run.info.run_id, marker
    client.delete_run(run.info.run_id)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("by_name", [True, False])
def test_a_model_that_another_tool_logged_is_refused_with_the_reason(verb, by_name, logged_by_another, cvexp, lab):
    run_id, marker = logged_by_another
    target = "from-another-tool" if by_name else run_id
    refused = cvexp(*(target if word == "IT" else word for word in VERBS[verb]))
    check_refusal(
        refused.code,
        refused.stdout,
        refused.stderr,
        "from-another-tool",
        "not written by cvexp",
        "pickle",
        "cvexp train",
    )
    with pytest.raises(RunError, match="not written by cvexp"):
        load_model(target, tracking_uri=lab.settings.tracking_uri)
    assert not marker.exists()


# ---- Code that a run or a file names


@pytest.fixture
def trap(tmp_path, monkeypatch):
    """A module that leaves a mark when it is imported."""
    (tmp_path / "trap_module.py").write_text(
        f"from pathlib import Path\nPath({str(tmp_path / 'marker')!r}).touch()\ndef net(*_a, **_k): return None\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path / "marker"
    sys.modules.pop("trap_module", None)


def test_code_that_a_run_names_is_not_imported(trap, lab, cvexp, tmp_path):
    sound = Path(lab.runs["linear"].artifacts_uri.removeprefix("file://")) / "weights"
    folder = tmp_path / "weights"
    shutil.copytree(sound, folder)
    spec = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**spec, "model": "trap_module:net"}))
    client = open_store(lab.settings, create=False).client
    run = client.create_run("0", tags={"cvexp.version": "0", "cvexp.weights_sha256": spec["weights_sha256"]})
    client.log_param(run.info.run_id, "model", "trap_module:net")
    client.log_artifacts(run.info.run_id, str(folder), "weights")
    client.set_terminated(run.info.run_id)
    refused = cvexp("evaluate", run.info.run_id)
    client.delete_run(run.info.run_id)
    check_refusal(refused.code, refused.stdout, refused.stderr, "trap_module:net", "--model trap_module:net")
    assert not trap.exists()


def test_code_that_an_experiment_file_names_is_not_imported_before_it_is_trusted(trap, lab, cvexp, tmp_path):
    file = tmp_path / "x.yaml"
    file.write_text("runs: [{model: 'trap_module:net', dataset: digits}]")
    refused = cvexp("run", str(file), "--dry-run")
    check_refusal(refused.code, refused.stdout, refused.stderr, "trap_module:net", "--model trap_module:net")
    assert not trap.exists()
    trusted = cvexp("run", str(file), "--dry-run", "--model", "trap_module:net")
    assert trusted.code == 0, trusted.stderr
    assert trap.exists()


def test_code_that_a_request_names_is_not_imported(trap, kept, cvexp):
    settings, folder = kept
    request = folder / "request.json"
    sound = request.read_text()
    asked = json.loads(sound)
    request.write_text(json.dumps({**asked, "config": {**asked["config"], "model": "trap_module:net"}}))
    refused = cvexp("train", "--resume", folder.name, "--epochs", "2", "--tracking-uri", settings.tracking_uri)
    request.write_text(sound)
    check_refusal(refused.code, refused.stdout, refused.stderr, "trap_module:net", "if you trust it")
    assert not trap.exists()


# ---- Names and texts


HOSTILE = "=cmd|' /C calc'!A0 <img src=x onerror=alert(1)> [b]$\\frac$ \x1b[2J\u202e|](http://x)\n# `x`"


@pytest.mark.parametrize("text", ["\x1b[31m", "\x07", "a\nb", "\u202egnp.exe", "\u2028", "\udcff", "\x9b31m"])
def test_what_moves_a_cursor_or_hides_text_is_replaced(text):
    assert clean(text).isprintable()
    assert "\ufffd" in clean(text)


def test_json_keeps_every_character_and_shows_none_that_acts():
    text = json.dumps({"name": "\x9b31m \u202e \udcff\n"}, ensure_ascii=False, indent=2)
    assert escaped(text).replace("\n", "").isprintable()
    assert json.loads(escaped(text)) == json.loads(text)


def test_an_image_with_a_name_that_is_no_text_is_predicted(lab, cvexp, tmp_path):
    image = tmp_path / os.fsdecode(b"\xff\x9b31m.png")
    Image.new("L", (8, 8)).save(image, "PNG")
    for more in ((), ("--json",)):
        predicted = cvexp("predict", lab.runs["linear"].run_id, str(image), *more)
        assert predicted.code == 0, predicted.stderr
        assert predicted.stdout.replace("\n", "").isprintable()
    assert predicted.document["predictions"][0]["image"] == str(image)


def test_a_command_with_bytes_that_are_no_text_can_be_recorded(lab, cvexp, tmp_path):
    odd = str(tmp_path / os.fsdecode(b"da\xffta"))
    words = ("train", "linear", "--dataset", "digits", "--epochs", "1", "--experiment", "names", "--data-dir", odd)
    trained = cvexp(*words, "--json")
    assert trained.code == 0, trained.stderr
    client = open_store(lab.settings, create=False).client
    command = client.get_run(trained.document["run_id"]).data.tags["cvexp.command"]
    client.delete_run(trained.document["run_id"])
    assert "da\ufffdta" in command


def test_the_next_command_is_quoted_where_a_name_could_run_something(lab, cvexp):
    client = open_store(lab.settings, create=False).client
    experiment = client.create_experiment("quoted")
    run = client.create_run(experiment, run_name="$(touch marker)", tags={"cvexp.version": "0"})
    client.set_terminated(run.info.run_id)
    compared = cvexp("compare", "--experiment", "quoted")
    client.delete_experiment(experiment)
    assert "cvexp evaluate '$(touch marker)'" in compared.stderr


def test_letters_of_any_script_stay_as_they_are():
    for text in ("Größe 大きさ حجم", "T-shirt/top", "🙂👩‍💻"):
        assert clean(text) == text


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1", " =1", "=HYPERLINK()", "\r=1"])
def test_no_csv_cell_starts_a_formula(text):
    assert inert(text)[0] in "'\ufffd"


def test_other_cells_stay_as_they_are():
    assert [inert(value) for value in ("T-shirt/top", 1.5, None, "")] == ["T-shirt/top", 1.5, None, ""]


def test_markdown_cells_hold_neither_markup_nor_html_nor_cells():
    escaped = markdown(HOSTILE)
    assert "<" not in escaped
    assert "\n" not in escaped
    assert "\x1b" not in escaped
    for sign in "|`[]":
        assert escaped.count(sign) == escaped.count(f"\\{sign}")


def test_a_shown_value_is_short():
    deep = "x"
    for _ in range(200):
        deep = [deep, deep]
    assert len(shown(deep)) < 500
    assert len(shown("y" * 10**6)) < 200
    assert shown("short") == "'short'"


def test_a_hostile_name_and_parameter_stay_text_in_every_table(lab, cvexp):
    client = open_store(lab.settings, create=False).client
    tags = {"cvexp.version": "0", "cvexp.device": HOSTILE}
    experiment = client.create_experiment("hostile")
    for value in (HOSTILE, "plain"):
        run = client.create_run(experiment, run_name=value, tags=tags)
        client.log_param(run.info.run_id, "model", value)
        client.log_param(run.info.run_id, "dataset", f"={value}")
        client.log_metric(run.info.run_id, "test/accuracy", 0.5)
        client.log_metric(run.info.run_id, "time/train_seconds", 0.5)
        client.set_terminated(run.info.run_id)
    table, markdown_table, table_csv = (
        cvexp("compare", "--experiment", "hostile", *more) for more in ((), ("--format", "md"), ("--format", "csv"))
    )
    drawn = cvexp("compare", "--experiment", "hostile", "--plot", "hostile.png")
    client.delete_experiment(experiment)
    for shown_text in (table, markdown_table, table_csv, drawn):
        assert shown_text.code == 0, shown_text.stderr
        assert (shown_text.stdout + shown_text.stderr).replace("\n", "").isprintable()
    assert "<img" not in markdown_table.stdout
    rows = list(csv.reader(io.StringIO(table_csv.stdout)))
    assert len(rows) == 3
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@"))]
    assert "[b]$" in table.stdout


@pytest.mark.slow
def test_a_run_of_a_hostile_name_is_trained_drawn_and_described(cvexp, lab, tmp_path):
    name = "=x|$\\frac$ <b> [red]"
    trained = cvexp("train", "linear", "--dataset", "digits", "--epochs", "1", "--name", name, "--experiment", "names")
    assert trained.code == 0, trained.stderr
    (run_id,) = (word.strip("()") for word in trained.stderr.splitlines()[0].split()[-1:])
    confused = cvexp("confmat", run_id, "--out", str(tmp_path / "c.png"))
    store = open_store(replace(lab.settings, experiment="names"), create=False)
    store.client.delete_run(run_id)
    assert confused.code == 0, confused.stderr
    assert name in confused.stdout


# ---- Passwords


@pytest.mark.parametrize(
    "uri",
    [
        f"http://user:{CANARY}@host:5000",
        f"http://user:a/{CANARY}@host:5000",
        f"http://user:{CANARY}/b@host:5000/path",
        f"http://user:a@{CANARY}@host:5000",
        f"http://user:{CANARY}@b/c@host:5000",
        f"http://user:a@b/{CANARY}@host:5000",
        f"http://user:a?{CANARY}#b@host",
        f"http://user:12/{CANARY}@host",
        f"http://:{CANARY}@host",
        f"https://{CANARY}@host/x",
        f"postgresql+psycopg2://user:p/{CANARY}@host/db",
        f"postgresql://host/db?user=me&password={CANARY}&x=1",
    ],
)
def test_no_form_of_password_stays_in_a_text(uri):
    text = f"cannot open '{uri}': see {uri}, or http://elsewhere/x"
    assert CANARY not in without_credentials(text)
    assert without_credentials(text).endswith("http://elsewhere/x")
    assert "host" in without_credentials(text)


def test_a_password_in_settings_is_not_in_their_text():
    assert CANARY not in repr(store_settings(f"http://user:{CANARY}@host"))


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("http://u:a/b@host:5000", True),
        ("http://u:a?b@host", True),
        ("http://u:a%2Fb@host", False),
        ("http://u:a@b@host", False),
        ("http://host:5000/x@y", False),
        ("http://host/x@y", False),
        ("http://host:5000", False),
    ],
)
def test_a_password_that_breaks_an_address_is_noticed(uri, expected):
    assert password_needs_encoding(uri) is expected


def everything_in(folder):
    """The bytes of every file in a folder, by path."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("verb", ["train", "compare", "evaluate", "sync", "ui", "run", "predict"])
@pytest.mark.parametrize(
    "store",
    [
        ("403", "http://user:CANARY@127.0.0.1:PORT"),
        ("html", "http://user:a@CANARY@127.0.0.1:PORT"),
        ("500", "http://user:CANARY/b@127.0.0.1:PORT"),
        pytest.param(("gone", "http://user:CANARY@127.0.0.1:1"), marks=pytest.mark.slow),  # each is retried for seconds
        ("none", "postgresql://user:CANARY@127.0.0.1:1/db"),
        ("none", "postgresql://user:a/CANARY@127.0.0.1:1/db"),
        ("none", "htp://user:CANARY@127.0.0.1:1/db"),
    ],
)
def test_a_password_in_the_address_of_a_store_goes_nowhere(store, verb, cvexp, tmp_path, monkeypatch):
    kind, address = store
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.yaml").write_text("runs: [{model: linear, dataset: digits, epochs: 1}]")
    words = {
        "train": ("train", "linear", "--dataset", "digits", "--epochs", "1"),
        "evaluate": ("evaluate", "@last"),
        "predict": ("predict", "0" * 32, "x.png"),
        "run": ("run", "x.yaml"),
    }.get(verb, (verb,))
    with answering("403" if kind in ("gone", "none") else kind) as port:
        uri = address.replace("CANARY", CANARY).replace("PORT", str(port))
        answers = [cvexp(*words, "--tracking-uri", uri)]
        if kind != "gone":
            answers.append(cvexp("--debug", *words, "--tracking-uri", uri))
    for answer in answers:
        assert CANARY not in answer.stdout + answer.stderr
    assert answers[0].code in ((2, 3) if kind == "gone" else (2,)) or verb == "sync"
    for path, content in everything_in(tmp_path).items():
        assert CANARY.encode() not in content, path


def test_a_password_in_the_address_stays_out_of_a_store_that_works(lab, tmp_path):
    """The command's words are a tag; a run that is kept for later has them in its journal."""
    uri = f"http://user:p/{CANARY}@127.0.0.1:1"
    from cvexp.events import TagsSet
    from cvexp.tracking.context import context_tags
    from cvexp.tracking.outbox import open_run

    shutil.copy(lab.folder / "mlflow.db", tmp_path / "mlflow.db")
    settings = store_settings(f"sqlite:///{tmp_path}/mlflow.db", "Default")
    commands = (["cvexp", "--tracking-uri", uri], ["cvexp", f"--tracking-uri={uri}", "it's"])
    for command in commands:
        with open_run(settings, model="linear", name=None, tags=context_tags(command), keep=True) as run:
            run.emit(TagsSet({"note": f"see {uri}"}))
        with (
            pytest.raises(OSError, match="no"),
            open_run(settings, model="linear", name=None, tags=context_tags(command), keep=True),
        ):
            raise OSError(f"no answer from {uri}")
    files = everything_in(tmp_path)
    assert any(path.name == "journal.jsonl" for path in files)
    for path, content in files.items():
        assert CANARY.encode() not in content, path
    rows = sqlite3.connect(tmp_path / "mlflow.db").execute("SELECT value FROM tags WHERE key = 'cvexp.command'")
    assert any("http://127.0.0.1:1" in value for (value,) in rows)


def test_an_environment_variable_is_not_logged(lab, tmp_path):
    """What is logged is a list of its own; nothing takes the environment along."""
    from cvexp.tracking.context import context_tags

    done = subprocess.run(
        [sys.executable, "-c", "from cvexp.tracking.context import context_tags\nprint(context_tags(['cvexp']))"],
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(tmp_path),
            "AWS_SECRET_ACCESS_KEY": CANARY,
            "MLFLOW_TRACKING_PASSWORD": CANARY,
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert CANARY not in done.stdout
    allowed = ("cvexp.", "mlflow.user", "mlflow.source.")
    assert all(key.startswith(allowed) for key in context_tags(["cvexp"]))


# ---- The pages


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Pages:
    """`cvexp ui` in a process of its own."""

    def __init__(self, folder, *words):
        self.port = free_port()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cvexp", "ui", "--port", str(self.port), *words],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.link = self.process.stdout.readline().strip()

    def listeners(self):
        family = [self.process.pid, *(child.pid for child in psutil.Process(self.process.pid).children(recursive=True))]
        found = (connection for pid in family for connection in psutil.Process(pid).net_connections("inet"))
        return {connection.laddr for connection in found if connection.status == psutil.CONN_LISTEN}

    def arguments(self):
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [word for child in children for word in child.cmdline()]

    def end(self):
        self.process.terminate()
        return self.process.communicate(timeout=60)


@pytest.mark.slow
def test_the_pages_are_on_loopback_alone_unless_asked(lab):
    pages = Pages(lab.folder)
    try:
        assert pages.listeners() == {("127.0.0.1", pages.port)}
        assert lab.settings.tracking_uri not in pages.arguments()
        with urllib.request.urlopen(f"http://127.0.0.1:{pages.port}/", timeout=20) as page:
            assert page.status == 200
    finally:
        pages.end()


@pytest.mark.slow
def test_pages_that_others_can_reach_ask_for_a_password(lab):
    pages = Pages(lab.folder, "--host", ANYWHERE)
    address = f"http://127.0.0.1:{pages.port}/api/2.0/mlflow/experiments/search?max_results=1"
    secret = lab.settings.state_dir / "auth" / "basic_auth.ini"
    password = next(line.split()[-1] for line in secret.read_text().splitlines() if "admin_password" in line)
    try:
        assert (ANYWHERE, pages.port) in pages.listeners()
        for user_and_password in (None, ("admin", "password1234"), ("admin", "")):
            with pytest.raises(urllib.error.HTTPError) as refused:
                fetched(address, user_and_password)
            assert refused.value.code == 401
        assert fetched(address, ("admin", password)) == 200
        assert password not in " ".join(pages.arguments())
    finally:
        _, stderr = pages.end()
    assert str(secret) in stderr
    assert password not in stderr
    assert secret.stat().st_mode & 0o077 == 0


@pytest.mark.slow
@pytest.mark.campaign
def test_a_password_file_that_was_lost_is_made_anew_and_its_password_is_the_one_that_counts(lab):
    secret = lab.settings.state_dir / "auth" / "basic_auth.ini"

    def served(expected):
        pages = Pages(lab.folder, "--host", ANYWHERE)
        password = next(line.split()[-1] for line in secret.read_text().splitlines() if "admin_password" in line)
        address = f"http://127.0.0.1:{pages.port}/api/2.0/mlflow/experiments/search?max_results=1"
        try:
            assert fetched(address, ("admin", password)) == 200
            if expected is not None and expected != password:
                with pytest.raises(urllib.error.HTTPError):
                    fetched(address, ("admin", expected))
        finally:
            pages.end()
        return password

    first = served(None)
    assert served(first) == first
    secret.unlink()
    assert served(first) != first
    assert len(list(secret.parent.glob("basic_auth*.db"))) == 2  # the accounts of before are kept


def fetched(address, user_and_password):
    request = urllib.request.Request(address)
    if user_and_password is not None:
        import base64

        token = base64.b64encode(":".join(user_and_password).encode()).decode()
        request.add_header("Authorization", f"Basic {token}")
    with urllib.request.urlopen(request, timeout=20) as page:
        return page.status


@pytest.mark.parametrize("host", ["no.such.host.invalid", "256.0.0.1", "203.0.113.7"])
def test_an_address_that_is_not_this_machines_is_refused(host, lab, cvexp):
    refused = cvexp("ui", "--host", host)
    check_refusal(refused.code, refused.stdout, refused.stderr, host)
