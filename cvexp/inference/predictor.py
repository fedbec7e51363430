"""From images to the outputs of a trained model, one path for every verb."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch

from cvexp.device import default_threads, threads
from cvexp.models.summary import widest_output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from torch import Tensor, nn

    from cvexp.data.transforms import Transform

CPU_BATCH_BYTES, CPU_LAYER_BYTES = 2**22, 14 * 2**20
"""Float images of one batch on a CPU, and the largest output of a layer: enough to make dispatch cheap, and few enough
for its caches and for what memory a laptop has to spare."""

BATCH_BYTES, LAYER_BYTES = 2**25, 2**28
"""The same on a GPU, where only memory limits it."""


class Predictor(Protocol):
    """A trained model, whatever runs it."""

    def logits(self, images: Tensor) -> Tensor:
        """Logits float32 (N, K), on the CPU, of images uint8 (N, C, H, W), N at least 1."""
        ...


@runtime_checkable
class Preparing(Protocol):
    """A predictor that can do in advance what is the same for every batch of one shape."""

    def prepared(self, images: Tensor, *, n_threads: int) -> AbstractContextManager[Callable[[Tensor], Tensor]]:
        """Within the block, a function from images like `images` to their logits, all of them in one forward pass.

        It takes and returns tensors on the predictor's device, does not wait for a GPU, and uses `n_threads` CPU
        threads for one operation.
        """
        ...


@runtime_checkable
class Answering(Protocol):
    """A predictor of a file that answers probabilities too."""

    def probabilities(self, images: Tensor) -> Tensor:
        """What the file itself answers as probabilities, float32 (N, K), of images uint8 (N, C, H, W)."""
        ...


class TorchPredictor:
    """A torch module, moved to `device`, with the transform of its images; it uses `n_threads` CPU threads."""

    def __init__(
        self, model: nn.Module, transform: Transform, device: torch.device, *, n_threads: int | None = None
    ) -> None:
        self.model, self.transform, self.device, self.n_threads = model.to(device).eval(), transform, device, n_threads

    def logits(self, images: Tensor) -> Tensor:
        """Logits float32 (N, K), on the CPU, of images uint8 (N, C, H, W) on any device."""
        by_class = logits_by_class(self.model, images, self.transform, device=self.device, n_threads=self.n_threads)
        return by_class.t().contiguous().cpu()

    @contextlib.contextmanager
    def prepared(self, images: Tensor, *, n_threads: int) -> Iterator[Callable[[Tensor], Tensor]]:
        """See Preparing. The choice of the batch size in `logits` alone takes longer than a small model does."""
        with torch.inference_mode(), threads(n_threads):
            buffer = torch.empty(images.shape, device=self.device)
            model, transform = self.model.eval(), self.transform

            def predict(batch: Tensor) -> Tensor:
                logits: Tensor = model(transform(batch, out=buffer))
                return logits

            yield predict


def logits_by_class(
    model: nn.Module,
    images: Tensor,
    transform: Transform,
    *,
    device: torch.device,
    batch_size: int | None = None,
    n_threads: int | None = None,
    after_batch: Callable[[], None] | None = None,
) -> Tensor:
    """Run `model`, which is left in evaluation mode, on all images, in batches, without gradients.

    Args:
        model: From float (N, C, H, W) to logits (N, K); on `device`.
        images: uint8 (N, C, H, W), N at least 1; each batch is moved to `device`.
        transform: From them to what the model takes.
        device: Where the model is.
        batch_size: Images per forward pass; by default what `images_per_batch` says.
        n_threads: CPU threads for one operation; by default `default_threads()`.
        after_batch: Called after each forward pass; what it raises ends the prediction.

    Returns:
        float32 (K, N) on `device`: sums over classes take a third of their time in (N, K).
    """
    model.eval()
    shape = images.shape[1:]
    size = min(len(images), batch_size or images_per_batch(model, shape, device))
    logits = torch.empty(0)
    with torch.inference_mode(), threads(n_threads or default_threads()):
        buffer = torch.empty((size, *shape), device=device)
        for start in range(0, len(images), size):
            batch = images[start : start + size].to(device)
            answer = forward(model, transform(batch, out=buffer[: len(batch)]))
            if not start:
                logits = torch.empty((answer.shape[1], len(images)), device=device)
            logits[:, start : start + size] = answer.t()
            if after_batch is not None:
                after_batch()
    return logits


def forward(model: nn.Module, images: Tensor) -> Tensor:
    """One batch through the model: a function of its own, so that a test can interrupt an evaluation in the middle."""
    logits: Tensor = model(images)
    return logits


def images_per_batch(model: nn.Module, image_shape: Sequence[int], device: torch.device) -> int:
    """How many images of shape (C, H, W) `model` should take at once on `device`, where it is."""
    images, layer = (CPU_BATCH_BYTES, CPU_LAYER_BYTES) if device.type == "cpu" else (BATCH_BYTES, LAYER_BYTES)
    widest = widest_output(model, image_shape, device=device)
    return max(1, min(images // (4 * math.prod(image_shape)), layer // (4 * widest)))
