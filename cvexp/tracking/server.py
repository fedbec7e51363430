"""MLflow's own user interface, on the store in use, small and on loopback."""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

from cvexp.addresses import in_brackets
from cvexp.errors import StoreError
from cvexp.imports import child_environment
from cvexp.settings import ADMIN
from cvexp.tracking.store import make_state_dir
from cvexp.tracking.views import TRAINING_PAGES

if TYPE_CHECKING:
    from pathlib import Path

    from cvexp.settings import StoreSettings

AUTH = "auth"  # the folder of names and passwords, within the folder for local state
AUTH_CACHE, AUTH_CACHE_SECONDS = "auth_cache_ttl_seconds", 60
"""How long a password that was right is not checked again; a check costs 0.1 s of CPU, and each request needs three."""

READY_TIMEOUT_SECONDS = 120
STOP_TIMEOUT_SECONDS = 10


def charts_link(base: str, experiment_id: str, *, view_id: str = "") -> str:
    """The address of an experiment's charts in MLflow's pages for training, as the saved view `view_id` has them."""
    view = f"&viewStateShareKey={view_id}" if view_id else ""
    return f"{base}/#/experiments/{experiment_id}/runs?{TRAINING_PAGES}{view}&compareRunsMode=CHART"


def password_file(settings: StoreSettings) -> Path:
    """The file that tells MLflow's basic auth which name and password to ask for; made where there is none.

    The password is random, and only the file's owner may read it. MLflow reads it only to begin a database of
    accounts, so with a new password that begins anew too; the one of before is moved aside.
    """
    folder = make_state_dir(settings) / AUTH
    file = folder / "basic_auth.ini"
    accounts = folder / "basic_auth.db"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        if file.exists():
            _cache_logins(file)
        else:
            _move_aside(accounts)
            lines = {
                "default_permission": "READ",
                "database_uri": f"sqlite:///{accounts.absolute()}",
                "admin_username": ADMIN,
                "admin_password": secrets.token_urlsafe(18),
                AUTH_CACHE: str(AUTH_CACHE_SECONDS),
            }
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
                stream.write("[mlflow]\n" + "".join(f"{key} = {value}\n" for key, value in lines.items()))
    except OSError as error:
        raise StoreError(f"cannot write {file}: {error.strerror}", "check the folder's permissions") from error
    return file


def _cache_logins(file: Path) -> None:
    """Add the cache to a file that an earlier version wrote."""
    if AUTH_CACHE not in file.read_text():
        with file.open("a") as stream:
            stream.write(f"{AUTH_CACHE} = {AUTH_CACHE_SECONDS}\n")


def _move_aside(accounts: Path) -> None:
    """Give a database, and what SQLite keeps beside it, a name that none has yet."""
    if not accounts.exists():
        return
    n = next(n for n in itertools.count(1) if not accounts.with_name(f"{accounts.stem}-{n}.db").exists())
    for suffix in ("-journal", "-wal", "-shm", ""):  # the database last: as long as it is there, this is not done
        with contextlib.suppress(FileNotFoundError):
            accounts.with_name(accounts.name + suffix).rename(accounts.with_name(f"{accounts.stem}-{n}.db{suffix}"))


def start(settings: StoreSettings, *, host: str, port: int, auth: Path | None) -> subprocess.Popen[bytes]:
    """Start the server in a process group of its own, and wait until it answers: one worker, no jobs, no telemetry.

    `auth` is from `password_file`; without it no password is asked for.

    Raises:
        StoreError: The port is taken, or the server does not come up.
    """
    if _taken(host, port):
        raise StoreError(f"port {port} of {host} is in use, or not this machine's", "name another with --port")
    words = ["--host", host, "--port", str(port), "--workers", "1"]
    quiet = {
        # Not an argument: those every user of the machine may read, and the address may hold a password.
        "MLFLOW_BACKEND_STORE_URI": settings.tracking_uri,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_UV_AUTO_DETECT": "false",
    }
    if auth is not None:
        words += ["--app-name", "basic-auth"]
        quiet["MLFLOW_AUTH_CONFIG_PATH"] = str(auth.absolute())
        quiet["MLFLOW_FLASK_SERVER_SECRET_KEY"] = secrets.token_hex(32)
    server = subprocess.Popen(  # noqa: S603 - our own interpreter, words of our own
        [sys.executable, "-P", "-m", "mlflow", "server", *words],
        env={**child_environment(), **quiet},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait_until_ready(server, host, port)
    except BaseException:
        stop(server)
        raise
    return server


def stop(server: subprocess.Popen[bytes]) -> None:
    """End the server and its worker: asked first, forced after ten seconds."""
    import signal

    for signum in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(subprocess.TimeoutExpired):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signum)
                server.wait(STOP_TIMEOUT_SECONDS)
            break


def _taken(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False


def _wait_until_ready(server: subprocess.Popen[bytes], host: str, port: int) -> None:
    unspecified = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - what to ask, where all are listened on
    asked = unspecified.get(host) or in_brackets(host)
    deadline = time.monotonic() + READY_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise StoreError("MLflow's server ended at once", "see why: mlflow server")
        try:
            urllib.request.urlopen(f"http://{asked}:{port}/health", timeout=1).close()
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
        else:
            return
    raise StoreError(f"MLflow's server did not answer within {READY_TIMEOUT_SECONDS} s", "see why: mlflow server")
