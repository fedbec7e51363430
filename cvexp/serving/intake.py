"""Reads the bodies of requests within the limits on size and time, and hands slow decoding to threads."""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from cvexp.serving.bodies import Slow, check_type, read_images
from cvexp.serving.limits import MIB, Refusal, busy

if TYPE_CHECKING:
    from starlette.requests import Request

    from cvexp.serving.bodies import Images
    from cvexp.serving.limits import Limits
    from cvexp.serving.served import Served

_SMALL_BYTES, _SMALL_PIXELS = 2**14, 2**16
"""What takes less time to decode than to hand to another thread."""

_MOST_DECODING = 64
_LONGEST_NUMBER = 20
_LINGER_BYTES, _LINGER_SECONDS = 64 * MIB, 2.0


class Intake:
    """From requests to images, `n_threads` large bodies at a time; it belongs to one event loop."""

    def __init__(self, limits: Limits, *, n_threads: int) -> None:
        self._limits = limits
        self._threads = ThreadPoolExecutor(n_threads, thread_name_prefix="decode")
        self._n_buffered = self._n_decoding = 0

    async def images(self, request: Request, served: Served) -> Images:
        """The images in the body of `request`; Refusal for a body that has none, is too large, or comes too slowly."""
        content_type = request.headers.get("content-type", "")
        check_type(content_type)
        body = await self._body(request)
        try:
            if len(body) <= _SMALL_BYTES:
                with contextlib.suppress(Slow):
                    return read_images(content_type, body, served, self._limits, most_pixels=_SMALL_PIXELS)
            return await self._in_thread(content_type, body, served)
        finally:
            self._n_buffered -= len(body)

    def close(self) -> None:
        """End the threads, once they have decoded what they are at."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def _in_thread(self, content_type: str, body: bytes, served: Served) -> Images:
        if self._n_decoding >= _MOST_DECODING:
            raise busy(f"{self._n_decoding} bodies are being decoded already")
        loop = asyncio.get_running_loop()
        decoding = loop.run_in_executor(self._threads, read_images, content_type, body, served, self._limits)
        self._n_decoding += 1
        decoding.add_done_callback(self._decoded)
        return await asyncio.shield(decoding)  # a thread cannot be stopped, and counts until it is done

    def _decoded(self, decoding: asyncio.Future[Images]) -> None:
        self._n_decoding -= 1
        if not decoding.cancelled():
            decoding.exception()  # whoever waited for it may be gone

    async def _body(self, request: Request) -> bytes:
        """The whole body, counted in `_n_buffered`; Refusal for one that is too large or too slow."""
        limits, chunks, n_bytes = self._limits, [], 0
        try:
            async with asyncio.timeout(limits.timeout):
                self._check_size(_declared(request))
                async for chunk in request.stream():
                    self._n_buffered += len(chunk)
                    n_bytes += len(chunk)
                    self._check_size(n_bytes)
                    chunks.append(chunk)
        except BaseException as error:
            self._n_buffered -= n_bytes
            if isinstance(error, TimeoutError):
                what = f"the body did not arrive within {limits.timeout:g} seconds"
                raise Refusal(408, what, "send it faster", {"connection": "close"}) from None
            if isinstance(error, Refusal):
                await _discard(request)
            raise
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _check_size(self, n_bytes: int) -> None:
        if n_bytes > self._limits.max_bytes:
            hint = f"send at most {self._limits.max_bytes:,} bytes, or serve with a larger --max-bytes"
            raise Refusal(413, "the body is too large", hint, {"connection": "close"})
        if self._n_buffered > self._limits.max_buffered:
            raise busy("too many bodies are being read already")


def _declared(request: Request) -> int:
    """The length that the request states, or 0."""
    text = request.headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < _LONGEST_NUMBER else 0


async def _discard(request: Request) -> None:
    """Read on for a moment: a client that is still sending when its connection is closed may not see the answer."""
    if "expect" in request.headers:  # it asks before it sends
        return
    n_bytes = 0
    with contextlib.suppress(TimeoutError, RuntimeError):  # the latter where all of it was read
        async with asyncio.timeout(_LINGER_SECONDS):
            async for chunk in request.stream():
                n_bytes += len(chunk)
                if n_bytes > _LINGER_BYTES:
                    return
