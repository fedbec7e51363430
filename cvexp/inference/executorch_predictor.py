"""A program of ExecuTorch, on the CPU, an image a call. It must be the user's own: the runtime trusts it."""

from __future__ import annotations

import contextlib
import io
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch

from cvexp.device import default_threads
from cvexp.errors import WeightsError
from cvexp.inference.signature import Signature

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    from cvexp.data.transforms import Transform

REMEDY = "export the run again, here: cvexp export RUN --format executorch"
UINT8, FLOAT = 0, 6
"""ExecuTorch's numbers of types."""

IMAGE_DIMS = 4


@lru_cache(maxsize=1)
def runtime() -> Any:
    """ExecuTorch's binding itself: the module around it imports the compiler (5 s) and sets environment variables."""
    from executorch.extension.pybindings import _C

    return _C


class _Pool:
    """The one pool of threads, which loaded methods keep a pointer to: with another pool they are loaded again."""

    number = 0

    @classmethod
    def resized(cls, n_threads: int) -> int:
        """Make the pool one of `n_threads`, and return its number."""
        with _quiet():
            if runtime()._threadpool_get_thread_count() != n_threads:  # noqa: SLF001 - there is no public way
                runtime()._unsafe_reset_threadpool(n_threads)  # noqa: SLF001
                cls.number += 1
        return cls.number


class ExecuTorchPredictor:
    """A loaded program; `transform` is applied where it holds the network alone.

    Attributes:
        signature: What the file takes and answers, for one image.
    """

    def __init__(self, content: bytes, *, transform: Transform, origin: str) -> None:
        self._content, self._transform = content, transform  # the runtime reads weights from `content`
        self._loaded: tuple[int, Any] = (-1, None)
        try:
            self._program = runtime()._load_program_from_buffer(  # noqa: SLF001 - there is no public way without the compiler
                content, program_verification=runtime().Verification.InternalConsistency
            )
            found = _signature(self._method(default_threads()).method_meta())
        except Exception as error:  # it has one type for everything
            raise WeightsError(f"{origin} cannot be run by ExecuTorch", REMEDY) from error
        if found is None:
            raise WeightsError(f"{origin} takes or answers something else than cvexp's files do", REMEDY)
        self.signature = found

    def logits(self, images: Tensor) -> Tensor:
        """Logits float32 (N, K) of images uint8 (N, C, H, W), N at least 1."""
        return self._run(images.cpu(), default_threads(), 0)

    def probabilities(self, images: Tensor) -> Tensor:
        """What the file itself answers as probabilities, float32 (N, K); without any, softmax of its logits."""
        return self.logits(images).softmax(1) if self.signature.raw else self._run(images.cpu(), default_threads(), 1)

    @contextlib.contextmanager
    def prepared(self, images: Tensor, *, n_threads: int) -> Iterator[Callable[[Tensor], Tensor]]:  # noqa: ARG002 - any
        """See Preparing; a batch takes as many calls as it has images, which is what the file can do."""
        yield lambda batch: self._run(batch, n_threads, 0)

    def _run(self, images: Tensor, n_threads: int, output: int) -> Tensor:
        given = (self._transform(images) if self.signature.raw else images).contiguous()
        method = self._method(n_threads)
        return torch.cat([method.call((image[None],))[output].clone() for image in given])

    def _method(self, n_threads: int) -> Any:
        number = _Pool.resized(n_threads)
        if self._loaded[0] != number:
            with _quiet():
                self._loaded = number, self._program.load_method("forward")
        return self._loaded[1]


def _signature(meta: Any) -> Signature | None:
    """What the method takes and answers; None if that is not what cvexp's files do."""
    images = meta.input_tensor_meta(0)
    outputs = [meta.output_tensor_meta(index) for index in range(meta.num_outputs())]
    raw, shape, answer = images.dtype() == FLOAT, tuple(images.sizes()), tuple(outputs[0].sizes())
    kinds = [images.dtype(), *(one.dtype() for one in outputs)]
    if kinds != ([FLOAT, FLOAT] if raw else [UINT8, FLOAT, FLOAT]) or meta.num_inputs() != 1:
        return None
    if len(shape) != IMAGE_DIMS or shape[0] != 1 or len(answer) != 2 or answer[0] != 1:  # noqa: PLR2004 - (1, K)
        return None
    return Signature(raw=raw, image_shape=shape[1:], n_classes=answer[1])


def _quiet() -> contextlib.redirect_stderr[io.StringIO]:
    """Within the block, what the runtime logs is dropped: its binding sends that to `sys.stderr`."""
    return contextlib.redirect_stderr(io.StringIO())
