"""Trained weights and their specification, as a folder that can be read back into a module."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cvexp import checkpoint
from cvexp.errors import WeightsError
from cvexp.models.spec import ModelSpec

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from cvexp.config import RunConfig
    from cvexp.data.dataset import Dataset

STATE_DICT = "state_dict.pt"
SPEC = "model.json"


def save_weights(model: nn.Module, folder: Path, *, config: RunConfig, dataset: Dataset) -> ModelSpec:
    """Write `state_dict.pt` and `model.json` into `folder`.

    Args:
        model: Trained; its tensors are written as they lie on the CPU.
        folder: Exists.
        config: What it was built from.
        dataset: What it was trained on.

    Returns:
        The specification, which carries the weights' digest.
    """
    digest = checkpoint.save(
        folder / STATE_DICT, {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}
    )
    spec = ModelSpec(
        model=config.model,
        model_args=dict(config.model_args),
        hidden_units=config.hidden_units,
        image_shape=dataset.image_shape,
        class_names=dataset.class_names,
        dataset=dataset.name,
        dataset_digest=dataset.digest,
        weights_sha256=digest,
    )
    checkpoint.write_atomically(folder / SPEC, spec.to_json().encode())
    return spec


def load_spec(folder: Path) -> ModelSpec:
    """Read `model.json` from `folder`.

    Raises:
        WeightsError: It is missing or not a specification.
    """
    path = folder / SPEC
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise WeightsError(f"cannot read the model specification {path}") from error
    return ModelSpec.from_json(text, origin=str(path))


def load_weights(
    folder: Path, spec: ModelSpec, *, sha256: str | None = None, trusted_factory: str | None = None
) -> nn.Module:
    """Rebuild the model and put the stored weights in.

    Args:
        folder: Holds `state_dict.pt`.
        spec: As read from the same folder.
        sha256: The digest recorded elsewhere, which counts for more than the specification's own.
        trusted_factory: See ModelSpec.build.

    Raises:
        WeightsError: The file is missing, altered, unsafe, or of another architecture.
        ModelError: The model cannot be built here.
    """
    path = folder / STATE_DICT
    state = checkpoint.load(path, sha256=sha256 or spec.weights_sha256)
    model = spec.build(trusted_factory=trusted_factory)
    try:
        model.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise WeightsError(f"{path} does not fit {spec.model}: {reason}") from error
    return model
