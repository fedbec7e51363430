"""A web server that answers every request in the same way, and what a refusal looks like."""

from __future__ import annotations

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BOX = set("╭╮╰╯│─┏┓┗┛┃━")
HTML = "text/html", b"<!doctype html><title>gateway</title><p>not here</p>"
JSON = "application/json"
ANSWERS = {
    "401": (401, *HTML),
    "403": (403, *HTML),
    "403 empty": (403, "text/plain", b""),
    "404": (404, *HTML),
    "500": (500, *HTML),
    "html": (200, *HTML),
    "cut": (200, JSON, b'{"experiment": {"experiment_id": "0", "na'),
    "list": (200, JSON, b"[1, 2]"),
    "number": (200, JSON, b'{"experiment": 3}'),
    "nothing": (200, JSON, b"{}"),
}


@contextlib.contextmanager
def answering(kind):
    """The port of a server on loopback that gives `ANSWERS[kind]` to whatever it is asked."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, content_type, body = ANSWERS[kind]
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def __getattr__(self, name):
            if name.startswith("do_"):
                return self.answer
            raise AttributeError(name)

        def log_message(self, *_arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    # `shutdown` waits for the next poll; the default interval of 0.5 s would cost every test as much.
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def check_refusal(code, stdout, stderr, *named):
    """Exit code 2, nothing on stdout, at most three plain lines on stderr with everything in `named`."""
    lines = stderr.splitlines()
    assert code == 2, stderr
    assert stdout == ""
    assert 1 <= len(lines) <= 3, stderr
    assert lines[0].startswith("error: ")
    for text in named:
        assert text in stderr
    assert "Traceback" not in stderr
    assert not BOX & set(stderr)
    assert stderr.replace("\n", "").isprintable()
