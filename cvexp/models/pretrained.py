"""Weights that were trained before: what they take their images to be, and how they are put into a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from cvexp.data.transforms import Transform
from cvexp.errors import WeightsError
from cvexp.models.stem import RGB, input_weights
from cvexp.text import shown

if TYPE_CHECKING:
    from torch import Tensor, nn

    from cvexp.data.fitting import Interpolation

WRAPPERS = ("state_dict", "model")
"""Under which names files of training programs hold the weights."""

_COUNTER = "num_batches_tracked"
"""Of batch normalisation; early files have none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Preprocessing:
    """What weights take their images to be.

    Attributes:
        mean: Of each channel, for pixels in [0, 1]; None, with `std`, where pixels are only scaled to [0, 1].
        std: Likewise.
        interpolation: Which resized the images.
        image_size: Pixels of a side; None where it is not known.
    """

    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    interpolation: Interpolation = "bilinear"
    image_size: int | None = None

    def transform(self, channels: int) -> Transform:
        """The transform for images of so many channels; where the weights are for others, each gets the average."""
        if self.mean is None or self.std is None or len(self.mean) == channels:
            return Transform(mean=self.mean, std=self.std)
        mean, std = (sum(values) / len(values) for values in (self.mean, self.std))
        return Transform(mean=(mean,) * channels, std=(std,) * channels)


def known_interpolation(name: str) -> Interpolation:
    """A library's name of an interpolation, or `bilinear` for one that is not had here."""
    return "bicubic" if name == "bicubic" else "bilinear"


def unwrapped(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors by name of a state_dict, or of a training program's file around one."""
    for name in WRAPPERS:
        if isinstance(state.get(name), Mapping):
            return unwrapped(state[name])
    return {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}


def put(state: Mapping[str, Tensor], model: nn.Module, *, head: str, source: str, name: str, hint: str) -> str:
    """Put the weights into `model`, and say in a line what was taken.

    A head that they do not fit is drawn anew as torch draws its layer: on 1,500 images of Fashion-MNIST, EfficientNet's
    own initial weights, which are ten times as large, cost six points of accuracy after 40 epochs. Those of the first
    convolution are made to fit other channels; see `input_weights`.

    Args:
        state: By name.
        model: Changed in place.
        head: The name of the model's head.
        source: Where the weights are from, for people.
        name: The model's, likewise.
        hint: What to type where the weights do not fit.

    Raises:
        WeightsError: They are of another architecture, or of no numbers.
    """
    ours, given = model.state_dict(), dict(state)
    _fit_channels(given, ours)
    in_head = {key for key in {*ours, *given} if key.startswith(f"{head}.")}
    fitting = {key for key, tensor in ours.items() if key in given and given[key].shape == tensor.shape}
    wrong = [key for key in ours if key not in fitting | in_head and not (key not in given and key.endswith(_COUNTER))]
    foreign = [key for key in given if key not in ours and key not in in_head]
    if wrong or foreign:
        raise WeightsError(
            f"{source} holds weights of another architecture than {name}: {len(wrong)} of its {len(ours)} tensors are "
            f"missing or of another shape, {len(foreign)} are not its own",
            _example(wrong, foreign, given, ours),
            hint,
        )
    try:
        with torch.no_grad():
            for key in fitting:
                ours[key].copy_(given[key])
    except (RuntimeError, TypeError) as error:  # complex or quantized numbers
        raise WeightsError(f"{source} holds no weights that {name} can take: {error}", hint) from error
    new = [key for key in ours if key in in_head - fitting]
    if new and not in_head & fitting:
        model.get_submodule(head).reset_parameters()  # type: ignore[operator]  # a linear or convolutional layer's
    return f"{source}: {len(fitting)} of {len(ours)} tensors" + (f"; {_why_new(new, given, ours)}" if new else "")


def _fit_channels(given: dict[str, Tensor], ours: Mapping[str, Tensor]) -> None:
    """Make the first convolution's weights, if they are for RGB, those for the model's channels."""
    for key, tensor in ours.items():
        theirs = given.get(key)
        if theirs is None or tensor.dim() != 4 or theirs.dim() != 4:  # noqa: PLR2004 - (O, C, h, w)
            continue
        channels, outer, inner = tensor.shape[1], tensor.shape[:1], tensor.shape[2:]
        if theirs.shape[1] == RGB != channels and (theirs.shape[:1], theirs.shape[2:]) == (outer, inner):
            given[key] = input_weights(theirs.float(), channels)
        return


def _example(wrong: list[str], foreign: list[str], given: Mapping[str, Tensor], ours: Mapping[str, Tensor]) -> str:
    """One tensor that does not fit."""
    differing = [key for key in wrong if key in given]
    if differing:
        key = differing[0]
        return f"{key} has shape {tuple(given[key].shape)} there, and {tuple(ours[key].shape)} here"
    return f"{wrong[0]} is not there" if wrong else f"{shown(foreign[0])} is no tensor of the model"


def _why_new(new: list[str], given: Mapping[str, Tensor], ours: Mapping[str, Tensor]) -> str:
    classes = [(len(given[key]), len(ours[key])) for key in new if key in given and given[key].dim()]
    there = f" ({classes[0][0]:,} classes there, {classes[0][1]:,} here)" if classes else ""
    return f"{', '.join(new)} new{there}"
