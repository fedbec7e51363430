"""The service as a real process: connections that misbehave, a drain under load, memory that stays flat."""

from __future__ import annotations

import json
import random
import signal
import socket
import threading
import time
from statistics import median

import numpy as np
import pytest

from tests.serving.made import SHAPE, form, npy, png, write_model
from tests.serving.process import Server

pytestmark = pytest.mark.slow
RAW = {"Content-Type": "application/octet-stream"}
N_BODIES = 10_000


@pytest.fixture
def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def server(tmp_path, free_port, request):
    write_model(tmp_path / "tiny.onnx")
    words = ["cvexp.serving", "tiny.onnx", "--port", str(free_port), *getattr(request, "param", [])]
    started = Server(words, cwd=tmp_path)
    yield started
    started.stop()


def raw_exchange(port, *pieces, pause=0.0, seconds=20):
    """What the server sends back on one connection until it closes it."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        answer = b""
        try:
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(pause)
            while more := connection.recv(65536):
                answer += more
        except ConnectionError:
            pass
        return answer


@pytest.mark.parametrize(
    "head",
    [
        b"\x16\x03\x01\x02\x00\x01",  # TLS
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
def test_what_is_no_http_is_400_in_json(server, head):
    answer = raw_exchange(server.port, head)
    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2]).keys() == {"error", "hint"}
    assert server.ask("POST", "/predict", bytes(24), RAW)[0] == 200


def test_endless_and_slow_headers_are_cut_off(server):
    endless = raw_exchange(server.port, b"GET / HTTP/1.1\r\n", *[b"x: " + b"a" * 8000 + b"\r\n"] * 12)
    assert endless == b""
    began = time.monotonic()
    assert raw_exchange(server.port, b"GET / HTTP/1.1\r\nHost: lo", seconds=30) == b""
    assert 5 < time.monotonic() - began < 20
    assert server.ask("POST", "/predict", bytes(24), RAW)[0] == 200


@pytest.mark.parametrize("server", [["--max-bytes", "100000", "--timeout", "1"]], indirect=True)
def test_bodies_that_are_too_large_or_slow_get_their_answer_on_the_wire(server):
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n"
    large = raw_exchange(server.port, head % 5_000_000, bytes(5_000_000))
    assert large.startswith(b"HTTP/1.1 413 ")
    slow = raw_exchange(server.port, head % 500, b"x")
    assert slow.startswith(b"HTTP/1.1 408 ")
    asked = raw_exchange(server.port, (head % 5_000_000).replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"))
    assert asked.startswith(b"HTTP/1.1 413 ")
    assert server.ask("POST", "/predict", bytes(24), RAW)[0] == 200


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_what_is_under_way_refuses_the_rest_and_exits_0(server, signum):
    body = bytes(24 * 200)
    answers, failures = [], []
    slow = server.connect()
    slow.putrequest("POST", "/predict")
    slow.putheader("Content-Type", "application/octet-stream")
    slow.putheader("Content-Length", "24")
    slow.endheaders(bytes(12))

    def keep_asking():
        connection = server.connect()
        while True:
            try:
                connection.request("POST", "/predict", body, RAW)
                response = connection.getresponse()
                answers.append((response.status, len(response.read()) > 2))
            except ConnectionError as error:  # refused, or closed between two requests
                failures.append(error)
                return
            except Exception as error:  # noqa: BLE001 - half an answer
                failures.append(error)
                return
            if response.status != 200:
                return

    askers = [threading.Thread(target=keep_asking) for _ in range(16)]
    for asker in askers:
        asker.start()
    time.sleep(1)
    server.process.send_signal(signum)
    time.sleep(0.3)
    assert server.process.poll() is None  # the slow one is under way
    assert server.ask("GET", "/health") == (503, {"status": "draining", "trouble": None})
    assert server.ask("POST", "/predict", bytes(24), RAW)[0] == 503
    slow.send(bytes(12))
    finished = slow.getresponse()
    assert (finished.status, len(json.loads(finished.read())["predictions"])) == (200, 1)
    assert server.process.wait(30) == 0
    for asker in askers:
        asker.join()
    assert {status for status, _ in answers} == {200, 503}
    assert all(is_whole for _, is_whole in answers)
    assert all(isinstance(error, ConnectionError) for error in failures), failures


def valid_bodies():
    pixels = np.random.default_rng(0).integers(0, 256, (2, *SHAPE), dtype=np.uint8)
    files = form(("a.png", png()), ("b.jpg", png(size=(50, 40), mode="RGB", form="JPEG")))
    return [
        ("image/png", png(size=(60, 50), mode="RGB")),
        ("image/jpeg", png(size=(64, 48), mode="RGB", form="JPEG")),
        ("image/gif", png(size=(20, 20), form="GIF")),
        ("image/tiff", png(size=(20, 20), form="TIFF")),
        ("image/webp", png(size=(20, 20), mode="RGB", form="WEBP")),
        ("application/x-npy", npy(pixels)),
        ("application/octet-stream", pixels.tobytes()),
        ("application/json", json.dumps({"images": pixels.tolist()}).encode()),
        ("multipart/form-data; boundary=XX", files),
    ]


def mutated(chance, body):
    """`body` with some bytes changed, cut out, doubled or put in."""
    made = bytearray(body)
    for _ in range(chance.randint(1, 6)):
        at, size = chance.randrange(len(made) + 1), chance.choice([1, 1, 2, 4, 16, 200])
        how = chance.randrange(5)
        if how == 0:
            made[at : at + size] = chance.randbytes(len(made[at : at + size]))
        elif how == 1:
            del made[at : at + size]
        elif how == 2:
            made[at:at] = made[at : at + size]
        elif how == 3:
            made[at:at] = chance.randbytes(size)
        else:
            made[at : at + 4] = chance.choice([b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x7f\xff\xff\xff", b"9999"])
    return bytes(made)


def test_ten_thousand_damaged_bodies_leave_it_alive_and_its_memory_flat(server):
    chance, bodies, statuses = random.Random(16), valid_bodies(), {}
    connection = server.connect()
    sizes = []
    for turn in range(N_BODIES):
        kind, body = chance.choice(bodies)
        if chance.random() < 0.05:
            kind = chance.choice(bodies)[0]
        connection.request("POST", "/predict", mutated(chance, body), {"Content-Type": kind})
        response = connection.getresponse()
        answer = json.loads(response.read())
        statuses[response.status] = statuses.get(response.status, 0) + 1
        assert response.status in (200, 400, 413, 415, 422), (kind, response.status, answer)
        assert "predictions" in answer if response.status == 200 else answer["error"]
        if turn % 500 == 499:
            sizes.append(server.rss())
    for kind, body in bodies:
        assert server.ask("POST", "/predict", body, {"Content-Type": kind})[0] == 200
    print(statuses, [size // 2**20 for size in sizes])  # noqa: T201 - what the campaign reports
    assert statuses[200] > 500
    assert statuses[422] > 500
    warm, end = median(sizes[4:9]), median(sizes[-5:])  # single ones are as large as the image that was decoded last
    assert end - warm < 24 * 2**20
    assert "Traceback" not in server.errors()
