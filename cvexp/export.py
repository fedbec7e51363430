"""Trained weights and what it takes to rebuild the model: inside a run, and as files of their own.

A format is one entry of FORMATS. One that holds a whole program instead of weights (ONNX, torch.export) would join
there with an entry whose `load` answers the same question: which state goes into the rebuilt module.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping  # noqa: TC003 - pydantic reads the annotations at run time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

from annotated_types import Ge, Lt, MinLen

from cvexp import checkpoint, files
from cvexp.errors import ConfigError, WeightsError, nearest
from cvexp.models.spec import ModelSpec, parse_json
from cvexp.text import finite, shown

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from torch import nn

    from cvexp.config import RunConfig
    from cvexp.data.dataset import Dataset

STATE_DICT = "state_dict.pt"
SPEC = "model.json"
REMEDY = "export the run again: cvexp export RUN"
LONGEST_REASON = 200


class WeightsFormat(Protocol):
    """How weights lie in a file."""

    suffix: str

    def save(self, path: Path, state: Mapping[str, torch.Tensor]) -> str:
        """Write the tensors atomically and return the file's SHA-256."""
        ...

    def load(self, path: Path, *, sha256: str) -> dict[str, Any]:
        """Read them back onto the CPU, the digest first.

        Raises:
            WeightsError: The file is missing, altered, or not of this format.
        """
        ...


class StateDict:
    """torch's own file, read with `weights_only`."""

    suffix = ".pt"

    def save(self, path: Path, state: Mapping[str, torch.Tensor]) -> str:
        """Write the tensors atomically and return the file's SHA-256."""
        return checkpoint.save(path, state)

    def load(self, path: Path, *, sha256: str) -> dict[str, Any]:
        """Read them back onto the CPU, the digest first."""
        return checkpoint.load(path, sha256=sha256)


class Safetensors:
    """The safetensors format, which cannot carry code."""

    suffix = ".safetensors"

    def save(self, path: Path, state: Mapping[str, torch.Tensor]) -> str:
        """Write the tensors atomically and return the file's SHA-256."""
        from safetensors.torch import save

        content = save({name: tensor.contiguous() for name, tensor in state.items()})
        files.write_atomically(path, content)
        return hashlib.sha256(content).hexdigest()

    def load(self, path: Path, *, sha256: str) -> dict[str, Any]:
        """Read them back onto the CPU, the digest first."""
        from safetensors import SafetensorError
        from safetensors.torch import load

        content = checkpoint.read_verified(path, sha256=sha256)
        try:
            return dict(load(content))
        except (SafetensorError, ValueError, KeyError) as error:  # a key: of a type that torch does not have
            raise WeightsError(f"{path} is no safetensors file", checkpoint.REMEDY) from error


FORMATS: Mapping[str, WeightsFormat] = {"state-dict": StateDict(), "safetensors": Safetensors()}


def format_called(name: str) -> WeightsFormat:
    """The format called `name`.

    Raises:
        ConfigError: There is none; the nearest name is suggested.
    """
    if name not in FORMATS:
        raise ConfigError(f"unknown export format: {name!r}", nearest(name, FORMATS))
    return FORMATS[name]


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelCard:
    """What travels beside an exported file: how to rebuild the model, where it comes from, how good it was.

    Attributes:
        spec: Architecture, shapes, classes, preprocessing; its digest is the exported file's.
        format: One of FORMATS.
        run_id: The run it was exported from.
        run_name: That run's name.
        device_name: Where that run was measured.
        split_seed: Of that run, so that the same test images can be found again.
        limit: Of that run, likewise.
        settings: Of that run, as in the end they were.
        metrics: The run's last figures; None for one that is no finite number.
    """

    spec: ModelSpec
    format: Annotated[str, MinLen(1)]
    run_id: str
    run_name: str
    device_name: str = ""
    split_seed: Annotated[int, Ge(0), Lt(2**32)] = 42
    limit: Annotated[int, Ge(1)] | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    schema_version: Literal[1] = 1

    def to_json(self) -> str:
        """The card as indented JSON."""
        return json.dumps(finite(asdict(self)), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


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
    digest = checkpoint.save(folder / STATE_DICT, cpu_state(model))
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
    files.write_atomically(folder / SPEC, spec.to_json().encode())
    return spec


def cpu_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """The module's state_dict, detached and on the CPU."""
    return {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}


def load_spec(folder: Path) -> ModelSpec:
    """Read `model.json` from `folder`.

    Raises:
        WeightsError: It is missing or not a specification.
    """
    path = folder / SPEC
    return parse_json(ModelSpec, _text(path), origin=str(path))


def card_path(path: Path) -> Path:
    """Where the card of the exported file `path` lies."""
    return path.with_name(f"{path.name}.json")


def load_card(path: Path) -> ModelCard:
    """Read the card beside the exported file `path`.

    Raises:
        WeightsError: It is missing or not a card.
    """
    beside = card_path(path)
    card = parse_json(ModelCard, _text(beside), origin=str(beside))
    if card.format not in FORMATS or FORMATS[card.format].suffix != path.suffix:
        raise WeightsError(f"{beside} describes a file of format {shown(card.format)}, and {path} is none", REMEDY)
    return card


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise WeightsError(f"cannot read {path}, which says what model the weights belong to", REMEDY) from error


def load_weights(
    folder: Path, spec: ModelSpec, *, sha256: str | None = None, trusted_factory: str | None = None
) -> nn.Module:
    """Rebuild a run's model and put its stored weights in.

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
    return _filled(spec, state, path, trusted_factory)


def load_exported(path: Path, card: ModelCard, *, trusted_factory: str | None = None) -> nn.Module:
    """Rebuild the model of an exported file.

    Raises:
        WeightsError: The file is missing, altered, unsafe, or of another architecture.
        ModelError: The model cannot be built here.
    """
    state = FORMATS[card.format].load(path, sha256=card.spec.weights_sha256)
    return _filled(card.spec, state, path, trusted_factory)


def _filled(spec: ModelSpec, state: dict[str, Any], path: Path, trusted_factory: str | None) -> nn.Module:
    import torch

    if trusted_factory is None:  # in outline first: a specification may ask for more memory than there is
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # nothing is copied, as torch says
            _check_amount(_fill(spec.build(), state, spec, path), state, path)
    return _fill(spec.build(trusted_factory=trusted_factory), state, spec, path)


def _check_amount(outline: nn.Module, state: dict[str, Any], path: Path) -> None:
    """Refuse weights of which the file holds fewer values than the model has: views of one memory, many times over.

    Raises:
        WeightsError: It does.
    """
    wanted = sum(one.nbytes for one in {id(one): one for one in outline.state_dict(keep_vars=True).values()}.values())
    stored = checkpoint.n_bytes_stored(state.values())
    if wanted > stored:
        raise WeightsError(f"{path} holds {stored:,} bytes of the {wanted:,} that its model has", REMEDY)


def _fill(model: nn.Module, state: dict[str, Any], spec: ModelSpec, path: Path) -> nn.Module:
    try:
        model.load_state_dict(state)
    except Exception as error:  # the state may hold anything
        reason = (str(error).splitlines() or [type(error).__name__])[-1].strip()
        raise WeightsError(f"{path} does not fit {spec.model}: {reason[:LONGEST_REASON]}", REMEDY) from error
    return model
