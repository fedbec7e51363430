"""What is exported where the file holds a program: transform, network and softmax, traced by torch.export."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import logging
import warnings
from dataclasses import asdict
from typing import TYPE_CHECKING

import torch
from torch import nn

from cvexp.errors import ModelError
from cvexp.settings import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor
    from torch.export import ExportedProgram

    from cvexp.data.transforms import Transform
    from cvexp.export.formats import ExportOptions
    from cvexp.models.spec import ModelSpec

INPUT, LOGITS, PROBABILITIES = "images", "logits", "probabilities"
EXAMPLES = 2
"""Images in the example batch: with one, older versions of torch fix the batch size."""

LONGEST_REASON = 160


class Deployed(nn.Module):
    """A network that takes uint8 images (N, C, H, W), and answers logits and probabilities, float32 (N, K).

    `mean` and `std` are float32 (C, 1, 1), and subtracted and divided by in this order, as `Transform` does: without
    operations in place, which exporters to other runtimes may get wrong.
    """

    mean: Tensor | None
    std: Tensor | None

    def __init__(self, network: nn.Module, transform: Transform) -> None:
        super().__init__()
        self.network = network
        for name, values in (("mean", transform.mean), ("std", transform.std)):
            self.register_buffer(name, None if values is None else torch.tensor(values).view(-1, 1, 1))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and probabilities."""
        floats = images.to(torch.float32) / 255
        if self.mean is not None and self.std is not None:
            floats = (floats - self.mean) / self.std
        logits = self.network(floats)
        return logits, torch.softmax(logits, 1)


class Raw(nn.Module):
    """The network alone, its input called `images` as in `Deployed`."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Logits float32 (N, K) of float32 images that the transform was applied to."""
        logits: Tensor = self.network(images)
        return logits


def captured(model: nn.Module, spec: ModelSpec, *, raw: bool, single: bool = False) -> ExportedProgram:
    """Trace a copy of `model`, in evaluation mode on the CPU, for any number of images, or for a `single` one.

    Raises:
        ModelError: torch.export cannot trace it, or only for a fixed number of images.
    """
    network = copy.deepcopy(model).cpu().eval().to(memory_format=torch.contiguous_format)
    whole = (Raw(network) if raw else Deployed(network, spec.transform)).eval()
    n_images = 1 if single else EXAMPLES
    example = torch.zeros(n_images, *spec.image_shape, dtype=torch.float32 if raw else torch.uint8)
    shapes = None if single else {INPUT: {0: torch.export.Dim("batch")}}
    try:
        with quiet(), torch.no_grad():
            return torch.export.export(whole, (example,), dynamic_shapes=shapes, strict=False)
    except Exception as error:  # a model may be any code
        raise refused(spec, error) from error


def refused(spec: ModelSpec, error: Exception) -> ModelError:
    """The error for a model that a library cannot export, with the first line of its reason."""
    reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return ModelError(
        f"{spec.model} cannot be exported as a program: {reason[:LONGEST_REASON]}",
        "its forward pass may depend on pixel values or on the batch size",
        "formats of weights alone take any model: --format safetensors",
    )


def metadata(spec: ModelSpec, options: ExportOptions) -> dict[str, str]:
    """What a file says of itself: how to use it, and where it comes from; JSON where a value is no plain text."""
    return {
        "cvexp.classes": json.dumps(spec.class_names, ensure_ascii=False),
        "cvexp.image_shape": json.dumps(spec.image_shape),
        "cvexp.fitting": json.dumps(asdict(spec.fitting)),
        "cvexp.transform": json.dumps(asdict(spec.transform)),
        "cvexp.raw": json.dumps(options.raw),
        "cvexp.quantized": "" if options.calibration is None else "int8",
        "cvexp.run_id": options.run_id,
        "cvexp.weights_sha256": spec.weights_sha256,
        "cvexp.version": VERSION,
    }


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Within the block, libraries print nothing: no warning, no log record, no graph that could not be traced."""
    before, nowhere = logging.root.manager.disable, io.StringIO()
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
