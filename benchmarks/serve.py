"""`cvexp serve` beside `mlflow models serve` of the same run: throughput, latency and errors under load.

wrk sends the test images of Fashion-MNIST, one a request: as JSON to both, and to cvexp as PNG and as bytes too. Both
servers are up all the time, each is one process with its defaults, and while one is asked the other does nothing.
Client and server share the processor.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measure import Row, save

if TYPE_CHECKING:
    from collections.abc import Iterator

CONCURRENCIES = (1, 8, 32, 128)
N_IMAGES = 500
READY_SECONDS = 300
TOLERANCE = 1e-4
MLFLOW, CVEXP = "mlflow models serve", "cvexp serve"

WRK = """
local bodies = {}
for line in io.lines("%(bodies)s") do
  local binary = {}
  for byte in line:gmatch("..") do binary[#binary + 1] = string.char(tonumber(byte, 16)) end
  bodies[#bodies + 1] = table.concat(binary)
end
local sent, headers = 0, {["Content-Type"] = "%(kind)s"}
function request()
  sent = sent + 1
  return wrk.format("POST", "%(path)s", headers, bodies[sent %% #bodies + 1])
end
function done(summary, latency)
  local e = summary.errors
  print(string.format('{"requests": %%d, "seconds": %%f, "errors": %%d, "p50": %%f, "p95": %%f, "p99": %%f}',
    summary.requests, summary.duration / 1e6, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50) / 1e3, latency:percentile(95) / 1e3, latency:percentile(99) / 1e3))
end
"""


@dataclass(frozen=True, kw_only=True)
class Client:
    """A server and one form of body: for wrk the path, type and bodies, one a line in hexadecimal digits."""

    server: str
    form: str
    path: str
    kind: str
    bodies: list[bytes]

    @property
    def name(self) -> str:
        """For the table."""
        return f"{self.server}, {self.form}"


def run(*, models: list[str], repeats: int, seconds: int, name: str) -> None:
    """Measure, print the tables, and write them to `benchmarks/results/`."""
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed: apt install wrk")
    tables: dict[str, list[Row]] = {}
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for model in models:
            folder = Path(scratch) / model
            folder.mkdir()
            run_id = _trained(model, folder)
            with _servers(run_id, folder) as (ports, memory):
                clients = _clients(_images(folder))
                _check(ports, clients)
                found = _in_turns(ports, clients, folder, repeats, seconds)
                for (concurrency, client), samples in found.items():
                    title = f"{model}, concurrency {concurrency}: ms a request, 1000 / throughput"
                    per_request = [1000 * one["seconds"] / one["requests"] for one in samples]
                    tables.setdefault(title, []).append(Row(name=client, samples=per_request))
                    figures.setdefault(model, {}).setdefault(str(concurrency), {})[client] = samples
                figures[model]["memory MiB"] = {server: round(memory(server), 1) for server in ports}
            print(f"\n{model}\n\n{_table(found)}\n\nmemory, MiB: {figures[model]['memory MiB']}", flush=True)
    print(f"\nwritten to {save(name, tables, notes={'figures': figures})}")


def _trained(model: str, folder: Path) -> str:
    words = ["train", model, "--epochs", "1", "--limit", "2000", "--device", "cpu", "--name", "served", "--json"]
    done = subprocess.run(  # noqa: S603 - our own interpreter, words of our own
        [sys.executable, "-m", "cvexp", *words], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"training failed:\n{done.stderr[-3000:]}")
    return str(json.loads(done.stdout)["run_id"])


def _images(folder: Path) -> Any:
    """uint8 (N, 1, 28, 28), read by cvexp in a process of its own, so that this one stays small."""
    script = (
        "import numpy as np\nfrom cvexp.config.data import DataConfig\nfrom cvexp.data.dataset import load_dataset\n"
        "from cvexp.settings import data_dir\n"
        f"images = load_dataset(DataConfig(), data_dir()).test.images[:{N_IMAGES}]\n"
        "np.save('images.npy', images.numpy())"
    )
    subprocess.run([sys.executable, "-c", script], cwd=folder, check=True)  # noqa: S603 - likewise
    import numpy as np

    return np.load(folder / "images.npy")


def _clients(images: Any) -> list[Client]:
    from PIL import Image

    def png(image: Any) -> bytes:
        stream = io.BytesIO()
        Image.fromarray(image[0]).save(stream, "PNG")
        return stream.getvalue()

    def arrays(field: str) -> list[bytes]:
        return [json.dumps({field: [image.tolist()]}).encode() for image in images]

    kind = "application/json"
    return [
        Client(server=MLFLOW, form="JSON", path="/invocations", kind=kind, bodies=arrays("inputs")),
        Client(server=CVEXP, form="JSON", path="/predict", kind=kind, bodies=arrays("images")),
        Client(server=CVEXP, form="PNG", path="/predict", kind="image/png", bodies=[png(image) for image in images]),
        Client(
            server=CVEXP,
            form="bytes",
            path="/predict",
            kind="application/octet-stream",
            bodies=[image.tobytes() for image in images],
        ),
    ]


@contextlib.contextmanager
def _servers(run_id: str, folder: Path) -> Iterator[tuple[dict[str, int], Any]]:
    """The port of each server within the block, and how much memory each holds."""
    ports = {MLFLOW: _free_port(), CVEXP: _free_port()}
    commands = {
        MLFLOW: ["mlflow", "models", "serve", "-m", f"runs:/{run_id}/model", "--env-manager", "local"],
        CVEXP: ["cvexp", "serve", run_id],
    }
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
    started = {}
    try:
        for server, words in commands.items():
            with (folder / f"{server}.log").open("w") as log:
                started[server] = subprocess.Popen(  # noqa: S603 - likewise
                    [sys.executable, "-m", *words, "--host", "127.0.0.1", "--port", str(ports[server])],
                    cwd=folder,
                    env=environment,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        for server, port in ports.items():
            _wait(port, started[server], folder / f"{server}.log")
        yield ports, lambda server: _memory_mib(started[server].pid)
    finally:
        for process in started.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)


def _memory_mib(pid: int) -> float:
    """Resident memory of a process and all its children, without what they share."""
    import psutil

    root = psutil.Process(pid)
    return sum(one.memory_full_info().uss for one in [root, *root.children(recursive=True)]) / 2**20


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2):
            return
        time.sleep(0.5)
    raise SystemExit(f"no server at port {port}:\n{log.read_text()[-3000:]}")


def _check(ports: dict[str, int], clients: list[Client]) -> None:
    """Every client gets the same logits for the same images."""
    for k in range(10):
        logits = [_logits(ports[client.server], client, client.bodies[k]) for client in clients]
        for client, one in zip(clients, logits, strict=True):
            furthest = max(abs(a - b) for a, b in zip(one, logits[0], strict=True))
            if furthest > TOLERANCE:
                raise SystemExit(f"{client.name} differs by {furthest:.2g} from {clients[0].name}")


def _logits(port: int, client: Client, body: bytes) -> list[float]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{client.path}", body, {"Content-Type": client.kind})
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310 - likewise
        (one,) = json.load(response)["predictions"]
    return list(one["logits"] if client.server == CVEXP else one)


def _in_turns(
    ports: dict[str, int], clients: list[Client], folder: Path, repeats: int, seconds: int
) -> dict[tuple[int, str], list[dict[str, float]]]:
    """What wrk found, by concurrency and client: once unmeasured, then everyone in turns."""
    found: dict[tuple[int, str], list[dict[str, float]]] = {}
    for client in clients:
        _load(ports[client.server], client, folder, concurrency=8, seconds=1)
    for turn in range(repeats):
        for concurrency in CONCURRENCIES:
            for client in clients:
                step = f"turn {turn + 1}/{repeats}, concurrency {concurrency}: {client.name}"
                print(step, file=sys.stderr, flush=True)
                one = _load(ports[client.server], client, folder, concurrency=concurrency, seconds=seconds)
                if one["errors"]:
                    raise SystemExit(f"{client.name} at concurrency {concurrency}: {one['errors']} errors")
                found.setdefault((concurrency, client.name), []).append(one)
    return found


def _load(port: int, client: Client, folder: Path, *, concurrency: int, seconds: int) -> dict[str, float]:
    bodies, script = folder / "bodies.txt", folder / "wrk.lua"
    bodies.write_text("\n".join(body.hex() for body in client.bodies))
    script.write_text(WRK % {"bodies": bodies, "kind": client.kind, "path": client.path})
    words = ["wrk", "-t1", f"-c{concurrency}", f"-d{seconds}s", "--timeout", "60s", "-s", str(script)]
    done = subprocess.run([*words, f"http://127.0.0.1:{port}"], capture_output=True, text=True, check=True)  # noqa: S603
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _table(found: dict[tuple[int, str], list[dict[str, float]]]) -> str:
    """Markdown: medians over the turns; the ratio is the median of the ratios within a turn."""
    lines = [
        "| at once | server, body | requests/s | times MLflow | p50 ms | p95 ms | p99 ms |",
        "|---:|---|---:|---:|---:|---:|---:|",
    ]
    for (concurrency, client), samples in found.items():
        rates = [one["requests"] / one["seconds"] for one in samples]
        base = [one["requests"] / one["seconds"] for one in found[concurrency, f"{MLFLOW}, JSON"]]
        ratio = statistics.median(rate / other for rate, other in zip(rates, base, strict=True))
        p50, p95, p99 = (statistics.median(one[key] for one in samples) for key in ("p50", "p95", "p99"))
        rate = statistics.median(rates)
        lines.append(f"| {concurrency} | {client} | {rate:,.0f} | {ratio:.1f} | {p50:.1f} | {p95:.1f} | {p99:.1f} |")
    return "\n".join(lines)
