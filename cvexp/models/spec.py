"""What it takes to rebuild a trained model: the JSON beside its weights."""

from __future__ import annotations

import json
from collections.abc import Mapping  # noqa: TC003 - pydantic reads the annotations at run time
from dataclasses import InitVar, asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from annotated_types import Ge, Len

from cvexp.config import ModelArg  # noqa: TC001 - likewise
from cvexp.data.fitting import Fitting
from cvexp.data.transforms import Transform
from cvexp.errors import WeightsError
from cvexp.models.registry import build, find_entry

if TYPE_CHECKING:
    from torch import nn

Positive = Annotated[int, Ge(1)]
FITTED = 3
"""The schema version that has `fitting`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSpec:
    """Architecture, data shapes and transform of a trained model.

    Attributes:
        model: A name from the registry, or `package.module:factory`.
        model_args: Arguments of the model's own.
        hidden_units: Units of the hidden layer, or channels of the convolutions.
        image_shape: (C, H, W) of the images it takes.
        class_names: In the order of its logits.
        dataset_digest: Of the dataset it was trained on.
        weights_sha256: Of the weights file beside this specification.
        transform: From images of this shape to what the model takes.
        fitting: From images of any size to those of this shape.
        schema_version: Version 1 had `preprocessing`, which named its only transform. Versions 1 and 2 squeezed every
            image. They are written again as version 3.
    """

    model: str
    model_args: Mapping[str, ModelArg]
    hidden_units: Positive
    image_shape: tuple[Positive, Positive, Positive]
    class_names: Annotated[tuple[str, ...], Len(1)]
    dataset: str
    dataset_digest: str
    weights_sha256: str
    transform: Transform = field(default_factory=Transform)
    fitting: Fitting = field(default_factory=Fitting)
    schema_version: Literal[1, 2, 3] = 3
    preprocessing: InitVar[Literal["uint8 / 255"] | None] = None

    def __post_init__(self, preprocessing: str | None) -> None:
        if (self.schema_version == 1) != (preprocessing is not None):
            raise ValueError("schema_version 1 has preprocessing, later ones have none")
        if self.schema_version == 1 and self.transform != Transform():
            raise ValueError("schema_version 1 has no transform")
        if self.schema_version < FITTED and self.fitting != Fitting():
            raise ValueError(f"schema_version {self.schema_version} has no fitting")
        if self.transform.mean is not None and len(self.transform.mean) != self.image_shape[0]:
            raise ValueError("transform has another number of channels than image_shape")
        object.__setattr__(self, "schema_version", FITTED)

    def to_json(self) -> str:
        """The specification as indented JSON."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def build(self, *, trusted_factory: str | None = None) -> nn.Module:
        """Build the module with fresh weights.

        The specification's own `package.module:factory` is never imported, only the one that the user typed.

        Raises:
            ModelError: The model is unknown here, or is code that was not trusted.
        """
        entry = find_entry(trusted_factory or self.model, allow_path=trusted_factory is not None)
        return build(
            entry,
            image_shape=self.image_shape,
            n_classes=len(self.class_names),
            hidden_units=self.hidden_units,
            model_args=self.model_args,
        )


T = TypeVar("T")


def parse_json(kind: type[T], text: str, *, origin: str) -> T:
    """Validate untrusted JSON as the dataclass `kind`.

    Raises:
        WeightsError: It is not valid for this version; `origin` is named.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(kind).validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "content"
        raise WeightsError(
            f"{origin} does not describe a model: {where[:80]}: {first['msg'][:160]}",
            "restore the file from where it came, or export the run again: cvexp export RUN",
        ) from None
