"""Batch normalisation whose mean and variance are those of the whole batch, wherever its images are."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

_CONVERTED = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
"""The classes whose forward pass torch's own SyncBatchNorm repeats; one derived from them may do more."""


def synchronised(model: nn.Module, device: torch.device) -> Callable[[], AbstractContextManager[object]]:
    """Let the batch normalisations of `model` be those of whole batches; forward passes belong within what is returned.

    On a CUDA device plain ones become `nn.SyncBatchNorm`, in place, with the same parameters and names. It takes no
    CPU tensors, and would leave out what classes derived from batch normalisation add to it: there the mode replaces
    the function that all of them call.
    """
    layers = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    if not layers:
        return contextlib.nullcontext
    if device.type == "cuda" and all(type(layer) in _CONVERTED for layer in layers) and type(model) not in _CONVERTED:
        nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return contextlib.nullcontext
    return WholeBatches


class WholeBatches(TorchFunctionMode):
    """Within it, `torch.nn.functional.batch_norm` in training is that of all processes' images; see `batch_norm`."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Replace one function."""
        return (batch_norm if func is functional.batch_norm else func)(*args, **(kwargs or {}))


def batch_norm(  # noqa: PLR0917 - the signature of torch's function
    images: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,  # noqa: FBT001, FBT002 - likewise
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """As `torch.nn.functional.batch_norm`; in training, with mean and variance over the images of all processes.

    `images` are (B, C, ...), B possibly 0; every process calls it equally often. The variance is the mean of squared
    deviations, from a mean that is known by then, so that no digits are lost to the difference of large squares.
    """
    if not training:
        return functional.batch_norm(images, running_mean, running_var, weight, bias, training, momentum, eps)
    dtype = images.dtype
    x = images.float() if dtype in (torch.float16, torch.bfloat16) else images
    others, shape = [0, *range(2, x.dim())], (1, -1, *[1] * (x.dim() - 2))
    count = x.new_full((1,), x.numel() // x.shape[1])
    sums = summed(torch.cat([x.sum(others), count]))
    n, mean = sums[-1].detach(), sums[:-1] / sums[-1]
    centred = x - mean.view(shape)
    variance = summed((centred * centred).sum(others)) / n
    if running_mean is not None and running_var is not None:
        with torch.no_grad():
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
            running_var.lerp_((variance * (n / (n - 1).clamp(min=1))).to(running_var.dtype), momentum)
    found = centred * torch.rsqrt(variance + eps).view(shape)
    found = found if weight is None else found * weight.view(shape)
    return (found if bias is None else found + bias.view(shape)).to(dtype)


def summed(value: Tensor) -> Tensor:
    """The sum of all processes' values; the gradient of each is the sum of the gradients that the sums get."""
    total: Tensor = _Sum.apply(value)
    return total


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(_context: Any, value: Tensor) -> Tensor:
        return _sum(value)

    @staticmethod
    def backward(_context: Any, gradient: Tensor) -> Tensor:
        return _sum(gradient)


def _sum(value: Tensor) -> Tensor:
    total = value.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total
