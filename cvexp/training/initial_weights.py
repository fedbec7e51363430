"""The weights that a training begins with, where `--weights` names some: read, checked, and put into the model."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cvexp import files
from cvexp.config.model import DEFAULT_WEIGHTS
from cvexp.errors import ConfigError, WeightsError
from cvexp.models.registry import find_entry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from cvexp.config import RunConfig
    from cvexp.data.fitting import Interpolation
    from cvexp.models.pretrained import Preprocessing
    from cvexp.models.registry import ModelEntry

LARGEST_FILE = 8 * 2**30
"""Bytes; the largest published classifiers have five GB."""

HINT = "safetensors files and state_dicts of torch.save can be read"


@dataclass(frozen=True, kw_only=True, slots=True)
class InitialWeights:
    """Weights for a model that is yet to be built.

    Attributes:
        state: By name, on the CPU.
        source: Where they are from, for people.
        sha256: Of the file, or of the tensors where there is none.
        preprocessing: What they take their images to be; None where that is not known.
    """

    state: Mapping[str, Tensor]
    source: str
    sha256: str
    preprocessing: Preprocessing | None

    def tags(self) -> dict[str, str]:
        """What a run records of them."""
        known = {} if self.preprocessing is None else {"cvexp.preprocessing": json.dumps(asdict(self.preprocessing))}
        return {"cvexp.initial_weights": self.source, "cvexp.initial_weights_sha256": self.sha256, **known}

    def put_into(self, model: nn.Module, *, name: str, n_classes: int) -> str:
        """Put them into `model`, called `name`, and say in a line what was taken; see `cvexp.models.pretrained.put`."""
        from cvexp.models.freeze import head_of
        from cvexp.models.pretrained import put

        head, hint = head_of(model, n_classes), f"name the model that they are of instead of {name}"
        return put(self.state, model, head=head, source=self.source, name=name, hint=hint)

    def about_size(self, image_side: int) -> str:
        """A remark in a line where the images are of another size than those the weights were trained on."""
        size = None if self.preprocessing is None else self.preprocessing.image_size
        if size is None or size == image_side:
            return ""
        return f"they were trained on images of {size}x{size} pixels, and these have {image_side}"


def with_digest(config: RunConfig) -> RunConfig:
    """`config` with the SHA-256 of its file of weights, if it has one; torch is not needed.

    Raises:
        WeightsError: The file cannot be read, or is another one than the digest says.
    """
    if config.weights in (None, DEFAULT_WEIGHTS):
        return config
    path = _path(config)
    try:
        if not path.is_file():
            raise WeightsError(f"--weights {path}: no such file", f"name one, or {DEFAULT_WEIGHTS}; {HINT}")
        if path.stat().st_size > LARGEST_FILE:
            raise WeightsError(f"--weights {path}: larger than {LARGEST_FILE // 2**30} GiB", HINT)
        found = files.sha256_of(path)
    except OSError as error:
        raise WeightsError(f"--weights {path}: {error.strerror or error}", HINT) from error
    if config.weights_sha256 not in (None, found):
        raise WeightsError(
            f"--weights {path} is another file than the one asked for",
            f"its sha256 is {found[:16]}…, not {config.weights_sha256[:16]}…",
        )
    return replace(config, weights_sha256=found)


def interpolation_of(config: RunConfig) -> Interpolation:
    """Which interpolation the initial weights want where images are resized; without any, as without weights."""
    known = None if config.weights is None else _preprocessing(config, find_entry(config.model, allow_path=True))
    return "bilinear" if known is None else known.interpolation


def read(config: RunConfig, entry: ModelEntry) -> InitialWeights | None:
    """The weights that `config`, which has their digest, names; None where it names none.

    Raises:
        WeightsError: They cannot be read safely, or cannot be downloaded.
        ConfigError: There are no default ones for this model.
    """
    if config.weights is None:
        return None
    state: Mapping[str, Tensor]
    if config.weights == DEFAULT_WEIGHTS:
        if entry.family is None:
            raise ConfigError(f"--weights {DEFAULT_WEIGHTS}: {entry.name} is of no library that publishes any", HINT)
        state, source = entry.family.default_state(entry.name.partition(":")[2])
        digest = _digest_of(state)
    else:
        path, digest = _path(config), str(config.weights_sha256)
        state, source = _state(path, digest), str(path)
    return InitialWeights(state=state, source=source, sha256=digest, preprocessing=_preprocessing(config, entry))


def _path(config: RunConfig) -> Path:
    return Path(str(config.weights)).expanduser()


def _state(path: Path, digest: str) -> dict[str, Tensor]:
    from cvexp import checkpoint
    from cvexp.export.formats import exporter_of
    from cvexp.export.weights import WeightsExporter
    from cvexp.models.pretrained import unwrapped

    exporter = exporter_of("safetensors" if path.suffix == ".safetensors" else "state-dict")
    assert isinstance(exporter, WeightsExporter)  # noqa: S101 - both are
    try:
        state = unwrapped(exporter.decode(checkpoint.read_verified(path, sha256=digest), path))
    except WeightsError as error:
        raise WeightsError(f"--weights {error.what}", HINT) from error
    if not state:
        raise WeightsError(f"--weights {path} holds no tensors", HINT)
    return state


def _preprocessing(config: RunConfig, entry: ModelEntry) -> Preprocessing | None:
    """What an exported file's own card says, or the model's library of the weights that it publishes."""
    of_file = None if config.weights == DEFAULT_WEIGHTS else _of_card(_path(config), config.weights_sha256)
    of_library = None if entry.family is None else entry.family.preprocessing(entry.name.partition(":")[2])
    return of_file or of_library


def _of_card(path: Path, digest: str | None) -> Preprocessing | None:
    """The preprocessing that an exported file's card tells; None where the file has none of its own."""
    from cvexp.export.card import card_path, load_card
    from cvexp.models.pretrained import Preprocessing

    if not card_path(path).is_file():
        return None
    spec = load_card(path).spec
    if spec.weights_sha256 != digest:
        return None
    transform, side = spec.transform, spec.image_shape[1]
    return Preprocessing(
        mean=transform.mean, std=transform.std, interpolation=spec.fitting.interpolation, image_size=side
    )


def _digest_of(state: Mapping[str, Tensor]) -> str:
    """The SHA-256 of the tensors as a safetensors file has them."""
    import hashlib

    from safetensors.torch import save

    return hashlib.sha256(save({name: tensor.contiguous() for name, tensor in state.items()})).hexdigest()
