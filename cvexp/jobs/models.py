"""List the models; describe one layer by layer."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any

from cvexp.config.model import FAMILIES
from cvexp.data.named import locate
from cvexp.data.registry import find_spec
from cvexp.errors import ModelError
from cvexp.models.registry import arguments, build, entries, find_entry
from cvexp.settings import data_dir

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cvexp.config import RunConfig
    from cvexp.models.registry import ModelEntry
    from cvexp.models.summary import LayerSummary, ModelSummary

MOST_COUNTED = 40
"""Models of libraries whose parameters are counted in one list: each takes a tenth of a second to a second."""

COUNTED_SHAPE = (3, 224, 224)
"""Images that every network of the libraries is made for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Described:
    """A model built with `hidden_units` for images (C, H, W) and the classes of `dataset`.

    Attributes:
        entry: Its name and a line about it.
        about: Its factory's docstring, without the arguments.
        arguments: Its own arguments and their defaults: plain values, or text for others; None without a default.
        adaptations: What was changed to fit the images, a line each.
        frozen: What `--freeze` was given; None where nothing is frozen.
        summary: Totals and layers.
        layers: Those to be shown: of the depth that was asked for, or all.
    """

    entry: ModelEntry
    about: str
    arguments: dict[str, Any]
    hidden_units: int
    image_shape: tuple[int, int, int]
    dataset: str
    adaptations: tuple[str, ...]
    frozen: str | None
    summary: ModelSummary
    layers: tuple[LayerSummary, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """A model of a library: its parameters with a head for `n_classes`; None where they were not counted."""

    name: str
    parameters: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelList:
    """The models that were asked for.

    Attributes:
        described: The registered ones, built for the dataset's shape.
        of_libraries: Those of the libraries, in their order; empty unless all were asked for.
        n_classes: Of the heads that are counted.
        missing: Libraries that are not installed.
    """

    described: tuple[Described, ...]
    of_libraries: tuple[Listed, ...] = ()
    n_classes: int = 0
    missing: tuple[str, ...] = ()


def describe(config: RunConfig, *, depth: int | None = None) -> Described:
    """Build the model that `config` names for its dataset's shape and describe it.

    With `depth`, what lies deeper is added up to blocks.

    Raises:
        InputError: The model, an argument or the dataset is unknown, or they do not fit.
    """
    entry = find_entry(config.model, allow_path=True)
    shape, n_classes = _images_of(config)
    from cvexp.models.freeze import freeze
    from cvexp.models.summary import check_output, summarize

    factory = entry.load()
    model = build(
        entry, image_shape=shape, n_classes=n_classes, hidden_units=config.hidden_units, model_args=config.model_args
    )
    check_output(model, name=config.model, image_shape=shape, n_classes=n_classes)
    if config.freeze is not None:
        freeze(model, config.freeze, n_classes=n_classes)
    about = (inspect.getdoc(factory) or "").partition("\nArgs:")[0].strip()
    summary = summarize(model, shape)
    return Described(
        entry=entry,
        about=about,
        arguments={name: _plain(default) for name, default in arguments(factory).items()},
        hidden_units=config.hidden_units,
        image_shape=shape,
        dataset=config.dataset,
        adaptations=tuple(getattr(model, "adaptations", ())) if entry.family else (),
        frozen=config.freeze,
        summary=summary,
        layers=summary.layers if depth is None else summary.at_depth(depth),
    )


def _images_of(config: RunConfig) -> tuple[tuple[int, int, int], int]:
    """The images' shape (C, H, W), and how many classes there are; of datasets, only the user's own are read."""
    if locate(config.dataset) is None:
        spec = find_spec(config.dataset)
        channels, height, width = spec.image_shape
        return (channels, config.image_size or height, config.image_size or width), len(spec.class_names)
    from cvexp.data.dataset import load_dataset

    dataset = load_dataset(config, data_dir(None))
    return dataset.image_shape, dataset.n_classes


def _plain(default: object) -> object:
    """A default for JSON: a class or a function by its name."""
    if default is None or default is inspect.Parameter.empty:
        return None
    if isinstance(default, bool | int | float | str):
        return default
    return f"{default.__module__}.{default.__qualname__}" if hasattr(default, "__qualname__") else repr(default)


def list_registered(config: RunConfig) -> ModelList:
    """Every registered model, built for the shape of `config`'s dataset."""
    return ModelList(described=tuple(describe(replace(config, model=name)) for name in entries()))


def list_all(config: RunConfig, pattern: str | None = None) -> ModelList:
    """The registered models and those of the libraries whose name `pattern` matches, as a shell would.

    A pattern without `*` matches names that contain it. The libraries' parameters are counted where a pattern leaves at
    most `MOST_COUNTED` of their models.

    Raises:
        ModelError: No model has such a name.
    """
    wanted = None if pattern is None else pattern if any(c in pattern for c in "*?[") else f"*{pattern}*"
    registered = [name for name in entries() if wanted is None or fnmatch(name, wanted)]
    names, missing = [], []
    for family in FAMILIES:
        try:
            names += [name for name in _names_of(family) if wanted is None or fnmatch(name, wanted)]
        except ModelError:
            missing.append(family)
    if not (registered or names):
        raise ModelError(f"no model's name has the pattern {pattern!r}", "see all: cvexp models --all")
    _, n_classes = _images_of(config)
    counted = wanted is not None and len(names) <= MOST_COUNTED
    return ModelList(
        described=tuple(describe(replace(config, model=name)) for name in registered),
        of_libraries=tuple(
            Listed(name=name, parameters=_count(name, n_classes) if counted else None) for name in names
        ),
        n_classes=n_classes,
        missing=tuple(missing),
    )


def _names_of(family: str) -> Iterator[str]:
    from cvexp.models.families import family_of

    return (f"{family}:{name}" for name in family_of(family).names())


def _count(name: str, n_classes: int) -> int | None:
    """The parameters of a library's model, on the meta device: no memory is filled."""
    import torch

    entry = find_entry(name)
    try:
        with torch.device("meta"):
            model = build(entry, image_shape=COUNTED_SHAPE, n_classes=n_classes, hidden_units=10, model_args={})
    except ModelError:  # a few networks look at values while they are built
        return None
    return sum(parameter.numel() for parameter in model.parameters())
