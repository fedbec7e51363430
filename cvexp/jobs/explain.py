"""Say which settings a training would have, and where each comes from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cvexp.data.registry import find_spec
from cvexp.models.registry import complete_arguments, find_entry

if TYPE_CHECKING:
    from cvexp.config.sources import Settings, Sourced


def run(settings: Settings) -> dict[str, Sourced]:
    """Every setting in effect, defaults of the model's own arguments among them; nothing is trained.

    Raises:
        InputError: A setting cannot be used; the model or the dataset is unknown.
    """
    config = settings.config()
    find_spec(config.dataset)
    factory = find_entry(config.model, allow_path=True).load()
    model_args = complete_arguments(config.model, factory, config.model_args)
    return settings.explained(replace(config, model_args=model_args))
