"""List the models; describe one layer by layer."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cvexp.data.registry import find_spec
from cvexp.models.registry import arguments, build, entries, find_entry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cvexp.config import ModelArg
    from cvexp.models.registry import ModelEntry
    from cvexp.models.summary import ModelSummary


@dataclass(frozen=True, kw_only=True, slots=True)
class Described:
    """A model built with `hidden_units` for the image shape (C, H, W) and the classes of `dataset`.

    Attributes:
        entry: Its name and a line about it.
        about: Its factory's docstring, without the arguments.
        arguments: Its own arguments and their defaults: plain values, or text for others; None without a default.
        summary: Totals and layers.
    """

    entry: ModelEntry
    about: str
    arguments: dict[str, Any]
    hidden_units: int
    image_shape: tuple[int, int, int]
    dataset: str
    summary: ModelSummary


def describe(
    name: str, *, dataset: str, hidden_units: int = 10, model_args: Mapping[str, ModelArg] | None = None
) -> Described:
    """Build the model called `name` for a dataset's shape and describe it; the dataset itself is not read.

    Raises:
        InputError: The model, an argument or the dataset is unknown, or they do not fit.
    """
    entry = find_entry(name, allow_path=True)
    shape = find_spec(dataset)
    from cvexp.models.summary import check_output, summarize

    factory = entry.load()
    model = build(
        entry,
        image_shape=shape.image_shape,
        n_classes=len(shape.class_names),
        hidden_units=hidden_units,
        model_args=model_args or {},
    )
    check_output(model, name=name, image_shape=shape.image_shape, n_classes=len(shape.class_names))
    about = (inspect.getdoc(factory) or "").partition("\nArgs:")[0].strip()
    return Described(
        entry=entry,
        about=about,
        arguments={name: _plain(default) for name, default in arguments(factory).items()},
        hidden_units=hidden_units,
        image_shape=shape.image_shape,
        dataset=dataset,
        summary=summarize(model, shape.image_shape),
    )


def _plain(default: object) -> object:
    """A default for JSON: a class or a function by its name."""
    if default is None or default is inspect.Parameter.empty:
        return None
    if isinstance(default, bool | int | float | str):
        return default
    return f"{default.__module__}.{default.__qualname__}" if hasattr(default, "__qualname__") else repr(default)


def list_all(*, dataset: str, hidden_units: int = 10) -> list[Described]:
    """Every registered model, built for a dataset's shape."""
    return [describe(name, dataset=dataset, hidden_units=hidden_units) for name in entries()]
