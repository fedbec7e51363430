"""Time the models of runs and exported files, and log what comes out to the runs."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cvexp.errors import ConfigError, ModelError, RunError, StoreError
from cvexp.jobs.source import load_trained
from cvexp.results import Metric
from cvexp.runs import BENCH, shortest_selector
from cvexp.text import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from cvexp.inference.latency.machine import Machine
    from cvexp.inference.latency.times import BatchTimes
    from cvexp.jobs.bench_process import Timed
    from cvexp.jobs.source import TrainedModel
    from cvexp.settings import StoreSettings

BATCHES = (1, 256)
MAX_BATCH, MAX_THREADS, MAX_PROCESSES = 2**16, 1024, 100
BENCH_JSON = "bench.json"
MEMORY_FORMATS = ("contiguous", "channels_last")


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchedModel:
    """A model that was timed.

    Attributes:
        name: The run's name, or the file's path.
        run_id: Of the run, or of the one that the file was exported from.
        is_file: Whether it is an exported file.
        memory_format: `contiguous` or `channels_last`; empty where the file's own program decides.
        note: What to know about how it was chosen.
        logged: Whether the run has the figures now.
        trouble: Why it does not, though it should.
    """

    name: str
    run_id: str
    is_file: bool
    memory_format: str
    note: str | None = None
    logged: bool = False
    trouble: str = ""

    @property
    def selector(self) -> str:
        """What to type for it."""
        return self.name if self.is_file else shortest_selector(self.run_id, self.name)


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchResult:
    """Times of models for batches of several sizes.

    Attributes:
        models: In the order they were named, as in each of `batches`.
        batches: The figures, over all processes where there are several.
        processes: The figures of each process; empty where this one measured.
        machine: When the measurement began.
        steal: Share of the machine's CPU time that its host gave to others meanwhile; None where that is not counted.
        measured_at: UTC, ISO 8601.
    """

    models: tuple[BenchedModel, ...]
    device: str
    device_name: str
    threads: int
    batches: tuple[BatchTimes, ...]
    processes: tuple[tuple[BatchTimes, ...], ...]
    machine: Machine
    steal: float | None
    measured_at: str

    @property
    def busy(self) -> bool:
        """Whether the measurement waited for cores that others had."""
        return any(one.busy for one in self.batches)


def run(
    selectors: Sequence[str],
    settings: StoreSettings,
    *,
    data_dir: Path,
    device_name: str = "auto",
    batches: Sequence[int] = BATCHES,
    n_threads: int = 1,
    n_processes: int = 1,
    trusted_factory: str | None = None,
    log: bool = True,
    say: Callable[[str], None] = lambda _: None,
) -> BenchResult:
    """Time the models of runs or exported files together, in turns, on test images of the data they were trained on.

    Args:
        selectors: Runs or files, each as for `load_trained`, and each model once.
        settings: Where runs are.
        data_dir: Where datasets are looked for first.
        device_name: See `cvexp.device.choose`.
        batches: How many images in a call, different sizes.
        n_threads: CPU threads for one operation.
        n_processes: With more than one, each measures in a new process, and intervals are of the means over them.
        trusted_factory: `package.module:factory` of a model that is not in the registry.
        log: Whether runs get their figures; an exported file has no place for them.
        say: Called with a line about what begins.

    Raises:
        InputError: A run, a file, the data or the device cannot be used, or there is no memory for a batch.
    """
    _check(batches, n_threads=n_threads, n_processes=n_processes)
    found = _load(selectors, settings, device_name, trusted_factory)
    from cvexp.inference.latency.machine import read_machine
    from cvexp.inference.latency.times import over_processes
    from cvexp.jobs.bench_process import measure, measure_in_processes

    device = found[0][0].device
    models = _timed(found, data_dir)
    before, measured_at = read_machine(), datetime.now(UTC).isoformat(timespec="seconds")
    processes: list[tuple[BatchTimes, ...]] = []
    if n_processes > 1:
        processes = measure_in_processes(
            models, device.torch, batches, n_threads=n_threads, n_processes=n_processes, say=say
        )
        times = tuple(map(over_processes, zip(*processes, strict=True)))
    else:
        times = measure([one.subject for one in models], device.torch, batches, n_threads=n_threads)
    result = BenchResult(
        models=tuple(_described(one, model) for (one, _), model in zip(found, models, strict=True)),
        device=str(device.torch),
        device_name=device.name,
        threads=n_threads,
        batches=times,
        processes=tuple(processes),
        machine=before,
        steal=before.steal_until(read_machine()),
        measured_at=measured_at,
    )
    return _logged(result, [one for one, _ in found]) if log else result


def _check(batches: Sequence[int], *, n_threads: int, n_processes: int) -> None:
    if not batches or not all(1 <= batch <= MAX_BATCH for batch in batches):
        given = ",".join(map(str, batches))
        raise ConfigError(f"--batch {given}: expected numbers of images from 1 to {MAX_BATCH:,}", "such as --batch 1,256")
    for flag, value, most in (("--threads", n_threads, MAX_THREADS), ("--processes", n_processes, MAX_PROCESSES)):
        if not 1 <= value <= most:
            raise ConfigError(f"{flag} {value}: expected a number from 1 to {most:,}", "see: cvexp bench --help")


def _load(
    selectors: Sequence[str], settings: StoreSettings, device_name: str, trusted_factory: str | None
) -> list[tuple[TrainedModel, str | None]]:
    """The models, each with the factory if it took one; one that is named twice is refused."""
    found: list[tuple[TrainedModel, str | None]] = []
    known: dict[str, str] = {}
    for selector in selectors:
        factory = None
        try:
            trained = load_trained(selector, settings, device_name=device_name)
        except ModelError:
            if trusted_factory is None:
                raise
            factory = trusted_factory
            trained = load_trained(selector, settings, device_name=device_name, trusted_factory=factory)
        key = str(Path(trained.name).resolve()) if trained.run is None else trained.card.run_id
        if key in known:
            both = " and ".join(map(shown, (known[key], selector)))
            raise RunError(f"{both} are the same model, {trained.name}", "name each model once")
        known[key] = selector
        found.append((trained, factory))
    return found


def _timed(found: Sequence[tuple[TrainedModel, str | None]], data_dir: Path) -> list[Timed]:
    """The models in their memory formats, each with test images of its own dataset."""
    from cvexp.inference.latency.times import Subject
    from cvexp.jobs.bench_process import Timed, arranged

    images: dict[tuple[object, ...], Tensor] = {}
    models = []
    for trained, factory in found:
        card, memory_format = trained.card, _memory_format(trained)
        data = (card.spec.dataset, card.split_seed, card.limit)
        if data not in images:
            images[data] = trained.load_dataset(data_dir).test.images
        subject = Subject(predictor=arranged(trained.predictor, memory_format), images=images[data])
        exported = {} if trained.run else {"file": Path(trained.name), "format": card.format}
        models.append(
            Timed(subject=subject, spec=card.spec, memory_format=memory_format, factory=factory, **exported)
        )
    return models


def _memory_format(trained: TrainedModel) -> str:
    """The run's own on such a device; elsewhere, and for a file, what training there would choose."""
    from cvexp.engine.layout import choose_layout
    from cvexp.inference.predictor import TorchPredictor

    if not isinstance(trained.predictor, TorchPredictor):
        return ""
    tags = trained.run.tags if trained.run is not None else {}
    recorded = tags.get("cvexp.memory_format", "")
    if recorded in MEMORY_FORMATS and tags.get("cvexp.device", "").partition(":")[0] == trained.device.torch.type:
        return recorded
    shape = trained.card.spec.image_shape
    return choose_layout(trained.model, shape, batch_size=1, device=trained.device, n_threads=1).memory_format


def _described(trained: TrainedModel, model: Timed) -> BenchedModel:
    return BenchedModel(
        name=trained.name,
        run_id=trained.card.run_id,
        is_file=trained.run is None,
        memory_format=model.memory_format,
        note=trained.note,
    )


def _logged(result: BenchResult, trained: Sequence[TrainedModel]) -> BenchResult:
    """Add each run's figures to it, and say which have them."""
    models = []
    for index, (model, one) in enumerate(zip(result.models, trained, strict=True)):
        if one.run is None:
            models.append(model)
            continue
        try:
            _log(result, index, one)
            models.append(replace(model, logged=True))
        except StoreError as error:
            models.append(replace(model, trouble=error.what))
    return replace(result, models=tuple(models))


def _log(result: BenchResult, index: int, trained: TrainedModel) -> None:
    from cvexp.tracking.artifacts import add_file
    from cvexp.tracking.figures import add_figures

    run, store = trained.run, trained.store
    if run is None or store is None or not run.experiment_id:
        raise StoreError("the run itself still waits to be delivered to the tracking store")
    conditions = {
        "device": result.device,
        "device_name": result.device_name,
        "threads": result.threads,
        "batch": [one.batch for one in result.batches],
        "busy": result.busy,
        "measured_at": result.measured_at,
    }
    with tempfile.TemporaryDirectory(prefix="cvexp-") as scratch:
        file = Path(scratch) / BENCH_JSON
        file.write_text(json.dumps(asdict(result), indent=1))
        add_file(store, run, file, name=BENCH_JSON)
    add_figures(store, run, metrics_of(result, index), tags={BENCH: json.dumps(conditions)})


def metrics_of(result: BenchResult, index: int) -> dict[str, float]:
    """The figures of one model under their metric keys: latency for one image, throughput of the largest batch."""
    smallest = min(result.batches, key=lambda one: one.batch)
    largest = max(result.batches, key=lambda one: one.batch)
    figures = {Metric.BENCH_IMAGES_PER_SECOND.value: largest.models[index].images_per_second}
    if smallest.batch == 1:
        alone = smallest.models[index]
        figures[Metric.LATENCY_MS.value] = alone.p50.value
        figures[Metric.LATENCY_P90_MS.value] = alone.p90.value
        figures[Metric.FIRST_CALL_MS.value] = alone.first_call_ms
    return figures
