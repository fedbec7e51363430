"""What in an image raises the logit of a class: Grad-CAM over a model's last maps, or the gradient by its pixels."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor, nn

    Hook = Callable[[str, nn.Module, Tensor], Tensor | None]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Attribution:
    """Where in images the evidence for some classes is.

    Attributes:
        maps: float32 (N, M, H, W), for each image and class, on the CPU. Of Grad-CAM at least 0, else of any sign.
        layer: The module whose maps were weighted; None where the maps are the gradient by the pixels.
        layer_shape: (C, H, W) of that module's output.
    """

    maps: Tensor
    layer: str | None = None
    layer_shape: tuple[int, ...] = ()


def attribute(model: nn.Module, images: Tensor, classes: Tensor) -> Attribution:
    """Grad-CAM of each image for its classes (Selvaraju et al., 2017, arxiv.org/abs/1610.02391).

    Each map of the last layer that has maps is weighted by the mean gradient of the class's logit over it; the sum is
    cut off below 0 and enlarged to the image's size. For a model without such a layer, it is the gradient of the logit
    by the transformed pixels, summed over channels (Simonyan et al., 2014, arxiv.org/abs/1312.6034).

    Args:
        model: In evaluation mode; from float (N, C, H, W) to logits (N, K). It is left as it was.
        images: float32 (N, C, H, W), transformed, on the model's device.
        classes: int64 (N, M), on the same device.
    """
    found: dict[str, Tensor] = {}

    def keep(name: str, _module: nn.Module, output: Tensor) -> Tensor | None:
        if not is_spatial(output, images.shape[2:]):
            return None
        found.pop(name, None)  # the last call of a module that is called twice
        found[name] = output
        return output.clone()  # what comes next may change its input in place

    pixels = images.detach().clone().requires_grad_()  # frozen parameters need no gradient, and these always do
    with hooked(model, keep), torch.enable_grad():
        logits = model(pixels)
    scores = logits.gather(1, classes).sum(0)
    for name, maps in reversed(found.items()):
        gradients = _gradients(scores, maps)
        if gradients is not None:
            cams = [(gradient.mean((2, 3), keepdim=True) * maps).sum(1).relu() for gradient in gradients]
            large = functional.interpolate(torch.stack(cams, 1).detach(), images.shape[2:], mode="bilinear")
            return Attribution(maps=large.cpu(), layer=name, layer_shape=tuple(maps.shape[1:]))
    by_pixel = _gradients(scores, pixels) or [torch.zeros_like(pixels)] * len(scores)
    return Attribution(maps=torch.stack([one.sum(1) for one in by_pixel], 1).cpu())


def _gradients(scores: Tensor, by: Tensor) -> list[Tensor] | None:
    """Of each score; None where they do not depend on `by`."""
    found = [torch.autograd.grad(score, by, retain_graph=True, allow_unused=True)[0] for score in scores]
    return None if any(gradient is None for gradient in found) else found


def is_spatial(output: Tensor, image_size: torch.Size) -> bool:
    """Whether an output is maps, (N, C, h, w), with the image's proportions, of more than one pixel.

    Proportions tell them from (N, h, w, C), as some transformers have it.
    """
    if output.ndim != 4 or output.shape[2] * output.shape[3] <= 1 or not output.is_floating_point():  # noqa: PLR2004
        return False
    (height, width), (h, w) = image_size, output.shape[2:]
    return abs(h * width - w * height) <= max(height, width)


@contextlib.contextmanager
def hooked(model: nn.Module, hook: Hook) -> Iterator[None]:
    """Within the block, show every module's output to `hook`, and put what it returns, if anything, in its place."""

    def of(name: str) -> Callable[[nn.Module, object, object], Tensor | None]:
        def call(module: nn.Module, _inputs: object, output: object) -> Tensor | None:
            return hook(name, module, output) if isinstance(output, torch.Tensor) else None

        return call

    handles = [module.register_forward_hook(of(name)) for name, module in model.named_modules() if name]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
