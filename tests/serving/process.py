"""The service as a real process."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path


class Server:
    """`python -m cvexp.serving` or `cvexp serve`, ready to be asked."""

    def __init__(self, words, *, cwd, env=None, seconds=500):
        self._errors = (cwd / "serve.err").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", *words], cwd=cwd, env={**os.environ, **(env or {})},
            stdout=subprocess.PIPE, stderr=self._errors, text=True,
        )  # fmt: skip
        self.port = int(words[words.index("--port") + 1])
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(OSError):
                if self.ask("GET", "/health")[0] == 200:
                    return
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"it did not start: {self.errors()}")
            time.sleep(0.05)

    def errors(self):
        self._errors.seek(0)
        return self._errors.read()

    def connect(self, *, timeout=180):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def ask(self, method, path, body=None, headers=None):
        """Status and JSON, or the bytes of what is none."""
        connection = self.connect()
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        is_json = response.getheader("content-type", "").startswith("application/json")
        return response.status, json.loads(content) if is_json else content

    def rss(self):
        """Resident bytes."""
        resident = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(resident) * os.sysconf("SC_PAGE_SIZE")

    def stop(self, signum=signal.SIGTERM, *, seconds=60):
        """Its exit code after the signal."""
        if self.process.poll() is None:
            self.process.send_signal(signum)
        try:
            return self.process.wait(seconds)
        finally:
            if self.process.poll() is None:
                self.process.kill()
            self.process.stdout.close()
            self._errors.close()
