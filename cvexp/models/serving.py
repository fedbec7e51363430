"""What a logged model runs where cvexp is not installed: read the specification, rebuild, answer in logits.

A logged model carries this file, the architectures and the transforms along, as a package whose name ends in its
content's hash, so that models with different code load side by side. It imports torch and the standard library alone.
"""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..data.transforms import Transform  # noqa: TID252 - in the package of a logged model too
from .architectures import linear, mlp, tinyvgg

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import numpy.typing as npt
    from torch import nn

BATCH = 500
BUILDERS = {"linear": linear, "mlp": mlp, "tinyvgg": tinyvgg}


class Classifier:
    """A trained model that answers uint8 images with logits."""

    def __init__(self, model: nn.Module, transform: Transform) -> None:
        self._model, self._transform = model.eval(), transform

    def predict(
        self,
        images: npt.NDArray[np.uint8],
        params: Mapping[str, Any] | None = None,  # noqa: ARG002 - MLflow's protocol
    ) -> npt.NDArray[np.float32]:
        """Logits float32 (N, K) of images uint8 (N, C, H, W)."""
        batches = torch.split(torch.from_numpy(images.copy()), BATCH)
        with torch.inference_mode():
            logits = [self._model(self._transform(batch)) for batch in batches]
        answer: npt.NDArray[np.float32] = torch.cat(logits).numpy()
        return answer


def _load_pyfunc(path: str) -> Classifier:
    """MLflow's entry: rebuild the model that `model.json` in `path` specifies, with the weights beside it.

    Raises:
        ValueError: The weights are not the ones the specification was written for, or its architecture is unknown.
    """
    folder = Path(path)
    spec = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    content = (folder / "state_dict.pt").read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != spec["weights_sha256"]:
        raise ValueError(f"the weights in {folder} are damaged or altered: sha256 {found}")
    if spec["model"] not in BUILDERS:
        raise ValueError(f"unknown architecture: {spec['model']!r}")
    model = BUILDERS[spec["model"]](
        tuple(spec["image_shape"]), len(spec["class_names"]), hidden_units=spec["hidden_units"], **spec["model_args"]
    )
    model.load_state_dict(torch.load(io.BytesIO(content), map_location="cpu", weights_only=True))
    return Classifier(model, Transform(**spec["transform"]))
