"""Weights in a file, and the model rebuilt around them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from cvexp import checkpoint
from cvexp.errors import ConfigError, WeightsError
from cvexp.export.formats import DEFAULTS
from cvexp.models.spec import parse_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import torch
    from torch import nn

    from cvexp.export.formats import ExportOptions, Variant
    from cvexp.inference.predictor import TorchPredictor
    from cvexp.models.spec import ModelSpec

REMEDY = "export the run again: cvexp export RUN"
LONGEST_REASON = 200
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightsExporter:
    """An exporter whose file holds a state_dict; the model is rebuilt from its specification.

    Attributes:
        encode: From tensors on the CPU to the file's content.
        decode: From such content, which may hold anything, to the state; raises WeightsError, which names the path.
    """

    encode: Callable[[Mapping[str, torch.Tensor]], bytes]
    decode: Callable[[bytes, Path], dict[str, Any]]
    variants: tuple[Variant, ...] = ()

    def write(
        self,
        path: Path,
        model: nn.Module,
        spec: ModelSpec,  # noqa: ARG002 - other formats need it
        *,
        options: ExportOptions = DEFAULTS,
    ) -> str:
        """Write the module's state_dict atomically, and return the file's SHA-256; see `Exporter.write`."""
        if options.raw or options.calibration is not None:
            asked = "--raw" if options.raw else "--quantize"
            hint = "choose one that holds a program, such as --format onnx"
            raise ConfigError(f"{asked} means nothing for {path.suffix}, a format of weights alone", hint)
        content = self.encode({name: tensor.detach().cpu() for name, tensor in model.state_dict().items()})
        return checkpoint.write(path, content)

    def read(
        self, path: Path, spec: ModelSpec, *, device: torch.device, trusted_factory: str | None = None
    ) -> TorchPredictor:
        """The rebuilt model with the weights from `path`; see `Exporter.read`."""
        from cvexp.inference.predictor import TorchPredictor

        state = self.decode(checkpoint.read_verified(path, sha256=spec.weights_sha256), path)
        return TorchPredictor(_rebuilt(spec, state, path, trusted_factory), spec.transform, device)


def read_json(kind: type[T], path: Path) -> T:
    """A dataclass from an untrusted JSON file; WeightsError if it is missing, or not such a dataclass."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise WeightsError(f"cannot read {path}, which says what model the weights belong to", REMEDY) from error
    return parse_json(kind, text, origin=str(path))


def _rebuilt(spec: ModelSpec, state: dict[str, Any], path: Path, trusted_factory: str | None) -> nn.Module:
    import torch

    if trusted_factory is None:  # on the meta device first: a specification may ask for more memory than there is
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns that nothing is copied
            _check_amount(_fill(spec.build(), state, spec, path), state, path)
    return _fill(spec.build(trusted_factory=trusted_factory), state, spec, path)


def _check_amount(model: nn.Module, state: dict[str, Any], path: Path) -> None:
    """Refuse a file whose tensors are expanded views of less memory than the model has."""
    wanted = sum(one.nbytes for one in {id(one): one for one in model.state_dict(keep_vars=True).values()}.values())
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
