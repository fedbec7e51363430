"""Linear layers of nine to fifteen outputs, as many as small datasets have classes: MKL is faster with sixteen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

WIDE = 16
"""Outputs that MKL computes at once: one vector of float32, of 512 bits."""

FEWEST = WIDE // 2 + 1
"""Outputs from which the wide product gains; with eight and fewer, or twelve of few columns, MKL is as fast itself."""

ROWS, COLUMNS = 256, 128
"""Inputs (N, D) of fewer rows or columns do not pay for the copy of the weights."""


class WideLinear(TorchFunctionMode):
    """While entered, linear layers of nine to fifteen outputs are computed with zeros up to sixteen, and cut back.

    A product of 668 images of 784 pixels with ten outputs takes about two thirds of the time. Outputs differ from the
    layer's own by rounding, as they do between batch sizes. Only large float32 inputs (N, D) on a CPU with MKL are
    treated so, everything else is left as it is.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Take the place of `torch.nn.functional.linear`."""
        return (_linear if func is functional.linear else func)(*args, **(kwargs or {}))


def _linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:  # noqa: A002, its name in torch
    n_outputs = len(weight)
    if not (FEWEST <= n_outputs < WIDE and _pays(input)):
        return functional.linear(input, weight, bias)
    missing = WIDE - n_outputs
    wide_bias = None if bias is None else functional.pad(bias, (0, missing))
    wide = functional.linear(input, functional.pad(weight, (0, 0, 0, missing)), wide_bias)
    return wide[:, :n_outputs].contiguous()  # as the layer's own: a model may go on with `view`


def _pays(rows: Tensor) -> bool:
    if rows.dtype != torch.float32 or rows.device.type != "cpu":
        return False
    match rows.shape:
        case (n_rows, n_columns):
            return n_rows >= ROWS and n_columns >= COLUMNS and _has_mkl()
    return False


def _has_mkl() -> bool:
    return bool(torch.backends.mkl.is_available())  # type: ignore[no-untyped-call]  # torch leaves it untyped
