"""A Ray cluster of two nodes on this machine: each node in a network namespace of its own, joined by a virtual cable.

It takes root, for `ip netns`. The processes of a node are found through its namespace, so that no other is signalled.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ADDRESSES = ("10.77.0.1", "10.77.0.2")
PORT = 6390
STORE_BYTES = 100 * 1024**2


def can_make_namespaces() -> bool:
    """Whether this process may make network namespaces."""
    name = f"cvx{secrets.token_hex(3)}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False)
    if made.returncode == 0:
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
    return made.returncode == 0


class TwoNodes:
    """Node 0 is the head, and the driver's; `folder` holds each node's state, logs and temporary files."""

    def __init__(self, folder: Path, *, cpus: int = 1) -> None:
        self.folder, self.cpus = folder, cpus
        tag = secrets.token_hex(2)
        self.names = (f"cvx{tag}a", f"cvx{tag}b")
        self.cables = (f"v{tag}a", f"v{tag}b")
        # Unix sockets have paths of at most 107 characters.
        self.temporary = Path("/tmp") / f"cvx{tag}"  # noqa: S108
        self.token = secrets.token_hex(32)
        self.address = f"{ADDRESSES[0]}:{PORT}"

    def state(self, node: int) -> Path:
        """The node's CVEXP_STATE_DIR."""
        return self.folder / f"state-{node}"

    def environment(self, node: int) -> dict[str, str]:
        """Of every process on the node."""
        keep = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "CVEXP_", "PYTEST"))}
        return {
            **keep,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self.token,
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_worker_niceness": "0",  # by default 15: beside anything else, training would stand still
            "CVEXP_STATE_DIR": str(self.state(node)),
            "OMP_NUM_THREADS": "1",
        }

    def __enter__(self) -> Self:
        try:
            for name in self.names:
                _ip("netns", "add", name)
                _ip("-n", name, "link", "set", "lo", "up")
            a, b = self.cables
            _ip("link", "add", a, "netns", self.names[0], "type", "veth", "peer", "name", b, "netns", self.names[1])
            for name, cable, address in zip(self.names, self.cables, ADDRESSES, strict=True):
                _ip("-n", name, "addr", "add", f"{address}/24", "dev", cable)
                _ip("-n", name, "link", "set", cable, "up")
            self.start(0)
            self.start(1)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        for node in (1, 0):
            self.kill(node)
            subprocess.run(["ip", "netns", "del", self.names[node]], capture_output=True, check=False)
        shutil.rmtree(self.temporary, ignore_errors=True)

    def start(self, node: int) -> None:
        """Start the node's Ray, the head or one that joins it."""
        words = ["start", f"--node-ip-address={ADDRESSES[node]}", f"--num-cpus={self.cpus}", "--num-gpus=0"]
        words += [f"--object-store-memory={STORE_BYTES}", "--disable-usage-stats", "--include-log-monitor=false"]
        if node == 0:
            words += ["--head", f"--port={PORT}", "--include-dashboard=false", f"--temp-dir={self.temporary}"]
        else:
            words += [f"--address={self.address}"]
        ray = str(Path(sys.executable).with_name("ray"))
        done = self.run(node, [ray, *words], capture_output=True, text=True, timeout=180)
        if done.returncode:
            raise RuntimeError(f"ray start, node {node}: {done.stdout[-1500:]} {done.stderr[-1500:]}")

    def command(self, node: int, words: Sequence[str]) -> list[str]:
        """The words of a command that runs on the node."""
        return ["ip", "netns", "exec", self.names[node], *words]

    def run(self, node: int, words: Sequence[str], *, env: Mapping[str, str] | None = None, **options: object):
        """Run a command on the node to its end."""
        return subprocess.run(  # noqa: PLW1510 - as the caller wants it
            self.command(node, words), env={**self.environment(node), **(env or {})}, **options
        )

    def popen(self, node: int, words: Sequence[str], *, env: Mapping[str, str] | None = None, **options: object):
        """Start a command on the node."""
        return subprocess.Popen(self.command(node, words), env={**self.environment(node), **(env or {})}, **options)

    def pids(self, node: int) -> list[int]:
        """The processes on the node."""
        listed = subprocess.run(["ip", "netns", "pids", self.names[node]], capture_output=True, text=True, check=False)
        return [int(pid) for pid in listed.stdout.split()]

    def is_up(self, node: int) -> bool:
        """Whether the node's Ray is up."""
        commands = [Path(f"/proc/{pid}/cmdline") for pid in self.pids(node)]
        return any(b"/raylet/raylet" in file.read_bytes() for file in commands if file.exists())

    def kill(self, node: int) -> None:
        """SIGKILL every process on the node, as a loss of power would."""
        for _ in range(20):
            pids = self.pids(node)
            if not pids:
                return
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)

    def cut(self) -> None:
        """Pull the cable."""
        _ip("-n", self.names[1], "link", "set", self.cables[1], "down")

    def mend(self) -> None:
        """Plug it in again."""
        _ip("-n", self.names[1], "link", "set", self.cables[1], "up")

    @contextlib.contextmanager
    def server(self, folder: Path, *, port: int = 5077) -> Iterator[str]:
        """An MLflow server on node 0; yields its address."""
        folder.mkdir(parents=True, exist_ok=True)
        words = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
        words += ["--artifacts-destination", str(folder / "artifacts"), "--host", ADDRESSES[0], "--port", str(port)]
        words += ["--workers", "1", "--allowed-hosts", "*", "--cors-allowed-origins", "*"]
        env = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        with (folder / "server.log").open("wb") as log:
            process = self.popen(0, words, env=env, stdout=log, stderr=log, start_new_session=True)
        try:
            uri = f"http://{ADDRESSES[0]}:{port}"
            for _ in range(240):
                done = self.run(0, [sys.executable, "-c", _ASK, uri], capture_output=True)
                if done.returncode == 0:
                    break
                time.sleep(0.5)
            else:
                raise RuntimeError((folder / "server.log").read_text()[-2000:])
            yield uri
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


_ASK = "import sys, urllib.request; urllib.request.urlopen(sys.argv[1] + '/health', timeout=2)"


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
