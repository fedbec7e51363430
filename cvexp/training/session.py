"""The only wiring of a run: from a configuration to data, model, step runner and training loop, new or resumed."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from cvexp.data.named import check_known
from cvexp.engine.distributed.alone import ALONE
from cvexp.errors import RunError, WeightsError
from cvexp.machine import occupancy_since, read_machine_state, read_machine_times
from cvexp.models.registry import complete_arguments, find_entry
from cvexp.training import initial_weights
from cvexp.training.out_of_memory import memory_explained

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from torch import nn

    from cvexp.config import ModelArg, RunConfig
    from cvexp.data.dataset import Dataset
    from cvexp.device import Device
    from cvexp.engine.backends.choice import Choice
    from cvexp.engine.distributed.alone import Alone
    from cvexp.engine.fit import Fit, Progress
    from cvexp.engine.layout import Layout
    from cvexp.machine import MachineState
    from cvexp.models.registry import ModelEntry
    from cvexp.models.spec import ModelSpec
    from cvexp.training.checkpoints import Checkpoint
    from cvexp.training.features import CachedFeatures, LastFeatures
    from cvexp.training.initial_weights import InitialWeights
    from cvexp.training.request import Request

ONE_AT_A_TIME = threading.RLock()
"""Held during a training: generators and thread counts belong to the process. Reentrant: an observer may train too."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """Everything a training needs, checked and on its device.

    Attributes:
        argument_defaults: Defaults of the model's own arguments.
        servable: Whether the model's code is cvexp's own, so that a logged model can carry it; others are ONNX.
        machine: How busy the machine was when preparing began.
        weights: The initial weights, where some were asked for.
        cached: What the head alone is trained on, where that was asked for.
        notes: What was done to the model before it is trained, a line each.
        ranks: The processes that train together.
    """

    config: RunConfig
    dataset: Dataset
    device: Device
    layout: Layout
    model: nn.Module
    steps: Choice
    argument_defaults: Mapping[str, ModelArg]
    servable: bool
    machine: MachineState
    weights: InitialWeights | None = None
    cached: CachedFeatures | None = None
    notes: tuple[str, ...] = ()
    ranks: Alone = ALONE

    def fit(self, callback: Callable[[Progress], None] | None = None) -> Fit:
        """The training loop before its first step; `callback` is called between steps and evaluation batches."""
        from cvexp.engine.fit import Fit

        cached = self.cached
        return Fit(
            self.model if cached is None else cached.head,
            self.dataset if cached is None else cached.dataset,
            config=self.config,
            device=self.device,
            runner=self.steps.runner,
            evaluation_threads=self.layout.evaluation_threads,
            callback=callback,
            seconds_before=0.0 if cached is None else cached.own_seconds,
            ranks=self.ranks,
        )

    def save_weights(self, folder: Path) -> ModelSpec:
        """Write the weights and their specification to `folder`, which exists; see export.run_folder."""
        from cvexp.export.run_folder import save_weights

        return save_weights(self.model, folder, config=self.config, dataset=self.dataset)


def complete(
    config: RunConfig, *, allow_path: bool, data_dir: Path | None = None
) -> tuple[RunConfig, ModelEntry, Mapping[str, ModelArg]]:
    """`config` with every argument of its model's own, the model, and those arguments' defaults.

    Initial weights get their digest, and a stem that they fit: as it was published.

    Raises:
        InputError: The dataset, the model, the weights or an argument is unknown, or the model is code and `allow_path`
            is False.
    """
    check_known(config.dataset, data_dir)
    entry = find_entry(config.model, allow_path=allow_path)  # before torch is imported, which takes seconds
    config = initial_weights.with_digest(config)
    factory = entry.load()
    defaults = complete_arguments(config.model, factory, {})
    fitted = {"stem": "full"} if config.weights is not None and entry.family and "stem" in defaults else {}
    model_args = complete_arguments(config.model, factory, {**fitted, **config.model_args})
    return replace(config, model_args=model_args), entry, defaults


def prepare(
    config: RunConfig,
    data_dir: Path,
    *,
    dataset: Dataset | None = None,
    features: LastFeatures | None = None,
    evaluation_threads: int | None = None,
    n_slots: int = 1,
    ranks: Alone = ALONE,
) -> Prepared:
    """Load the data, or take `dataset`, build the model, and choose the step runner; nothing is written.

    `features` has those of an earlier run; `evaluation_threads` are a resumed run's, and by default the model's. With
    several `n_slots`, so many runs train on this machine at once: which of its CPUs are free now says nothing then.
    All of `ranks` call this together.

    Raises:
        InputError: The model, dataset or device cannot be used as asked.
        TrainingError: There is no memory for a step.
    """
    machine, times = read_machine_state(), read_machine_times()  # first: importing torch takes seconds
    config, entry, defaults = complete(config, allow_path=True, data_dir=data_dir)
    from cvexp.device import check_precision, choose, seed_everything, threads
    from cvexp.engine.assembly import choose_step
    from cvexp.engine.layout import apply_layout, choose_layout
    from cvexp.training.features import LastFeatures
    from cvexp.training.initial_model import initial_data, initial_model
    from cvexp.training.memory import reset_peaks

    device = ranks.device or choose(config.device)
    check_precision(device, config.precision)
    reset_peaks(device)
    with ranks.in_turn():
        weights = initial_weights.read(config, entry)
        dataset = initial_data(config, data_dir, dataset, weights)
        seed_everything(config.seed)
        model, notes = initial_model(config, entry, dataset, weights)
    ranks.check_same("training images", dataset.digest)
    laid_out = partial(
        choose_layout,
        batch_size=config.batch_size,
        device=device,
        n_threads=config.threads,
        channels_last=config.channels_last,
        others=occupancy_since(times)
        if config.threads is None and n_slots == 1 and _may_take_all(device, ranks)
        else None,
    )
    layout = laid_out(model, dataset.image_shape)
    at_once = f", {n_slots} runs at once" if n_slots > 1 else ""
    evaluation_threads = evaluation_threads or layout.evaluation_threads
    layout = replace(layout, evaluation_threads=evaluation_threads, policy=layout.policy + at_once)
    with threads(layout.threads), memory_explained():
        model = apply_layout(model.to(device.torch), layout)
        dataset = dataset.to(device.torch)
        cached = (features or LastFeatures())(model, dataset, config, device, n_threads=layout.evaluation_threads)
    trained, data = (model, dataset) if cached is None else (cached.head, cached.dataset)
    if cached is not None:
        layout = replace(layout, threads=laid_out(trained, data.image_shape).threads)
    with threads(layout.threads), memory_explained():
        steps = choose_step(trained, data, config, ranks)
    return Prepared(
        config=config,
        dataset=dataset,
        device=replace(device, threads=layout.threads),
        layout=layout,
        model=model,
        steps=steps,
        argument_defaults=defaults,
        servable=entry.is_builtin,
        machine=machine,
        weights=weights,
        cached=cached,
        notes=(*notes, *ranks.notes(draws=getattr(steps.runner, "draws", False))),
        ranks=ranks,
    )


def _may_take_all(device: Device, ranks: Alone) -> bool:
    return device.torch.type == "cpu" and device.threads > 1 and ranks.world == 1


def prepare_resumed(
    request: Request,
    config: RunConfig,
    data_dir: Path,
    *,
    checkpoint: Checkpoint | None,
    name: str,
    dataset: Dataset | None = None,
    features: LastFeatures | None = None,
    ranks: Alone = ALONE,
) -> Prepared:
    """As `prepare`, for a run called `name` that is resumed: with its threads and data, and with what is asked now.

    Raises:
        RunError: The data are others than the run's.
        WeightsError: The checkpoint does not fit.
    """
    asked, n = replace(config, threads=request.threads), request.evaluation_threads
    prepared = prepare(asked, data_dir, dataset=dataset, features=features, evaluation_threads=n, ranks=ranks)
    if prepared.cached is not None and checkpoint is not None:  # its times are those of its first epoch
        prepared = replace(prepared, cached=replace(prepared.cached, is_shared=request.features_shared))
    layout = replace(prepared.layout, policy=request.policy)
    prepared = replace(prepared, config=replace(prepared.config, threads=config.threads), layout=layout)
    if prepared.dataset.digest != request.dataset_digest:
        raise RunError(
            f"run {name} was trained on other data than {prepared.dataset.place} holds",
            "name the folder it was trained on with --data-dir",
        )
    if checkpoint is not None:  # before the run is opened, which a checkpoint that does not fit should not do
        try:
            prepared.fit().load_state(checkpoint.fit)
        except WeightsError as error:
            raise WeightsError(f"{error.what}: {checkpoint.file}", *error.hints) from error
    return prepared
