"""Requests to MLflow's server as it may be started: milliseconds each on one connection, and server CPU with accounts.

`python -m benchmarks.team_server [N]` prints a line for each way; N requests (100) after a warm-up, on loopback. The
store is SQLite, and the request reads one experiment.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import requests

if TYPE_CHECKING:
    from collections.abc import Iterator

PATH = "/api/2.0/mlflow/experiments/get?experiment_id=0"
PASSWORD = secrets.token_urlsafe(18)
ASYNCIO, UVLOOP = ("--uvicorn-opts", "--loop asyncio"), ("--uvicorn-opts", "--loop uvloop")
WAYS = {
    # name: (arguments, seconds that a right password is remembered; None without accounts)
    "1 worker, asyncio (as cvexp ui)": (("--workers", "1", *ASYNCIO), None),
    "2 workers, asyncio": (("--workers", "2", *ASYNCIO), None),
    "2 workers, uvloop": (("--workers", "2", *UVLOOP), None),
    "2 workers, gunicorn": (("--workers", "2", "--gunicorn-opts", "--timeout 120"), None),
    "1 worker, passwords checked each time": (("--workers", "1", *UVLOOP), 0),
    "1 worker, passwords remembered for 60 s": (("--workers", "1", *UVLOOP), 60),
}


@contextlib.contextmanager
def served(folder: Path, words: tuple[str, ...], remembered: int | None) -> Iterator[tuple[str, psutil.Process]]:
    """MLflow's server while the block lasts: its address, and its process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{folder}/mlflow.db",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    if remembered is not None:
        config = folder / f"auth-{remembered}.ini"
        config.write_text(
            f"[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///{folder}/auth.db\n"
            f"admin_username = admin\nadmin_password = {PASSWORD}\nauth_cache_ttl_seconds = {remembered}\n"
        )
        words = (*words, "--app-name", "basic-auth")
        environment |= {"MLFLOW_AUTH_CONFIG_PATH": str(config), "MLFLOW_FLASK_SERVER_SECRET_KEY": PASSWORD}
    server = subprocess.Popen(  # noqa: S603 - our own interpreter, words of our own
        [sys.executable, "-m", "mlflow", "server", "--port", str(port), *words],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        while True:
            with contextlib.suppress(requests.ConnectionError):
                requests.get(f"{address}/health", timeout=5)
                break
            time.sleep(0.2)
        yield address, psutil.Process(server.pid)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def cpu_seconds(server: psutil.Process) -> float:
    """Processor time of the server and its workers so far."""
    times = [one.cpu_times() for one in (server, *server.children(recursive=True))]
    return sum(one.user + one.system for one in times)


def main(n_requests: int) -> None:
    """Measure each way, and print it."""
    with tempfile.TemporaryDirectory() as scratch:
        for name, (words, remembered) in WAYS.items():
            with served(Path(scratch), words, remembered) as (address, server), requests.Session() as session:
                session.auth = None if remembered is None else ("admin", PASSWORD)
                for _ in range(10):
                    session.get(address + PATH, timeout=60).raise_for_status()
                before, milliseconds = cpu_seconds(server), []
                for _ in range(n_requests):
                    start = time.perf_counter()
                    session.get(address + PATH, timeout=60).raise_for_status()
                    milliseconds.append(1000 * (time.perf_counter() - start))
                cpu = 1000 * (cpu_seconds(server) - before) / n_requests
            low, median = min(milliseconds), statistics.median(milliseconds)
            print(f"{name:42} median {median:6.1f} ms, least {low:6.1f} ms, CPU {cpu:6.1f} ms a request", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 100)
