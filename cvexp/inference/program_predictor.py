"""Predictions of a program that torch.export wrote."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import torch

from cvexp.device import default_threads, threads
from cvexp.inference.batches import batches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor, nn

    from cvexp.data.transforms import Transform
    from cvexp.inference.signature import Signature


class ProgramPredictor:
    """A loaded program, on the CPU, where it was traced; `transform` is applied where it holds the network alone."""

    def __init__(self, program: nn.Module, signature: Signature, *, transform: Transform) -> None:
        self.signature = signature
        self._program, self._transform = program, transform

    def logits(self, images: Tensor) -> Tensor:
        """Logits float32 (N, K) of images uint8 (N, C, H, W), N at least 1."""
        return self._answers(images)[0]

    def probabilities(self, images: Tensor) -> Tensor:
        """What the program itself answers as probabilities, float32 (N, K); without any, softmax of its logits."""
        logits, *rest = self._answers(images)
        return rest[0] if rest else logits.softmax(1)

    @contextlib.contextmanager
    def prepared(self, images: Tensor, *, n_threads: int) -> Iterator[Callable[[Tensor], Tensor]]:  # noqa: ARG002 - any
        """See Preparing."""
        with torch.inference_mode(), threads(n_threads):
            yield lambda batch: self._run(batch)[0]

    def _answers(self, images: Tensor) -> list[Tensor]:
        with torch.inference_mode(), threads(default_threads()):
            answers = [self._run(batch) for batch in batches(images)]
        return [torch.cat(parts) for parts in zip(*answers, strict=True)]

    def _run(self, batch: Tensor) -> tuple[Tensor, ...]:
        answer = self._program(self._transform(batch) if self.signature.raw else batch)
        return (answer,) if self.signature.raw else answer
