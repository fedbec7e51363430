"""The metadata at the top of a model card, as Hugging Face reads it."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from cvexp.results import is_imbalanced
from cvexp.text import clean

if TYPE_CHECKING:
    from cvexp.jobs.model_card import Measured, ModelFacts

LONGEST_TAG = 60
_OTHERS = re.compile(r"[^a-z0-9]+")


def header(facts: ModelFacts) -> str:
    """The metadata that Hugging Face reads, as YAML. A license is left for the user to add."""
    import yaml

    card, kinds = facts.card, [one.kind for one in facts.files]
    dataset = PurePath(clean(card.spec.dataset)).name  # own images are named by their folder
    names = ["cvexp", card.spec.model, *(kind.removesuffix("-int8").removesuffix("-raw") for kind in kinds)]
    found: dict[str, Any] = {
        "library_name": "onnx" if any(kind.startswith("onnx") for kind in kinds) else "pytorch",
        "pipeline_tag": "image-classification",
        "tags": list(dict.fromkeys(filter(None, ("image-classification", *map(_tag, names))))),
        "datasets": [dataset],
        "metrics": ["accuracy"],
    }
    if facts.measured is not None:
        found["model-index"] = [{"name": clean(card.run_name), "results": [_result(facts, facts.measured, dataset)]}]
    return f"---\n{yaml.safe_dump(found, sort_keys=False, allow_unicode=True, width=10**6)}---"


def _result(facts: ModelFacts, measured: Measured, dataset: str) -> dict[str, Any]:
    metrics = [
        {"type": "accuracy", "name": "Accuracy", "value": round(measured.accuracy, 6)},
        {"type": "log_loss", "name": "Cross-entropy (nats)", "value": round(measured.loss, 6)},
        {"type": "brier_score", "name": "Brier score", "value": round(measured.brier, 6)},
    ]
    if is_imbalanced(measured.per_class):
        balanced, macro = round(measured.balanced_accuracy, 6), round(measured.macro_f1, 6)
        metrics.append({"type": "balanced_accuracy", "name": "Balanced accuracy", "value": balanced})
        metrics.append({"type": "f1", "name": "Macro F1", "value": macro})
    if measured.calibration is not None:
        error = round(measured.calibration.error, 6)
        metrics.append({"type": "expected_calibration_error", "name": "Expected calibration error", "value": error})
    images = {"name": dataset, "type": _tag(dataset) or "images", "split": "test"}
    return {
        "task": {"type": "image-classification", "name": "Image classification"},
        "dataset": images | {"revision": clean(facts.card.spec.dataset_digest)},
        "metrics": metrics,
    }


def _tag(name: str) -> str:
    """A name in the letters of Hugging Face's tags."""
    return _OTHERS.sub("-", name.lower()).strip("-")[:LONGEST_TAG]
