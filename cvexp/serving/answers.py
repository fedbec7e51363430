"""Predictions as JSON: the same names and figures as `cvexp predict --json`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from cvexp.text import finite

if TYPE_CHECKING:
    import numpy.typing as npt

    from cvexp.serving.bodies import Images
    from cvexp.serving.served import Served

SCHEMA_VERSION = 1


def predictions(served: Served, images: Images, logits: npt.NDArray[np.float32]) -> dict[str, Any]:
    """The answer to `images`, whose logits are float32 (N, K); probabilities are their softmax in float64."""
    with np.errstate(invalid="ignore"):  # of logits that are not finite
        shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
        probabilities = shifted / shifted.sum(axis=1, keepdims=True)
    best = logits.argmax(axis=1).tolist()
    rows = zip(images.names, images.notes, best, logits.tolist(), probabilities.tolist(), strict=True)
    return {
        "schema_version": SCHEMA_VERSION,
        "run_id": served.run_id,
        "run_name": served.name,
        "model_version": served.version or None,
        "class_names": served.class_names,
        "predictions": [
            {
                "image": name,
                "class": served.class_names[k],
                "probability": shares[k],
                "logits": row,
                "probabilities": shares,
                "notes": notes,
            }
            for name, notes, k, row, shares in rows
        ],
    }


def encoded(document: dict[str, Any]) -> bytes:
    """The JSON of a document; figures that are not finite become null."""
    try:
        return json.dumps(document, allow_nan=False, separators=(",", ":")).encode()
    except ValueError:
        return json.dumps(finite(document), allow_nan=False, separators=(",", ":")).encode()
