"""Serve a trained model over HTTP: an ONNX file as it is, anything else exported to one by a child process."""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cvexp.errors import ConfigError, CvexpError
from cvexp.settings import LOOPBACK

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from pathlib import Path

    from cvexp.jobs.serve_source import Source
    from cvexp.serving.app import Service
    from cvexp.serving.limits import Limits
    from cvexp.serving.worker import Worker
    from cvexp.settings import StoreSettings

EXTRA = "pip install 'cvexp[serve]'"


@dataclass(frozen=True, kw_only=True, slots=True)
class Serving:
    """A service that has begun.

    Attributes:
        link: Its address.
        name: Of the model, as `run_id` and `version`, which is `models:/NAME/VERSION` or empty.
        needs_token: Whether requests have to bring one.
        explains: Whether the form shows where the evidence is.
    """

    link: str
    name: str
    run_id: str
    version: str
    needs_token: bool
    explains: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Events:
    """What is called as the service goes on."""

    exporting: Callable[[str], None]
    ready: Callable[[Serving], None]
    swapped: Callable[[str], None]
    trouble: Callable[[CvexpError], None]
    draining: Callable[[], None]
    ended: Callable[[], None]


def check_installed() -> None:
    """Raise ConfigError where the extra is not installed."""
    try:
        import httptools  # noqa: F401
        import prometheus_client  # noqa: F401
        import python_multipart  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise ConfigError(f"serving needs the package {error.name}, which is not installed", EXTRA) from error


def run(
    selector: str,
    settings: StoreSettings,
    *,
    events: Events,
    limits: Limits,
    host: str = LOOPBACK,
    port: int = 8000,
    token_file: Path | None = None,
    look_up_seconds: float = 5.0,
    n_threads: int | None = None,
    trusted_factory: str | None = None,
) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Args:
        selector: A run, an exported file, or `models:/NAME@ALIAS`, which is looked up again every `look_up_seconds`
            (0: never); the model that it then means takes over.
        settings: Where runs are.
        events: What is called as it goes on.
        limits: On requests.
        host: The address to listen on; on any but loopback, requests need a token.
        port: To listen on; 0 for any free one.
        look_up_seconds: See `selector`.
        token_file: Holds the token; without it, CVEXP_SERVE_TOKEN.
        n_threads: CPU threads of one forward pass; by default all but one core.
        trusted_factory: `package.module:factory` of a model that is not in the registry.

    Raises:
        InputError: The model, the address or the token cannot be used.
    """
    check_installed()
    from cvexp.jobs.serve_source import Source
    from cvexp.serving.access import token_for
    from cvexp.serving.server import bound, loop_factory

    token = token_for(host, token_file)
    listening = bound(host, port)  # before a minute of export
    source = Source(selector, settings, n_threads=n_threads or max(1, n_cores() - 1), trusted_factory=trusted_factory)
    with listening, asyncio.Runner(loop_factory=loop_factory()) as runner:
        serving = _serve(source, listening, token=token, host=host, limits=limits, every=look_up_seconds, events=events)
        runner.run(serving)
    events.ended()


async def _serve(
    source: Source, listening: socket.socket, *, token: str, host: str, limits: Limits, every: float, events: Events
) -> None:
    from cvexp.serving.access import hosts_for
    from cvexp.serving.app import Service
    from cvexp.serving.explainer import Explainer
    from cvexp.serving.server import serve

    async with source.worker() as worker:
        if not source.is_onnx:
            events.exporting(source.selector)
        served = await source.first(worker)
        watches = source.may_move and every > 0
        if not watches:  # torch and MLflow take half a gigabyte
            await worker.close()
        explainer = None if source.is_onnx else Explainer(worker)
        hosts = None if token else hosts_for(host)
        service = Service(served, limits=limits, n_threads=n_cores(), token=token, hosts=hosts, explainer=explainer)
        serving = Serving(
            link=_link(host, listening.getsockname()[1]),
            name=served.name,
            run_id=served.run_id,
            version=served.version,
            needs_token=bool(token),
            explains=explainer is not None,
        )
        watch = asyncio.create_task(_watch(service, source, worker, every, events)) if watches else None
        try:
            await serve(service, listening, on_ready=lambda: events.ready(serving), on_drain=events.draining)
        finally:
            if watch is not None:
                watch.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await watch


async def _watch(service: Service, source: Source, worker: Worker, every: float, events: Events) -> None:
    """Look up what the selector means, again and again; while it cannot be found out, the model stays."""
    while True:
        await asyncio.sleep(every)
        try:
            served = await source.changed(worker, service.served)
        except CvexpError as error:
            if service.trouble != error.what:
                events.trouble(error)
            service.trouble = error.what
            continue
        service.trouble = ""
        if served is not None:
            service.swap(served)
            events.swapped(f"{served.version} ({served.name})")


def _link(host: str, port: int) -> str:
    from cvexp.addresses import reachable

    return f"http://{reachable(host)}:{port}"


def n_cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
