"""A child process that has torch and MLflow, and answers one request at a time: a line of JSON each way.

The process that serves imports neither: it starts in a fraction of a second, and its memory stays small.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

from cvexp.errors import CvexpError, InputError
from cvexp.serving.limits import MIB

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LONGEST_LINE = 64 * MIB
_STOP_SECONDS = 5


class Worker:
    """Starts `command` when it is first asked, and again where it has ended; it belongs to one event loop.

    `common` is part of every request: what has no place in arguments, which every user of the machine may read.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], *, common: Mapping[str, Any] | None = None
    ) -> None:
        self._command, self._environment, self._common = command, environment, common or {}
        self._process: asyncio.subprocess.Process | None = None
        self._lock = asyncio.Lock()

    @property
    def is_running(self) -> bool:
        """Whether the process is there, with what it has loaded."""
        return self._process is not None and self._process.returncode is None

    async def ask(self, request: Mapping[str, Any], *, seconds: float) -> dict[str, Any]:
        """The worker's answer.

        Raises:
            CvexpError: What the worker raised, as InputError where it was that; or it ended, or took too long.
        """
        async with self._lock:
            try:
                async with asyncio.timeout(seconds):
                    answer = await self._exchange(request)
            except BaseException as error:  # the answer would be taken for the next request's
                await self._end()
                if isinstance(error, TimeoutError):
                    raise CvexpError(f"the process with the weights gave no answer in {seconds:g} s") from None
                if isinstance(error, OSError | ValueError | asyncio.IncompleteReadError):
                    raise CvexpError("the process with the weights has ended", "its reason is on stderr") from None
                raise
        if "error" in answer:
            kind = InputError if answer["exit_code"] == InputError.exit_code else CvexpError
            raise kind(answer["error"], *answer["hints"])
        return answer

    async def close(self) -> None:
        """End the process, whatever it is at; a later request starts another."""
        await self._end()

    async def _exchange(self, request: Mapping[str, Any]) -> dict[str, Any]:
        if not self.is_running:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                env=self._environment,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=_LONGEST_LINE,
                start_new_session=True,  # Ctrl-C is for the service, which then ends this process
            )
        process = self._process
        assert process is not None  # noqa: S101
        assert process.stdin is not None  # noqa: S101
        assert process.stdout is not None  # noqa: S101
        process.stdin.write(json.dumps({**self._common, **request}).encode() + b"\n")
        await process.stdin.drain()
        answer: dict[str, Any] = json.loads(await process.stdout.readuntil(b"\n"))
        return answer

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        for stop in (process.terminate, process.kill):
            with contextlib.suppress(ProcessLookupError):
                stop()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), _STOP_SECONDS)
                return
