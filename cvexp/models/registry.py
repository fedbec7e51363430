"""The models by name: built-in, of a library, from plug-ins, or `package.module:factory` from the command line.

A factory takes the image shape (C, H, W) and the number of classes by position, `hidden_units` and arguments of its own
by keyword, and returns a torch module from float images to logits. Only building a model loads torch.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cvexp.config.model import FAMILIES
from cvexp.errors import ModelError, nearest
from cvexp.imports import entry_points, working_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from torch import nn

    from cvexp.config import ModelArg
    from cvexp.models.families import Family

    Factory = Callable[..., nn.Module]

ENTRY_POINTS = "cvexp.models"
_PATH = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelEntry:
    """What is known of a model before its code is imported.

    `factory` is `package.module:factory`; if the user `typed` it, it may lie in the working folder. That of a library's
    model, `FAMILY:NAME`, is made by the family's module.
    """

    name: str
    summary: str
    factory: str
    typed: bool = False

    @property
    def family(self) -> Family | None:
        """The library that the model is of; None for others. Its own module is imported, the library is not yet."""
        prefix, colon, _ = self.name.partition(":")
        if not colon or prefix not in FAMILIES:
            return None
        from cvexp.models.families import family_of

        return family_of(prefix)

    @property
    def is_builtin(self) -> bool:
        """Whether cvexp carries the model's code itself, and so can ship it with a logged model."""
        return self in BUILTIN

    def load(self) -> Factory:
        """Import the factory.

        Raises:
            ModelError: It cannot be imported, or the library has no such model.
        """
        if (family := self.family) is not None:
            return family.factory(self.name.partition(":")[2])
        module, _, attribute = self.factory.partition(":")
        try:
            with self.importable():
                factory = getattr(importlib.import_module(module), attribute)
        except Exception as error:  # a module may raise anything while it is imported
            hint = "it must be importable from this folder or the environment"
            raise ModelError(f"model {self.factory!r} cannot be imported: {error}", hint) from error
        if not callable(factory):
            raise ModelError(f"model {self.factory!r} is not callable", "name a class or a function")
        return factory  # type: ignore[no-any-return]  # checked by building, not by type

    def importable(self) -> AbstractContextManager[None]:
        """A context in which the factory can be imported, and can import modules beside it."""
        return working_folder(self.factory.partition(":")[0]) if self.typed else contextlib.nullcontext()


_HERE = "cvexp.models.architectures"
BUILTIN: tuple[ModelEntry, ...] = (
    ModelEntry(name="linear", summary="two linear layers, no activation", factory=f"{_HERE}:linear"),
    ModelEntry(name="mlp", summary="two linear layers, each with a ReLU", factory=f"{_HERE}:mlp"),
    ModelEntry(name="tinyvgg", summary="two convolutional blocks and a linear layer", factory=f"{_HERE}:tinyvgg"),
)


def entries() -> dict[str, ModelEntry]:
    """Every model by name: the built-in ones, then those of installed plug-ins (entry points `cvexp.models`)."""
    known = {entry.name: entry for entry in BUILTIN}
    for point in entry_points(group=ENTRY_POINTS):
        summary = f"from {point.dist.name}" if point.dist else "plug-in"
        known.setdefault(point.name, ModelEntry(name=point.name, summary=summary, factory=point.value))
    return known


def find_entry(name: str, *, allow_path: bool = False) -> ModelEntry:
    """The model called `name`: a registered name, a library's, or `package.module:factory` if `allow_path`.

    Only what the user typed may be such a path: a stored run could name any code.

    Raises:
        ModelError: There is no such model; the nearest name is suggested.
    """
    for entry in BUILTIN:
        if entry.name == name:
            return entry
    family, colon, _ = name.partition(":")
    if colon and family in FAMILIES:
        return ModelEntry(name=name, summary=f"from {family}", factory="")
    if _PATH.fullmatch(name):
        if not allow_path:
            hint = f"if you trust it, add: --model {name}"
            raise ModelError(f"{name!r} is code, which only the command line may name", hint)
        return ModelEntry(name=name, summary="from the command line", factory=name, typed=True)
    known = entries()
    if name not in known:
        libraries = " and ".join(f"{library}:NAME" for library in FAMILIES)
        raise ModelError(f"unknown model: {name!r}", nearest(name, known), f"or {libraries}, see: cvexp models --all")
    return known[name]


def build(
    entry: ModelEntry,
    *,
    image_shape: Sequence[int],
    n_classes: int,
    hidden_units: int,
    model_args: Mapping[str, ModelArg],
) -> nn.Module:
    """Build the model for this data; its initial weights come from torch's default generator.

    Raises:
        ModelError: An argument is unknown or has the wrong type, or the model does not fit the shape.
    """
    factory = entry.load()
    complete = complete_arguments(entry.name, factory, model_args)
    try:
        with entry.importable():
            model = factory(tuple(image_shape), n_classes, hidden_units=hidden_units, **complete)
    except Exception as error:  # a factory may raise anything
        shape = "x".join(map(str, image_shape))
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        hint = "try another size, such as --image-size 224" if entry.family else "see: cvexp models"
        raise ModelError(f"{entry.name} cannot be built for {shape} images: {reason}", hint) from error
    from torch.nn import Module

    if not isinstance(model, Module):
        raise ModelError(f"{entry.name} returned no torch module but {type(model).__name__}", "return an nn.Module")
    return model


def arguments(factory: Factory) -> dict[str, Any]:
    """The factory's own keyword arguments and their defaults, without `hidden_units` and the two passed by position."""
    parameters = inspect.signature(factory).parameters.values()
    by_position = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)][:2]
    return {
        p.name: p.default
        for p in parameters
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.name not in (*by_position, "hidden_units")
    }


def complete_arguments(name: str, factory: Factory, given: Mapping[str, ModelArg]) -> dict[str, ModelArg]:
    """The factory's own arguments: those given, and the defaults of the rest.

    Raises:
        ModelError: An argument is unknown, or its value has another type than the default's.
    """
    valid = arguments(factory)
    for argument, value in given.items():
        if argument not in valid:
            has = nearest(argument, valid) if valid else f"{name} takes none besides --hidden-units"
            raise ModelError(f"unknown argument of {name}: {argument!r}", has)
        kind = type(valid[argument])
        fits = isinstance(value, kind) and isinstance(value, bool) == (kind is bool)
        if kind in (bool, int, float, str) and not (fits or (kind is float and type(value) is int)):
            hint = f"for example: --model-arg {argument}={str(valid[argument]).lower()}"
            raise ModelError(f"{name}: {argument}={value!r} should be of type {kind.__name__}", hint)
    defaults = {key: value for key, value in valid.items() if isinstance(value, bool | int | float | str)}
    return {**defaults, **given}
