"""A checked OpenVINO IR in OpenVINO, on the CPU, in float32."""

from __future__ import annotations

import contextlib
import math
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch

from cvexp.device import default_threads
from cvexp.errors import WeightsError
from cvexp.inference.batches import batches
from cvexp.inference.openvino_ir import REMEDY, checked
from cvexp.inference.signature import Signature
from cvexp.text import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    from cvexp.data.transforms import Transform

IMAGES, LOGITS, PROBABILITIES = "images", "logits", "probabilities"
IMAGE_DIMS = 4
MAX_VALUES = 2**28
"""Elements of one intermediate result for one image, as for ONNX files."""

PRECISION = "f32"
"""OpenVINO's own choice is bfloat16 where the CPU has it, which is three to four decimal digits less."""


@lru_cache(maxsize=1)
def library() -> Any:
    """OpenVINO, which cannot tell its maker that it is used.

    Its import sends an event, and writes an id to the home folder, unless openvino_telemetry cannot be imported.
    """
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # makes its import fail
    import openvino

    return openvino


@lru_cache(maxsize=1)
def core() -> Any:
    """The one core of this process."""
    return library().Core()


class OpenVinoPredictor:
    """An IR, checked and compiled; `transform` is applied where it holds the network alone.

    Attributes:
        signature: What the file takes and answers.
    """

    def __init__(self, xml: bytes, weights: bytes, *, transform: Transform, origin: str = "the model") -> None:
        self._transform = transform
        self._model, self.signature = read_model(xml, weights, origin=origin)
        self._compiled: dict[int, Any] = {}
        try:
            answer = self.logits(torch.zeros(1, *self.signature.image_shape, dtype=torch.uint8))
        except Exception as error:  # it has one type for everything
            raise WeightsError(f"{origin} cannot be run by OpenVINO {library().__version__}", REMEDY) from error
        if answer.shape != (1, self.signature.n_classes):
            raise WeightsError(f"{origin} answers other logits than it says", REMEDY)

    def logits(self, images: Tensor) -> Tensor:
        """Logits float32 (N, K) of images uint8 (N, C, H, W), N at least 1."""
        return self._answers(images, LOGITS)

    def probabilities(self, images: Tensor) -> Tensor:
        """What the file itself answers as probabilities, float32 (N, K); without any, softmax of its logits."""
        return self.logits(images).softmax(1) if self.signature.raw else self._answers(images, PROBABILITIES)

    @contextlib.contextmanager
    def prepared(self, images: Tensor, *, n_threads: int) -> Iterator[Callable[[Tensor], Tensor]]:  # noqa: ARG002 - any
        """See Preparing."""
        request = self._request(n_threads)
        yield lambda batch: self._run(request, batch, LOGITS)

    def _answers(self, images: Tensor, name: str) -> Tensor:
        request = self._request(default_threads())
        return torch.cat([self._run(request, batch, name) for batch in batches(images)])

    def _request(self, n_threads: int) -> Any:
        """What runs the model on a number of threads, which is a compiled model's."""
        if n_threads not in self._compiled:
            self._compiled[n_threads] = core().compile_model(
                self._model,
                "CPU",
                {"INFERENCE_PRECISION_HINT": PRECISION, "INFERENCE_NUM_THREADS": n_threads, "NUM_STREAMS": 1},
            )
        return self._compiled[n_threads].create_infer_request()

    def _run(self, request: Any, batch: Tensor, name: str) -> Tensor:
        given = self._transform(batch) if self.signature.raw else batch
        request.infer({IMAGES: given.contiguous().numpy()}, share_inputs=True)
        return torch.from_numpy(request.get_tensor(name).data.copy())


def read_model(xml: bytes, weights: bytes, *, origin: str) -> tuple[Any, Signature]:
    """OpenVINO's model of an IR as cvexp writes them, and what it takes and answers.

    Raises:
        WeightsError: See `checked`; or its layers do not fit each other, or it needs too much memory for one image.
    """
    plain = checked(xml, len(weights), origin=origin)
    try:
        model = core().read_model(model=plain, weights=weights)
        signature = _signature(model)
        single = model.clone()
        single.reshape({IMAGES: [1, *signature.image_shape]} if signature else {})
    except Exception as error:  # it has one type for everything
        raise WeightsError(f"{origin} holds layers that do not fit each other", REMEDY) from error
    if signature is None:
        wanted = f"{IMAGES} (N, C, H, W) to {LOGITS} and {PROBABILITIES} (N, K)"
        raise WeightsError(f"{origin} has other inputs and outputs than {wanted}", REMEDY)
    for layer in single.get_ordered_ops():
        for output in layer.outputs():
            dims = _dims(output)
            if dims is None or math.prod(dims) > MAX_VALUES:
                raise WeightsError(f"{origin} asks for too much memory: {shown(layer.get_type_name())}", REMEDY)
    return model, signature


def _signature(model: Any) -> Signature | None:
    """What the model takes and answers; None if that is not what cvexp's files do."""
    names = [sorted(one.get_names()) for one in (*model.inputs, *model.outputs)]
    kinds = [one.get_element_type().get_type_name() for one in (*model.inputs, *model.outputs)]
    raw = kinds[:1] == [PRECISION]
    expected = [[IMAGES], [LOGITS]] if raw else [[IMAGES], [LOGITS], [PROBABILITIES]]
    if names != expected or kinds != [PRECISION if raw else "u8", *[PRECISION] * (len(names) - 1)]:
        return None
    shapes = [_dims(one) for one in (*model.inputs, *model.outputs)]
    is_dynamic = all(one.get_partial_shape()[0].is_dynamic for one in (*model.inputs, *model.outputs))
    images, answer = shapes[0], shapes[1]
    if not is_dynamic or images is None or answer is None or len(images) != IMAGE_DIMS or len(answer) != 2:  # noqa: PLR2004 - (N, K)
        return None
    return Signature(raw=raw, image_shape=images[1:], n_classes=answer[1])


def _dims(value: Any) -> tuple[int, ...] | None:
    """The sizes of a value, 1 for those that are not fixed; None where not even their number is."""
    shape = value.get_partial_shape()
    if shape.rank.is_dynamic:
        return None
    return tuple(1 if dim.is_dynamic else dim.get_length() for dim in shape)
