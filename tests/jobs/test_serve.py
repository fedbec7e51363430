"""`cvexp serve`: runs, files and registered models over HTTP with the figures of `cvexp predict`."""

from __future__ import annotations

import base64
import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cvexp.jobs import serve_image
from cvexp.serving.limits import Limits
from tests.serving.made import png, write_model
from tests.serving.process import Server

PNG = {"Content-Type": "image/png"}
EVERYWHERE = "0.0.0.0"  # noqa: S104 - what the service refuses without a token
LOADED = """
import cvexp.serving.__main__, json, sys
print(json.dumps([cvexp.__file__, sorted({name.partition(".")[0] for name in sys.modules})]))
"""


@pytest.fixture
def port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def images(tmp_path):
    """A digit-sized image and one that has to be resized, as files."""
    pixels = np.random.default_rng(4).integers(0, 256, (8, 8), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "small.png")
    (tmp_path / "large.png").write_bytes(png(size=(90, 70), mode="RGB"))
    return [tmp_path / "small.png", tmp_path / "large.png"]


def started(lab, port, *words, **arguments):
    words = ["cvexp", "serve", *words, "--port", str(port), "--tracking-uri", lab.settings.tracking_uri]
    return Server(words, cwd=lab.folder, **arguments)


def libraries_of(pid):
    return Path(f"/proc/{pid}/maps").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "method"), [("tinyvgg", "Grad-CAM"), ("linear", "gradient")])
def test_a_run_is_served_as_predict_has_it_and_explained(cvexp, lab, images, port, name, method):  # noqa: PLR0917
    run_id = lab.runs[name].run_id
    expected = cvexp("predict", run_id, *map(str, images), "--device", "cpu", "--json").document["predictions"]
    server = started(lab, port, run_id)
    try:
        for image, wanted in zip(images, expected, strict=True):
            status, answer = server.ask("POST", "/predict", image.read_bytes(), PNG)
            (found,) = answer["predictions"]
            assert (status, answer["run_id"]) == (200, run_id)
            assert (found["class"], found["notes"]) == (wanted["class"], wanted["notes"])
            np.testing.assert_allclose(found["logits"], wanted["logits"], atol=1e-5)
            np.testing.assert_allclose(found["probabilities"], wanted["probabilities"], atol=1e-6)
        status, explained = server.ask("POST", "/explain", images[1].read_bytes(), PNG)
        assert (status, explained["method"], explained["predictions"][0]["class"]) == (
            200,
            method,
            expected[1]["class"],
        )
        assert explained["evidence"].startswith("data:image/png;base64,")
        picture = Image.open(io.BytesIO(base64.b64decode(explained["evidence"].partition(",")[2])))
        assert explained["found"] is (picture.getchannel("A").getextrema()[1] > 0)
        assert (explained["layer"] is None) == (method == "gradient")
        assert server.ask("GET", "/model")[1]["explains"] == "ready"
        assert not any(library in libraries_of(server.process.pid) for library in ("libtorch", "libarrow"))
    finally:
        assert server.stop() == 0


@pytest.mark.slow
def test_an_alias_that_moves_changes_the_model_between_two_requests(cvexp, lab, images, port, tmp_path):
    lab_store = ("--tracking-uri", lab.settings.tracking_uri)
    for name, alias in (("linear", "champion"), ("tinyvgg", "next")):
        assert cvexp("register", lab.runs[name].run_id, "--name", "digits", "--alias", alias, *lab_store).code == 0
    server = started(lab, port, "models:/digits@champion", "--look-up", "0.5")
    answers, stop = [], threading.Event()

    def keep_asking():
        while not stop.is_set():
            answers.append(server.ask("POST", "/predict", images[0].read_bytes(), PNG))

    asker = threading.Thread(target=keep_asking)
    try:
        asker.start()
        time.sleep(1)
        assert (
            cvexp("register", lab.runs["tinyvgg"].run_id, "--name", "digits", "--alias", "champion", *lab_store).code
            == 0
        )
        deadline = time.monotonic() + 120
        while answers[-1][1].get("run_id") != lab.runs["tinyvgg"].run_id and time.monotonic() < deadline:
            time.sleep(0.1)
    finally:
        stop.set()
        asker.join()
        assert server.stop() == 0
    assert {status for status, _ in answers} == {200}
    assert answers[0][1]["model_version"] == "models:/digits/1"
    by_run = {answer["run_id"]: answer["predictions"][0]["logits"] for _, answer in answers}
    for name in ("linear", "tinyvgg"):
        run_id = lab.runs[name].run_id
        expected = cvexp("predict", run_id, str(images[0]), "--device", "cpu", "--json", *lab_store).document
        np.testing.assert_allclose(by_run[run_id], expected["predictions"][0]["logits"], atol=1e-5)


@pytest.mark.slow
def test_what_an_image_is_built_from_serves_with_its_own_code_alone(cvexp, tmp_path, port, monkeypatch):
    monkeypatch.chdir(tmp_path)
    weights = write_model(tmp_path / "tiny.onnx")
    outcome = cvexp("serve", "tiny.onnx", "--dockerfile", "image", "--max-batch", "8")
    assert (outcome.code, outcome.stdout.split()) == (0, ["image/Dockerfile"])
    folder = tmp_path / "image"
    definition = (folder / "Dockerfile").read_text()
    python = ".".join(map(str, sys.version_info[:3]))
    for line in (f"FROM python:{python}-slim", "USER 10001:10001", "HEALTHCHECK", '"--max-batch", "8"'):
        assert line in definition
    pins = (folder / "requirements.txt").read_text().splitlines()
    assert all(pin.count("==") == 1 for pin in pins)
    assert {"onnxruntime", "numpy", "pillow", "starlette", "uvicorn", "anyio", "h11"} <= {
        pin.split("==")[0] for pin in pins
    }
    assert not {"torch", "mlflow", "pandas", "typer"} & {pin.split("==")[0] for pin in pins}
    server = Server(
        ["cvexp.serving", "model.onnx", "--host", EVERYWHERE, "--port", str(port)],
        cwd=folder, env={"CVEXP_SERVE_TOKEN": "correct-horse-battery", "PYTHONPATH": str(folder)},
    )  # fmt: skip
    try:
        assert server.ask("POST", "/predict", bytes(24), PNG)[0] == 401
        headers = {"Content-Type": "application/octet-stream", "Authorization": "Bearer correct-horse-battery"}
        status, answer = server.ask("POST", "/predict", bytes(range(24)), headers)
        assert status == 200
        expected = np.arange(24, dtype=np.float32) @ weights
        np.testing.assert_allclose(answer["predictions"][0]["logits"], expected, rtol=1e-5)
        environment = {**os.environ, "PYTHONPATH": str(folder)}
        printed = subprocess.check_output([sys.executable, "-c", LOADED], cwd=folder, env=environment)
        package, loaded = json.loads(printed)
        assert package == str(folder / "cvexp" / "__init__.py")
        assert not {"torch", "mlflow", "pandas", "pyarrow", "typer", "rich", "pydantic"} & set(loaded)
    finally:
        assert server.stop() == 0


def test_the_limits_are_arguments_that_the_server_in_an_image_takes():
    words = serve_image.arguments(Limits(max_batch=7, timeout=2.5))
    assert words == ["--max-batch", "7", "--max-wait-ms", "0.0", "--max-bytes", "10485760", "--timeout", "2.5"]


WRONG = {
    "no run": (("nobody",), "no runs here yet"),
    "no file": (("none.onnx",), "none.onnx"),
    "no ONNX": (("text.onnx",), "text.onnx"),
    "no cvexp file": (("foreign.onnx",), "foreign.onnx"),
    "classes that do not fit": (("classes.onnx",), "classes.onnx"),
    "no address": (("tiny.onnx", "--host", "no.such.host.example"), "no.such.host.example"),
    "others without a token": (("tiny.onnx", "--host", EVERYWHERE), EVERYWHERE),
    "no token file": (("tiny.onnx", "--token-file", "nothing"), "nothing"),
    "an empty token": (("tiny.onnx", "--token-file", "empty"), "empty"),
    "a short token": (("tiny.onnx", "--token-file", "short"), "short"),
    "a taken port": (("tiny.onnx", "--port", "TAKEN"), "TAKEN"),
    "a port of others": (("tiny.onnx", "--port", "80000"), "80000"),
    "no batch": (("tiny.onnx", "--max-batch", "0"), "--max-batch"),
    "no time": (("tiny.onnx", "--timeout", "0"), "--timeout"),
    "a folder in use": (("tiny.onnx", "--dockerfile", "."), "not empty"),
    "a file for a folder": (("tiny.onnx", "--dockerfile", "tiny.onnx"), "tiny.onnx"),
}


@pytest.fixture(scope="module")
def wrong_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wrong")
    write_model(folder / "tiny.onnx")
    write_model(folder / "foreign.onnx", **{"cvexp.classes": None})
    write_model(folder / "classes.onnx", **{"cvexp.classes": '["only one"]'})
    (folder / "text.onnx").write_text("hello")
    (folder / "empty").write_text("\n")
    (folder / "short").write_text("tooshort")
    return folder


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name == "no run" else ()) for name in WRONG]
)
def test_wrong_uses_are_refused_in_three_lines(cvexp, wrong_files, monkeypatch, name):
    words, expected = WRONG[name]
    monkeypatch.chdir(wrong_files)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = str(taken.getsockname()[1])
        outcome = cvexp("serve", *[number if word == "TAKEN" else word for word in words])
    assert outcome.code == 2
    assert outcome.stdout == ""
    lines = [line for line in outcome.stderr.splitlines() if "is exported" not in line]
    assert len(lines) <= 3
    assert lines[0].startswith("error: ")
    assert expected.replace("TAKEN", number) in outcome.stderr
    assert "tooshort" not in outcome.stderr


def test_a_missing_extra_is_said_in_three_lines(cvexp, wrong_files, monkeypatch):
    monkeypatch.chdir(wrong_files)
    monkeypatch.setitem(sys.modules, "httptools", None)
    outcome = cvexp("serve", "tiny.onnx")
    assert (outcome.code, len(outcome.stderr.splitlines())) == (2, 2)
    assert "httptools" in outcome.stderr
    assert "cvexp[serve]" in outcome.stderr
