"""The weights inside a run: `state_dict.pt`, and `model.json`, which says what they belong to."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cvexp import files
from cvexp.export.state_dict import EXPORTER
from cvexp.export.weights import read_json
from cvexp.models.spec import ModelSpec

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from torch import nn

    from cvexp.config import RunConfig
    from cvexp.data.dataset import Dataset
    from cvexp.inference.predictor import TorchPredictor

STATE_DICT = "state_dict.pt"
SPEC = "model.json"


def save_weights(model: nn.Module, folder: Path, *, config: RunConfig, dataset: Dataset) -> ModelSpec:
    """Write `state_dict.pt` and `model.json` to `folder`, which exists, and return the specification in the latter."""
    spec = ModelSpec(
        model=config.model,
        model_args=dict(config.model_args),
        hidden_units=config.hidden_units,
        image_shape=dataset.image_shape,
        class_names=dataset.class_names,
        dataset=dataset.name,
        dataset_digest=dataset.digest,
        weights_sha256="",
        transform=dataset.transform,
        fitting=dataset.fitting,
    )
    spec = replace(spec, weights_sha256=EXPORTER.write(folder / STATE_DICT, model, spec))
    files.write_atomically(folder / SPEC, spec.to_json().encode())
    return spec


def load_spec(folder: Path) -> ModelSpec:
    """Read `model.json`.

    Raises:
        WeightsError: It is missing or not a specification.
    """
    return read_json(ModelSpec, folder / SPEC)


def load_weights(
    folder: Path,
    spec: ModelSpec,
    *,
    device: torch.device,
    sha256: str | None = None,
    trusted_factory: str | None = None,
) -> TorchPredictor:
    """Rebuild a run's model as `Exporter.read` does; a digest `sha256` takes precedence over the one in `spec`."""
    spec = replace(spec, weights_sha256=sha256 or spec.weights_sha256)
    return EXPORTER.read(folder / STATE_DICT, spec, device=device, trusted_factory=trusted_factory)
