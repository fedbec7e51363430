"""An ONNX file in onnxruntime, checked first. Imports torch only where tensors are asked for."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from cvexp.errors import WeightsError
from cvexp.inference.batches import batches
from cvexp.inference.onnx_file import IMAGES, LOGITS, MAX_BYTES, PROBABILITIES, REMEDY, checked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from onnxruntime import InferenceSession
    from torch import Tensor

    from cvexp.data.transforms import Transform

FATAL = 4
"""onnxruntime's level of what it logs; errors are raised anyway."""


def open_session(content: bytes | Path, *, n_threads: int, origin: str = "") -> InferenceSession:
    """A session on the CPU for an ONNX file as cvexp writes them, given by content or path.

    Args:
        content: What the file holds, or where it is; it is checked before onnxruntime reads it.
        n_threads: CPU threads for one operation.
        origin: What to call the content in errors.

    Raises:
        WeightsError: The file is missing, unsafe, or not of this kind.
    """
    if isinstance(content, Path):
        content, origin = _content_of(content), origin or str(content)
    checked(content, origin=origin or "the model")
    return _opened(content, n_threads=n_threads, origin=origin or "the model")


def _content_of(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(MAX_BYTES)
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror or error}", REMEDY) from error


def _opened(content: bytes, *, n_threads: int, origin: str) -> InferenceSession:
    import onnxruntime

    onnxruntime.set_default_logger_severity(FATAL)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = n_threads, 1
    options.log_severity_level = FATAL
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # it has a dozen types of its own
        raise WeightsError(f"{origin} cannot be run by onnxruntime {onnxruntime.__version__}", REMEDY) from error


class OnnxPredictor:
    """A checked ONNX file in onnxruntime, on the CPU; `transform` is applied where it holds the network alone.

    Attributes:
        signature: What the file takes and answers.
        session: For `n_threads` CPU threads.
    """

    def __init__(
        self, content: bytes, *, transform: Transform, n_threads: int | None = None, origin: str = "the model"
    ) -> None:
        from cvexp.device import default_threads

        self.signature = checked(content, origin=origin)
        self._content, self._transform, self._origin = content, transform, origin
        self.session = _opened(content, n_threads=n_threads or default_threads(), origin=origin)

    def logits(self, images: Tensor) -> Tensor:
        """Logits float32 (N, K) of images uint8 (N, C, H, W), N at least 1."""
        return self._answers(images, LOGITS)

    def probabilities(self, images: Tensor) -> Tensor:
        """What the file itself answers as probabilities, float32 (N, K); without any, softmax of its logits."""
        return self.logits(images).softmax(1) if self.signature.raw else self._answers(images, PROBABILITIES)

    @contextlib.contextmanager
    def prepared(self, images: Tensor, *, n_threads: int) -> Iterator[Callable[[Tensor], Tensor]]:  # noqa: ARG002 - any
        """See Preparing. The number of threads is a session's, so that this is another one."""
        session = _opened(self._content, n_threads=n_threads, origin=self._origin)
        yield lambda batch: self._run(session, batch, LOGITS)

    def _answers(self, images: Tensor, name: str) -> Tensor:
        import torch

        return torch.cat([self._run(self.session, batch, name) for batch in batches(images)])

    def _run(self, session: InferenceSession, batch: Tensor, name: str) -> Tensor:
        import torch

        given = self._transform(batch) if self.signature.raw else batch
        return torch.from_numpy(session.run([name], {IMAGES: given.contiguous().numpy()})[0])
