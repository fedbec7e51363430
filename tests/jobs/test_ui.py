from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

from cvexp.tracking.views import VIEW_ID
from tests.faults import killing


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.slow
def test_the_pages_are_served_until_ctrl_c(lab):
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "cvexp", "ui", "--port", str(port)],
        cwd=lab.folder,
        env=os.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=killing.heeding,
    )
    try:
        link = process.stdout.readline().strip()
        start, _, route = link.partition("#")
        assert start == f"http://127.0.0.1:{port}/"
        view = f"workflowType=machine_learning&viewStateShareKey={VIEW_ID}&compareRunsMode=CHART"
        assert route == f"/experiments/0/runs?{view}"
        with urllib.request.urlopen(start, timeout=20) as page:
            assert b"MLflow" in page.read()
    finally:
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=30)
    assert process.returncode == 0
    assert stderr.splitlines() == ["Ctrl-C ends it", "ended"]
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_port_in_use_is_refused(cvexp, lab):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        refused = cvexp("ui", "--port", str(taken.getsockname()[1]))
    assert refused.code == 2
    assert "in use" in refused.stderr


def test_without_a_store_there_is_nothing_to_show(cvexp, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused = cvexp("ui")
    assert (refused.code, list(tmp_path.iterdir())) == (2, [])
