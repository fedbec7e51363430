"""The web form in headless Chromium: an image is dropped on it, nothing is asked of the network."""

from __future__ import annotations

import socket

import pytest

from tests.serving.browser import CHROMIUM, Page
from tests.serving.made import png, write_model
from tests.serving.process import Server

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")]
SECRET = "correct-horse-battery-staple"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(params=["", SECRET])
def server(tmp_path, request):
    write_model(tmp_path / "tiny.onnx", classes=("coat", "<b>bag</b>", "boot"))
    words = ["cvexp.serving", "tiny.onnx", "--port", str(free_port())]
    started = Server(words, cwd=tmp_path, env={"CVEXP_SERVE_TOKEN": request.param})
    yield started, request.param
    assert started.stop() == 0


@pytest.fixture(params=[(1280, False), (390, True)])
def page(tmp_path, request):
    opened = Page(tmp_path / "profile", width=request.param[0], dark=request.param[1])
    yield opened
    opened.close()


def test_a_dropped_image_shows_its_classes_and_the_page_asks_nobody_else(server, page, tmp_path):
    (serving, token), origin = server, f"http://127.0.0.1:{server[0].port}"
    (tmp_path / "shoe.png").write_bytes(png(size=(40, 30), mode="RGB"))
    (tmp_path / "no image.png").write_bytes(b"hello")
    page.open(origin)
    if token:
        page.until("!document.getElementById('access').hidden")
        for given in ("wrong-wrong-wrong-wrong", token):
            page.value(f"document.getElementById('token').value = '{given}'")
            page.value("document.querySelector('#access button').click()")
            page.until("document.getElementById('token').value === ''")
    page.until("document.getElementById('name').textContent === 'tiny.onnx'")
    page.drop(tmp_path / "shoe.png", x=150, y=300)
    page.until("!document.getElementById('result').hidden")
    shown = page.value("[...document.querySelectorAll('#classes li')].map(li => li.innerText.split('\\n')[0])")
    _, answer = serving.ask(
        "POST", "/predict", (tmp_path / "shoe.png").read_bytes(),
        {"Content-Type": "image/png", "Authorization": f"Bearer {token}"},
    )  # fmt: skip
    (one,) = answer["predictions"]
    ranked = sorted(zip(one["probabilities"], answer["class_names"], strict=True), reverse=True)
    assert shown == [name for _, name in ranked]
    assert "resized from 40x30" in page.value("document.getElementById('notes').textContent")
    assert "ONNX file holds no weights" in page.value("document.getElementById('progress').textContent")
    page.drop(tmp_path / "no image.png", x=150, y=300)
    page.until("!document.getElementById('error').hidden")
    assert "not an image" in page.value("document.getElementById('error').textContent")
    assert page.value("document.documentElement.scrollWidth <= window.innerWidth")
    assert {url.removeprefix("blob:").startswith(origin) for url in page.requested} == {True}
    unexpected = [one for one in page.complaints if "status of 4" not in str(one)]  # refusals that were provoked
    assert not unexpected
