"""What a logged model runs whose network is an ONNX file: neither cvexp nor torch is needed.

The logged model carries this file along, so it imports onnxruntime, numpy and the standard library alone.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

BATCH = 500
FATAL = 4


class Classifier:
    """A trained model that answers uint8 images with logits."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session

    def predict(
        self,
        images: npt.NDArray[np.uint8],
        params: Mapping[str, Any] | None = None,  # noqa: ARG002 - MLflow's protocol
    ) -> npt.NDArray[np.float32]:
        """Logits float32 (N, K) of images uint8 (N, C, H, W)."""
        starts = range(0, max(1, len(images)), BATCH)
        batches = [np.ascontiguousarray(images[start : start + BATCH]) for start in starts]
        return np.concatenate([self._session.run(["logits"], {"images": batch})[0] for batch in batches])


def _load_pyfunc(path: str) -> Classifier:
    """MLflow's entry: the ONNX file in `path` that `model.json` beside it was written for; ValueError for another."""
    folder = Path(path)
    spec = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    content = (folder / "model.onnx").read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != spec["weights_sha256"]:
        raise ValueError(f"the model in {folder} is damaged or altered: sha256 {found}")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = FATAL
    return Classifier(onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"]))
