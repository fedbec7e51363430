"""`python -m cvexp.serving FILE`: serve an ONNX file where torch, MLflow and the command line are not installed."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path

from cvexp.errors import CvexpError
from cvexp.serving.access import hosts_for, token_for
from cvexp.serving.app import Service
from cvexp.serving.limits import Limits
from cvexp.serving.served import load
from cvexp.serving.server import bound, loop_factory, serve


def main() -> int:
    """Serve until SIGTERM; the exit code."""
    usual = Limits()
    parser = argparse.ArgumentParser(prog="python -m cvexp.serving", description=__doc__)
    parser.add_argument("file", type=Path, help="that cvexp exported")
    parser.add_argument("--host", default="127.0.0.1", help="on any but this, CVEXP_SERVE_TOKEN has to hold a token")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--max-batch", type=int, default=usual.max_batch)
    parser.add_argument("--max-wait-ms", type=float, default=usual.max_wait_ms)
    parser.add_argument("--max-bytes", type=int, default=usual.max_bytes)
    parser.add_argument("--timeout", type=float, default=usual.timeout)
    asked = vars(parser.parse_args())
    file, host, port = asked.pop("file"), asked.pop("host"), asked.pop("port")
    n_cores = len(os.sched_getaffinity(0))
    try:
        token = token_for(host)
        served = load(file, name=file.name, n_threads=max(1, n_cores - 1))
        listening = bound(host, port)
    except CvexpError as error:
        sys.stderr.write("error: " + "\n  ".join(error.lines()) + "\n")
        return error.exit_code
    hosts = None if token else hosts_for(host)
    service = Service(served, limits=Limits(**asked), n_threads=n_cores, token=token, hosts=hosts)
    sys.stderr.write(f"listening on {host}:{listening.getsockname()[1]}\n")
    with listening, asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(serve(service, listening))
    return 0


if __name__ == "__main__":
    sys.exit(main())
