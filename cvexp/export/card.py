"""The model card: JSON beside an exported file."""

from __future__ import annotations

import json
from collections.abc import Mapping  # noqa: TC003 - pydantic reads the annotations at run time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Lt, MinLen

from cvexp.errors import WeightsError
from cvexp.export.weights import REMEDY, read_json
from cvexp.models.spec import ModelSpec  # noqa: TC001 - likewise
from cvexp.runs import EXPORT_SUFFIXES
from cvexp.text import finite, shown

if TYPE_CHECKING:
    from pathlib import Path


WITH_OPTIONS = 2
"""The schema version that has `quantized` and `raw`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelCard:
    """How to rebuild an exported model, and the run it was exported from.

    Attributes:
        spec: Architecture, shapes, classes, transform; its digest is the exported file's.
        format: A key of `cvexp.runs.EXPORT_SUFFIXES`.
        split_seed: Of the run, as `limit` and `settings`: the same test images can be found again.
        metrics: The run's last figures; None for one that is no finite number.
        quantized: "int8" where weights and activations are; empty for fp32.
        raw: Whether the file holds the network alone, which takes float images that the transform was applied to.
        schema_version: Version 1 had neither `quantized` nor `raw`. It is written again as version 2.
    """

    spec: ModelSpec
    format: Annotated[str, MinLen(1)]
    run_id: str
    run_name: str
    device_name: str = ""
    split_seed: Annotated[int, Ge(0), Lt(2**32)] = 42
    limit: Annotated[int, Ge(1)] | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    quantized: Literal["", "int8"] = ""
    raw: bool = False
    schema_version: Literal[1, 2] = 2

    def __post_init__(self) -> None:
        if self.schema_version < WITH_OPTIONS and (self.quantized or self.raw):
            raise ValueError("schema_version 1 has neither quantized nor raw")
        object.__setattr__(self, "schema_version", WITH_OPTIONS)

    def to_json(self) -> str:
        """The card as indented JSON; a metric that is no finite number becomes null."""
        return json.dumps(finite(asdict(self)), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def card_path(path: Path) -> Path:
    """The card of the exported file `path`."""
    return path.with_name(f"{path.name}.json")


def load_card(path: Path) -> ModelCard:
    """Read the card beside the exported file `path`; WeightsError if it is missing or not a card."""
    file = card_path(path)
    card = read_json(ModelCard, file)
    if EXPORT_SUFFIXES.get(card.format) != path.suffix:
        raise WeightsError(f"{file} describes a file of format {shown(card.format)}, and {path} is none", REMEDY)
    return card
