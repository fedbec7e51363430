"""Requests that cannot be answered get a 4xx or 503 with plain words in JSON, and the service goes on."""

from __future__ import annotations

import asyncio
import json
import struct
import zlib

import numpy as np
import pytest

from tests.serving.made import SHAPE, ask, form, npy, png

GOOD = np.zeros((1, *SHAPE), np.uint8)
FORM = "multipart/form-data; boundary=XX"


def bomb(width, height):
    """A PNG of a few hundred bytes that says it has this many pixels."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(999))) + chunk(b"IEND", b"")
    )


def array(values):
    return json.dumps({"images": values}).encode()


def changed(value):
    images = GOOD.tolist()
    images[0][0][2][3] = value
    return array(images)


NPY, RAW, JSON, PNG = "application/x-npy", "application/octet-stream", "application/json", "image/png"
WRONG = {
    "no type": ("", png(), 415, "does not say its body's type"),
    "type of a web form": ("application/x-www-form-urlencoded", png(), 415, "x-www-form-urlencoded"),
    "text": ("text/plain", b"hello", 415, "text/plain"),
    "no body": (PNG, b"", 400, "empty"),
    "no image": (PNG, b"hello", 422, "not an image"),
    "an SVG": ("image/svg+xml", b"<svg xmlns='http://www.w3.org/2000/svg'/>", 422, "not an image"),
    "a PDF": ("image/jpeg", b"%PDF-1.7", 422, "not an image"),
    "half a PNG": (PNG, png(size=(300, 300))[:900], 422, "unreadable image"),
    "half a JPEG": ("image/jpeg", png(size=(300, 300), form="JPEG")[:30], 422, "image"),
    "billions of pixels": (PNG, bomb(60_000, 60_000), 413, "too large"),
    "more pixels than allowed": (PNG, bomb(9_000, 9_000), 413, "81,000,000 pixels"),
    "no JSON": (JSON, b'{"images": [', 400, "no JSON"),
    "JSON that is no text": (JSON, b"\xff\xfe\xfd\x00", 400, "no JSON"),
    "deep JSON": (JSON, b"[" * 100_000, 400, "no JSON"),
    "JSON that is a list": (JSON, b"[1]", 422, '"images"'),
    "JSON without images": (JSON, b'{"image": []}', 422, '"images"'),
    "no images at all": (JSON, b'{"images": []}', 422, "empty"),
    "JSON of another shape": (JSON, array(np.zeros((1, 1, 6, 5), int).tolist()), 422, "images[0][0][0] has 5 items"),
    "JSON without channels": (JSON, array(np.zeros((1, 6, 4), int).tolist()), 422, "images[0] has 6 items"),
    "ragged JSON": (JSON, array([[[[0, 0, 0, 0]] * 5 + [[0]]]]), 422, "images[0][0][5] has 1 items"),
    "a pixel of 256": (JSON, changed(256), 422, "images[0][0][2] holds 256"),
    "a pixel below 0": (JSON, changed(-1), 422, "holds -1"),
    "a fraction": (JSON, changed(0.5), 422, "holds 0.5"),
    "a pixel that is true": (JSON, changed(True), 422, "holds True"),
    "a pixel that is text": (JSON, changed("a" * 9999), 422, "holds 'aaa"),
    "a huge number": (JSON, changed(10**400), 422, "holds 1000"),
    "an object for a row": (JSON, array([[[{}] * 6]]), 422, "{}"),
    "no .npy": (NPY, b"\x93NUMPY\x01\x00", 400, "no .npy file"),
    "a pickle in .npy": (NPY, npy(np.array([{}], object)), 422, "object"),
    "floats": (NPY, npy(GOOD.astype(np.float32)), 422, "float32"),
    "signed bytes": (NPY, npy(GOOD.astype(np.int8)), 422, "int8"),
    "another shape": (NPY, npy(np.zeros((2, 3, 6, 4), np.uint8)), 422, "(2, 3, 6, 4)"),
    "a shape without images": (NPY, npy(np.zeros((0, *SHAPE), np.uint8)), 422, "(0, 1, 6, 4)"),
    "half a .npy": (NPY, npy(GOOD)[:-3], 400, "21 bytes of the 24"),
    "a header that lies": (NPY, npy(GOOD).replace(b"(1, 1, 6, 4)", b"(9**9,1,6,4)"), 400, "no .npy file"),
    "a header that promises more": (NPY, npy(GOOD).replace(b"(1, 1, 6, 4)", b"(99,1, 6, 4)"), 400, "24 bytes of the"),
    "odd bytes": (RAW, bytes(25), 422, "25 bytes"),
    "a form without a boundary": ("multipart/form-data", form(("a.png", png())), 400, "boundary"),
    "a form of another boundary": (FORM, form(("a.png", png()), boundary=b"YY"), 400, "multipart"),
    "half a form": (FORM, form(("a.png", png()))[:-40], 400, "multipart"),
    "a form without files": (
        FORM,
        b'--XX\r\nContent-Disposition: form-data; name="x"\r\n\r\n1\r\n--XX--\r\n',
        422,
        "file",
    ),
    "a form with a file that is no image": (FORM, form(("a.png", png()), ("../../etc/b", b"x")), 422, "etc/b"),
    "a form with a long header": (FORM, form(("a" * 20_000, png())), 400, "header"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_bodies_are_refused_in_words_and_the_next_request_is_answered(serving, name):
    kind, body, status, words = WRONG[name]

    async def both(service):
        return await ask(service, kind=kind, body=body), await ask(service, kind=PNG, body=png())

    refused, answered = serving(both)
    assert refused.status == status, refused.body
    assert words in refused.json["error"]
    assert refused.json.keys() == {"error", "hint"}
    assert len(refused.body) < 1000
    assert answered.status == 200


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/../../etc/passwd", "//predict", "/predict/", "/form.html", "/%2e%2e/x", "/predict/../app.py", ""],
)
def test_other_paths_are_404(serving, path):
    answer = serving(lambda service: ask(service, path, method="GET"))
    assert (answer.status, answer.json["hint"]) == (404, "see /docs")


@pytest.mark.parametrize(
    ("path", "method"), [("/predict", "GET"), ("/predict", "PUT"), ("/health", "POST"), ("/", "DELETE")]
)
def test_other_methods_are_405(serving, path, method):
    answer = serving(lambda service: ask(service, path, method=method))
    assert answer.status == 405
    assert answer.headers["allow"] in ("GET", "POST")


def test_bodies_larger_than_allowed_are_413_whether_they_say_so_or_not(serving):
    async def both(service):
        declared = await ask(service, kind=RAW, body=bytes(2000), content_length="2000")
        chunked = await ask(service, kind=RAW, chunks=[bytes(600)] * 3)
        return declared, chunked

    for answer in serving(both, limits={"max_bytes": 1000}):
        assert (answer.status, answer.headers["connection"]) == (413, "close")
        assert "--max-bytes" in answer.json["hint"]


def test_bodies_that_come_too_slowly_are_408(serving):
    answer = serving(lambda service: ask(service, kind=RAW, chunks=[b"a"] * 50, pause=0.05), limits={"timeout": 0.12})
    assert (answer.status, answer.headers["connection"]) == (408, "close")


def test_too_many_images_are_413(serving):
    async def all_three(service):
        return [
            await ask(service, kind=RAW, body=bytes(24 * 6)),
            await ask(service, kind=FORM, body=form(*[("a.png", png())] * 6)),
            await ask(service, kind=FORM, body=form(*[("a.png", bomb(100, 100))] * 3)),
        ]

    answers = serving(all_three, limits={"max_images": 5, "max_pixels": 25_000})
    assert [answer.status for answer in answers] == [413, 413, 422]
    assert "6 images" in answers[0].json["error"]


def test_pixels_are_counted_over_all_files_of_a_request(serving):
    body = form(*[("a.png", png(size=(100, 100)))] * 3)
    answer = serving(lambda service: ask(service, kind=FORM, body=body), limits={"max_pixels": 25_000})
    assert (answer.status, "30,000 pixels" in answer.json["error"]) == (413, True)


def test_while_too_many_images_wait_others_are_told_to_come_back(serving):
    async def many(service):
        asked = [ask(service, kind=RAW, body=bytes(24)) for _ in range(60)]
        return await asyncio.gather(*asked), await ask(service, kind=RAW, body=bytes(24))

    answers, later = serving(many, limits={"max_waiting": 10, "max_batch": 4})
    refused = [answer for answer in answers if answer.status == 503]
    assert refused
    assert all(answer.headers["retry-after"] == "1" for answer in refused)
    assert {answer.status for answer in answers} == {200, 503}
    assert later.status == 200


def test_while_too_much_is_held_bodies_are_refused(serving):
    async def together(service):
        return await asyncio.gather(*[ask(service, kind=RAW, chunks=[bytes(12)] * 2, pause=0.02) for _ in range(20)])

    statuses = [answer.status for answer in serving(together, limits={"max_buffered": 200})]
    assert set(statuses) == {200, 503}


def test_a_model_that_fails_is_500_in_json_without_its_reason(serving, served, caplog):
    class Broken:
        def run(self, *_):
            raise RuntimeError("secret of the model")

    whole = served.session
    try:
        object.__setattr__(served, "session", Broken())
        answer = serving(lambda service: ask(service, kind=RAW, body=bytes(24)))
    finally:
        object.__setattr__(served, "session", whole)
    assert (answer.status, b"secret" in answer.body) == (500, False)
    assert "secret of the model" in caplog.text
