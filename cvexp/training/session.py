"""From a configuration to everything that training takes, in place and checked: the only wiring of a run."""

from __future__ import annotations

import contextlib
import sys
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cvexp.config.recipe import recipe
from cvexp.data.registry import find_spec
from cvexp.errors import TrainingError
from cvexp.models.registry import complete_arguments, find_entry
from cvexp.results import RECIPE, TEST_SET, Conditions, test_set, train_split

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from torch import nn

    from cvexp.config import ModelArg, RunConfig
    from cvexp.data.dataset import Dataset
    from cvexp.device import Device
    from cvexp.engine.placement import Placement
    from cvexp.engine.runners import Choice

ONE_AT_A_TIME = threading.RLock()
"""Held from the first draw of a training to its end: random generators and the count of threads are the process's own.

A training in another thread waits for its turn; one that an observer starts, in the same thread, does not.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """All that training takes, checked and in place.

    Attributes:
        argument_defaults: Defaults of the model's own arguments.
        servable: Whether the model's code is cvexp's own, so that a logged model can carry it.
    """

    config: RunConfig
    dataset: Dataset
    device: Device
    placed: Placement
    model: nn.Module
    steps: Choice
    argument_defaults: Mapping[str, ModelArg]
    servable: bool


def prepare(config: RunConfig, data_dir: Path) -> Prepared:
    """Find the data, build the model, choose how steps are run; nothing is written.

    Raises:
        InputError: The model, dataset or device cannot be used as asked.
        TrainingError: There is no memory for a step.
    """
    spec = find_spec(config.dataset)
    entry = find_entry(config.model, allow_path=True)
    # torch takes seconds to import, and a mistyped name should not have to wait for it.
    from cvexp.data.dataset import load
    from cvexp.device import choose, seed_everything, threads
    from cvexp.engine.placement import laid_out, place
    from cvexp.engine.runners import choose_runner
    from cvexp.models.registry import build
    from cvexp.models.summary import check_output

    defaults = complete_arguments(config.model, entry.load(), {})
    config = replace(config, model_args=complete_arguments(config.model, entry.load(), config.model_args))
    device = choose(config.device)
    dataset = load(spec, data_dir, val_split=config.val_split, split_seed=config.split_seed, limit=config.limit)
    seed_everything(config.seed)
    model = build(
        entry,
        image_shape=dataset.image_shape,
        n_classes=dataset.n_classes,
        hidden_units=config.hidden_units,
        model_args=config.model_args,
    )
    check_output(model, name=config.model, image_shape=dataset.image_shape, n_classes=dataset.n_classes)
    placed = place(model, dataset.image_shape, batch_size=config.batch_size, device=device, n_threads=config.threads)
    with threads(placed.threads), memory_explained():
        model = laid_out(model.to(device.torch), placed)
        dataset = dataset.to(device.torch)
        steps = choose_runner(model, dataset.train, config)
    return Prepared(
        config=config,
        dataset=dataset,
        device=replace(device, threads=placed.threads),
        placed=placed,
        model=model,
        steps=steps,
        argument_defaults=defaults,
        servable=entry.is_builtin,
    )


def known_tags(prepared: Prepared, command: Sequence[str] | None, *, policy: str | None = None) -> dict[str, str]:
    """What is known of a run before its first step."""
    from cvexp.tracking.context import context_tags
    from cvexp.tracking.liveness import process_tags

    placed, device, steps = prepared.placed, prepared.device, prepared.steps
    conditions = _conditions(prepared, policy or placed.policy)
    return {
        **context_tags(sys.argv if command is None else command),
        **process_tags(),
        "cvexp.device": str(device.torch),
        "cvexp.device_name": device.name,
        "cvexp.threads": str(placed.threads),
        "cvexp.memory_format": placed.memory_format,
        "cvexp.step_runner": steps.description,
        "cvexp.comparability_key": conditions.key,
        "cvexp.conditions": conditions.to_json(),
        RECIPE: recipe(prepared.config.params(), prepared.argument_defaults),
        TEST_SET: _test_set(prepared),
    }


def _test_set(prepared: Prepared) -> str:
    config, dataset = prepared.config, prepared.dataset
    limit = config.limit if len(dataset.test) == config.limit else None
    return test_set(dataset.digest, limit=limit, split_seed=config.split_seed)


def _conditions(prepared: Prepared, policy: str) -> Conditions:
    import torch

    from cvexp.device import PRECISION

    config, dataset = prepared.config, prepared.dataset
    split = train_split(
        val_split=f"{config.val_split:g}",
        limit=str(config.limit),
        split_seed=str(config.split_seed),
        train_images=len(dataset.train),
    )
    return Conditions(
        device=prepared.device.name,
        torch=torch.__version__,
        precision=PRECISION,
        threads=policy,
        batch_size=config.batch_size,
        epochs=config.epochs,
        dataset=dataset.digest,
        train_images=len(dataset.train),
        split=split,
        step_runner=prepared.steps.runner.name,
    )


@contextlib.contextmanager
def memory_explained() -> Iterator[None]:
    """Turn what the memory's end raises, on a GPU or here, into one line with a way out."""
    import torch

    try:
        yield
    except (MemoryError, RuntimeError) as error:
        text = str(error).lower()
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "allocate memory" not in text:
            raise
        raise TrainingError("out of memory while training", "try a smaller --batch-size or --hidden-units") from error
