"""The child process of `cvexp serve`: exports the model that a selector means, and explains its predictions.

A line of JSON in, a line of JSON out (see `cvexp.serving.worker`); it ends with its stdin.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cvexp import process
from cvexp.errors import CvexpError
from cvexp.redaction import without_credentials
from cvexp.settings import store_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cvexp.jobs.source import TrainedModel
    from cvexp.settings import StoreSettings

REGISTERED = "models:/"
GRAD_CAM, GRADIENT = "Grad-CAM", "gradient"


class ServeWorker:
    """Answers requests; it keeps the model that it read last."""

    def __init__(self) -> None:
        self._trained: TrainedModel | None = None

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to one request; what goes wrong is an answer too."""
        try:
            return {"export": self._export, "explain": self._explain}[request["do"]](request)
        except CvexpError as error:
            what, *hints = map(without_credentials, error.lines())
            return {"error": what, "hints": hints, "exit_code": error.exit_code}
        except Exception as error:  # noqa: BLE001 - a model or a store may raise anything, and the service goes on
            what = without_credentials(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
            return {"error": what, "hints": [], "exit_code": CvexpError.exit_code}

    def _export(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Write an ONNX file to `folder`, unless the selector still means the version `known`."""
        selector, settings = request["selector"], _settings(request)
        version = _version(selector, settings)
        if version and version == request["known"]:
            return {}
        trained = self._load(version or selector, request)
        from cvexp.export.card import card_path
        from cvexp.export.formats import ExportOptions, exporter_of

        path = Path(request["folder"]) / f"{secrets.token_hex(8)}.onnx"
        options = ExportOptions(run_id=trained.card.run_id)
        digest = exporter_of("onnx").write(path, trained.model, trained.card.spec, options=options)
        card = replace(trained.card, format="onnx", spec=replace(trained.card.spec, weights_sha256=digest))
        card_path(path).write_text(card.to_json(), encoding="utf-8")
        return {"path": str(path), "name": trained.card.run_name, "version": version}

    def _explain(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The evidence for a class in one image, float32 (H, W), and how it was found."""
        trained = self._trained
        if trained is None or trained.card.run_id != request["run_id"]:
            is_file = Path(request["selector"]).suffix in (".pt", ".safetensors")
            trained = self._load(request["selector"] if is_file else request["run_id"], request)
        import numpy as np
        import torch

        from cvexp.inference.attribution import attribute

        pixels = np.frombuffer(base64.b64decode(request["pixels"]), np.uint8).reshape(1, *request["shape"])
        images = trained.card.spec.transform(torch.from_numpy(pixels.copy()))
        found = attribute(trained.model.eval(), images, torch.tensor([[request["class"]]]))
        return {
            "map": base64.b64encode(found.maps[0, 0].contiguous().numpy().tobytes()).decode(),
            "layer": found.layer,
            "method": GRADIENT if found.layer is None else GRAD_CAM,
        }

    def _load(self, selector: str, request: Mapping[str, Any]) -> TrainedModel:
        from cvexp.jobs.source import load_trained

        self._trained = load_trained(selector, _settings(request), trusted_factory=request["trusted_factory"])
        return self._trained


def _settings(request: Mapping[str, Any]) -> StoreSettings:
    return store_settings(request["tracking_uri"], request["experiment"])


def _version(selector: str, settings: StoreSettings) -> str:
    """`models:/NAME/VERSION` that a selector of the registry means now; empty for any other selector."""
    if not selector.startswith(REGISTERED):
        return ""
    from cvexp.tracking.registry import resolve
    from cvexp.tracking.store import open_store

    found = resolve(open_store(settings, create=False), selector)
    return found.uri


def main() -> None:
    """Answer until stdin ends. Whatever libraries print goes to stderr: stdout is for the answers alone."""
    process.take()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        worker = ServeWorker()
        for line in sys.stdin:
            answers.write(json.dumps(worker.answer(json.loads(line))) + "\n")
            answers.flush()


if __name__ == "__main__":
    main()
