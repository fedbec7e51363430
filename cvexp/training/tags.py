"""What a run is tagged with: what it was made of and where, what makes it comparable, what is asked of it now."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from cvexp.comparability import DECIDES_IMAGES, RECOMPUTED, TEST_SET, Conditions, images_key, test_set, train_split
from cvexp.config.recipe import recipe
from cvexp.config.seeds import as_list
from cvexp.process import launch_id
from cvexp.runs import ASKED_EPOCHS, EFFECTIVE, LAUNCH, RECIPE, SEEDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cvexp.config import RunConfig
    from cvexp.training.session import Prepared


def known_tags(prepared: Prepared, command: Sequence[str] | None, *, seeds: Sequence[int] = ()) -> dict[str, str]:
    """What is known of a run before its first step; `seeds` are those of the repeats that it is one of."""
    from cvexp.tracking.context import context_tags

    layout, device, steps = prepared.layout, prepared.device, prepared.steps
    config, dataset = prepared.config, prepared.dataset
    limit = config.limit if len(dataset.test) == config.limit else None
    tested = test_set(dataset.digest, limit=limit, split_seed=config.split_seed)
    params = config.params()
    return {
        **context_tags(sys.argv if command is None else command),
        "cvexp.device": str(device.torch),
        "cvexp.device_name": device.name,
        "cvexp.threads": str(layout.threads),
        "cvexp.fewer_threads": layout.fewer,
        "cvexp.memory_format": layout.memory_format,
        "cvexp.step_runner": steps.description,
        TEST_SET: tested,
        images_key(tested, params): ", ".join(f"{name} {params[name]}" for name in ("dataset", *DECIDES_IMAGES)),
        **({} if prepared.weights is None else prepared.weights.tags()),
        **({"cvexp.model_changes": "; ".join(prepared.notes)} if prepared.notes else {}),
        **({"cvexp.features": str(prepared.cached)} if prepared.cached is not None else {}),
        **({LAUNCH: launch_id()} if prepared.ranks.world > 1 else {}),
        **({SEEDS: as_list(seeds)} if seeds else {}),
        **dataset.tags,
        **_identity_tags(prepared, config),
    }


def config_tags(prepared: Prepared, *, asked: RunConfig | None = None) -> dict[str, str]:
    """What changes with a configuration that is not the one the run began with; see runs.EFFECTIVE.

    `asked` is the configuration that the run is a repeat of, where `prepared` has the one it came to.
    """
    params, asked = prepared.config.params(), asked or prepared.config
    effective = {tag: params[name] for name, tag in EFFECTIVE.items()}
    return {**effective, ASKED_EPOCHS: str(asked.epochs), **_identity_tags(prepared, asked)}


def _identity_tags(prepared: Prepared, asked: RunConfig) -> dict[str, str]:
    import torch

    from cvexp.device import PRECISIONS

    config, dataset = prepared.config, prepared.dataset
    split = train_split(
        val_split=f"{config.val_split:g}",
        limit=str(config.limit),
        split_seed=str(config.split_seed),
        train_images=len(dataset.train),
    )
    conditions = Conditions(
        device=prepared.device.name,
        torch=torch.__version__,
        precision=str(PRECISIONS[config.precision]).removeprefix("torch."),
        threads=prepared.layout.policy,
        batch_size=config.batch_size,
        epochs=config.epochs,
        dataset=dataset.pixels,
        train_images=len(dataset.train),
        split=split,
        step_runner=prepared.steps.runner.name,
        augment=config.augment,
        features=RECOMPUTED if prepared.cached is None else prepared.cached.condition,
        devices=prepared.ranks.world,
    )
    return {
        "cvexp.comparability_key": conditions.key,
        "cvexp.conditions": conditions.to_json(),
        RECIPE: recipe(asked.params(), prepared.argument_defaults),
    }
