"""A team's server as examples/server starts it: PostgreSQL in a temporary folder, MLflow with an account a role."""

from __future__ import annotations

import getpass
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from tests.faults import killing

EXAMPLE = killing.ROOT / "examples" / "server"
ROLES = ("reader", "trainer", "registrar", "owner")
ADMIN_PASSWORD, DATABASE_PASSWORD = "administrator 1", "it's a p@ss"
READY_SECONDS = 180


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def programs():
    """The folder of PostgreSQL's programs, newest version first; None where there is none."""
    found = shutil.which("initdb")
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    return Path(found).parent if found else folders[-1] if folders else None


class Postgres:
    """A cluster on a port of the loopback interface; PostgreSQL does not run as root, but as `postgres`.

    Its folder is none of pytest's, which every session on the machine makes unreadable for other users.
    """

    def __init__(self):
        self.folder, self.port, self.bin = Path(tempfile.mkdtemp(prefix="cvexp-postgres-")), free_port(), programs()
        folder = self.folder
        (folder / "password").write_text("superuser 1")
        self._as = []
        if getpass.getuser() == "root":
            subprocess.run(["chown", "-R", "postgres", folder], check=True)
            self._as = ["runuser", "-u", "postgres", "--"]
        self._run("initdb", "-D", folder / "data", "-U", "postgres", "-A", "scram-sha-256", "-E", "UTF8", "--no-sync",
                  "--pwfile", folder / "password")  # fmt: skip

    def _run(self, program, *words):
        done = subprocess.run(
            [*self._as, self.bin / program, *words], capture_output=True, text=True, check=False, cwd="/", timeout=100
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self):
        options = f"-c listen_addresses=127.0.0.1 -c port={self.port} -c unix_socket_directories={self.folder}"
        log = self.folder / "log"
        subprocess.run(
            [*self._as, self.bin / "pg_ctl", "-D", self.folder / "data", "-w", "-l", log, "-o", options, "start"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True, cwd="/", timeout=100,
        )  # fmt: skip

    def stop(self, mode="fast"):
        self._run("pg_ctl", "-D", self.folder / "data", "-w", "-m", mode, "stop")

    def remove(self):
        self.stop("immediate")
        shutil.rmtree(self.folder)

    @property
    def environment(self):
        return {"PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGUSER": "mlflow", "PGPASSWORD": DATABASE_PASSWORD}

    def make_databases(self):
        superuser = {"PGUSER": "postgres", "PGPASSWORD": "superuser 1", "MLFLOW_DB_PASSWORD": DATABASE_PASSWORD}
        subprocess.run([EXAMPLE / "database.sh"], check=True, env={**os.environ, **self.environment, **superuser})


class TeamServer:
    """MLflow's server on the cluster, started by the example's own script."""

    def __init__(self, folder, postgres, **settings):
        self.folder, self.postgres, self.settings, self.port = folder, postgres, settings, free_port()
        self.uri, self.process = f"http://127.0.0.1:{self.port}", None
        folder.mkdir()

    def start(self):
        own = {
            "PORT": str(self.port),
            "ARTIFACTS": str(self.folder / "artifacts"),
            "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN_PASSWORD,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "0123456789abcdef" * 2,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [EXAMPLE / "start.sh"],
                cwd=self.folder,
                env={**os.environ, **self.postgres.environment, **own, **self.settings},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                urllib.request.urlopen(f"{self.uri}/health", timeout=1).close()
            except OSError:
                time.sleep(0.2)
            else:
                return self
        raise TimeoutError((self.folder / "log").read_text()[-3000:])

    def stop(self, signum=signal.SIGTERM):
        if self.process is not None:
            os.killpg(self.process.pid, signum)
            self.process.wait(30)
            self.process = None

    def account(self, name, role):
        """Give a person an account, by the example's own script."""
        accounts().main(name, role)


def accounts():
    """The example's script as a module."""
    spec = importlib.util.spec_from_file_location("accounts", EXAMPLE / "accounts.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def signed_in(uri, name, password=None):
    """The environment of a person who uses the server."""
    return {
        "MLFLOW_TRACKING_URI": uri,
        "MLFLOW_TRACKING_USERNAME": name,
        "MLFLOW_TRACKING_PASSWORD": password_of(name) if password is None else password,
    }


def password_of(name):
    return ADMIN_PASSWORD if name == "admin" else f"the password of {name}"


def make_accounts(uri, monkeypatch):
    """One account a role, called like it, and `stranger`, who has none."""
    from mlflow.server import get_app_client

    script = accounts()
    for key, value in signed_in(uri, "admin").items():
        monkeypatch.setenv(key, value)
    for role in ROLES:
        monkeypatch.setenv("NEW_PASSWORD", password_of(role))
        script.main(role, role)
    get_app_client("basic-auth", uri).create_user("stranger", password_of("stranger"))
