"""The model that is to be served: an ONNX file as it is, anything else exported to one by a child process."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cvexp.imports import child_environment
from cvexp.serving.access import TOKEN
from cvexp.serving.served import load
from cvexp.serving.worker import Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cvexp.serving.served import Served
    from cvexp.settings import StoreSettings

REGISTERED, LATEST, ONNX = "models:/", "/latest", ".onnx"
EXPORT_SECONDS = 600.0
WORKER = "cvexp.jobs.serve_worker"


class Source:
    """Where the model comes from, and the child process that exports and explains it; one event loop uses it."""

    def __init__(self, selector: str, settings: StoreSettings, *, n_threads: int, trusted_factory: str | None) -> None:
        self.selector, self._n_threads = selector, n_threads
        self.is_onnx = Path(selector).suffix == ONNX
        self.may_move = selector.startswith(REGISTERED) and ("@" in selector or selector.endswith(LATEST))
        self._request = {
            "selector": selector,
            "tracking_uri": settings.tracking_uri,
            "experiment": settings.experiment if settings.experiment_named else None,
            "trusted_factory": trusted_factory,
        }
        self._folder: Path | None = None

    @contextlib.asynccontextmanager
    async def worker(self) -> AsyncIterator[Worker]:
        """Within the block, the child process may be asked; it is started when it first is."""
        environment = {name: value for name, value in child_environment().items() if name != TOKEN}
        made = Worker([sys.executable, "-P", "-m", WORKER], environment, common=self._request)
        with tempfile.TemporaryDirectory(prefix="cvexp-serve-") as folder:
            self._folder = Path(folder)
            try:
                yield made
            finally:
                await made.close()

    async def first(self, worker: Worker) -> Served:
        """The model that the selector means. Raises CvexpError."""
        if self.is_onnx:
            path = Path(self.selector)
            return await asyncio.to_thread(load, path, name=str(path), n_threads=self._n_threads)
        found = await self._exported(worker, known="")
        assert found is not None  # noqa: S101 - no version is known
        return found

    async def changed(self, worker: Worker, served: Served) -> Served | None:
        """The model that the selector means now; None where it is `served` still. Raises CvexpError."""
        return await self._exported(worker, known=served.version)

    async def write(self, worker: Worker, folder: Path) -> tuple[Path, str]:
        """An ONNX file of the model in `folder`, with its card beside it, and the model's name. Raises CvexpError."""
        answer = await worker.ask({"do": "export", "folder": str(folder), "known": ""}, seconds=EXPORT_SECONDS)
        return Path(answer["path"]), answer["name"]

    async def _exported(self, worker: Worker, *, known: str) -> Served | None:
        request = {"do": "export", "folder": str(self._folder), "known": known}
        answer = await worker.ask(request, seconds=EXPORT_SECONDS)
        if "path" not in answer:
            return None
        file = Path(answer["path"])
        found: dict[str, Any] = {"name": answer["name"], "version": answer["version"], "n_threads": self._n_threads}
        try:
            return await asyncio.to_thread(load, file, **found)
        finally:
            for one in (file, file.with_name(f"{file.name}.json")):
                one.unlink(missing_ok=True)  # the session holds what it needs
