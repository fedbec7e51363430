"""Serves a `Service` until a signal: connections within limits, and a drain before the end."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import signal
import socket
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from cvexp.errors import InputError
from cvexp.serving.app import refused
from cvexp.serving.limits import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cvexp.serving.app import Service

_BACKLOG = 1024
_KEEP_ALIVE_SECONDS = 60
_MOST_HEADER_BYTES = 2**16
_SIGNALS = ("SIGTERM", "SIGINT", "SIGHUP")
_M_MMAP_THRESHOLD, _MAPPED_BYTES = -3, 2**20


class _Protocol(HttpToolsProtocol):
    """Closes a connection whose headers are too long or come too slowly; uvicorn bounds neither."""

    header_seconds = 10.0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._n_header_bytes, self._is_in_header = 0, True
        self._timer: asyncio.TimerHandle | None = None
        self._expect_header()

    def connection_lost(self, exc: Exception | None) -> None:
        self._header_done()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_in_header:
            if self._timer is None:
                self._expect_header()
            self._n_header_bytes += len(data)
        super().data_received(data)
        if self._is_in_header and self._n_header_bytes > _MOST_HEADER_BYTES:
            self.transport.close()

    def on_headers_complete(self) -> None:
        self._header_done()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._is_in_header, self._n_header_bytes = True, 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """As uvicorn's, in JSON."""
        body = bytes(refused(Refusal(400, msg.rstrip(".").lower(), "send HTTP/1.1")).body)
        head = f"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        self.transport.write(head.encode() + b"connection: close\r\n\r\n" + body)
        self.transport.close()

    def _expect_header(self) -> None:
        self._timer = self.loop.call_later(self.header_seconds, self._too_slow)

    def _header_done(self) -> None:
        self._is_in_header = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._timer = None
        if not self.transport.is_closing():
            self.transport.close()


class _Server(uvicorn.Server):
    """uvicorn without its handling of signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def bound(host: str, port: int) -> socket.socket:
    """A socket bound to `host` and `port`, to any free one for port 0; connections are refused until `serve` listens.

    InputError if it cannot be had.
    """
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if made.family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((host, port))
    except OSError as error:
        made.close()
        reason = error.strerror or str(error)
        raise InputError(f"cannot listen on port {port} of {host}: {reason}", "name another with --port") from error
    return made


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Uvloop where it is installed: it takes a third of the time that asyncio's own loop does."""
    with contextlib.suppress(ImportError):
        import uvloop

        factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
        return factory
    return None


def _return_large_buffers() -> None:
    """Let glibc give memory of a MiB and more back when it is freed, such as that of decoded images.

    By itself it keeps what is smaller than the largest buffer that was freed before, up to 32 MiB.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):  # macOS, musl, Windows
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES)


async def serve(
    service: Service,
    listening: socket.socket,
    *,
    on_ready: Callable[[], None] = lambda: None,
    on_drain: Callable[[], None] = lambda: None,
) -> None:
    """Serve until SIGTERM or Ctrl-C, then refuse new work, answer what is under way, and return.

    A second signal ends it at once.
    """
    _return_large_buffers()
    config = uvicorn.Config(
        service,
        http=_Protocol,
        backlog=_BACKLOG,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=int(2 * service.limits.timeout) + 1,
    )
    server, loop = _Server(config), asyncio.get_running_loop()
    stopping = asyncio.Event()

    def stop() -> None:
        if stopping.is_set():
            server.should_exit = server.force_exit = True
        else:
            on_drain()
        stopping.set()
        service.is_draining = True

    for name in _SIGNALS:
        if signal.getsignal(getattr(signal, name)) is not signal.SIG_IGN:  # as nohup has it
            loop.add_signal_handler(getattr(signal, name), stop)
    drain = asyncio.create_task(_drain(service, server, stopping))
    try:
        loop.call_soon(on_ready)
        await server.serve(sockets=[listening])
    finally:
        drain.cancel()
        service.close()


async def _drain(service: Service, server: uvicorn.Server, stopping: asyncio.Event) -> None:
    """Once asked to stop, wait for the requests under way, and then for the connections to close."""
    await stopping.wait()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(2 * service.limits.timeout):
            while service.n_running:  # noqa: ASYNC110 - an event would cost every request
                await asyncio.sleep(0.02)
    server.should_exit = True
