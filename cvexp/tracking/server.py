"""MLflow's own user interface, on the store in use, small and on loopback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

from cvexp.errors import StoreError

if TYPE_CHECKING:
    from cvexp.settings import StoreSettings

HOST = "127.0.0.1"
READY_TIMEOUT_SECONDS = 120
STOP_TIMEOUT_SECONDS = 10


def charts_link(base: str, experiment_id: str) -> str:
    """The address of an experiment's charts, on the model-training side of MLflow's pages."""
    return f"{base}/#/experiments/{experiment_id}/runs?workflowType=machine_learning&compareRunsMode=CHART"


def start(settings: StoreSettings, *, port: int) -> subprocess.Popen[bytes]:
    """Start the server in a process group of its own, and wait until it answers.

    One worker, no job execution, no telemetry.

    Raises:
        StoreError: The port is taken, or the server does not come up.
    """
    if _taken(port):
        raise StoreError(f"port {port} of {HOST} is in use", "name another with --port")
    words = ["--backend-store-uri", settings.tracking_uri, "--host", HOST, "--port", str(port), "--workers", "1"]
    quiet = {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_UV_AUTO_DETECT": "false",
    }
    server = subprocess.Popen(  # noqa: S603 - our own interpreter, words of our own
        [sys.executable, "-m", "mlflow", "server", *words],
        env={**os.environ, **quiet},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait_until_ready(server, port)
    except BaseException:
        stop(server)
        raise
    return server


def stop(server: subprocess.Popen[bytes]) -> None:
    """End the server and its worker: asked first, forced after ten seconds."""
    import signal

    for signum in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, signum)
        except ProcessLookupError:
            break
        try:
            server.wait(STOP_TIMEOUT_SECONDS)
            break
        except subprocess.TimeoutExpired:
            continue


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
    return False


def _wait_until_ready(server: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise StoreError("MLflow's server ended at once", "see why: mlflow server")
        try:
            urllib.request.urlopen(f"http://{HOST}:{port}/health", timeout=1).close()
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
        else:
            return
    raise StoreError(f"MLflow's server did not answer within {READY_TIMEOUT_SECONDS} s", "see why: mlflow server")
