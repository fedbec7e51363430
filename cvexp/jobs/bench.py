"""Time the models of runs and exported files, and log what comes out to the runs."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cvexp.errors import ConfigError, StoreError
from cvexp.jobs.bench_models import load, timed
from cvexp.results import Metric
from cvexp.runs import BENCH, shortest_selector

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cvexp.device import Device
    from cvexp.inference.latency.times import BatchTimes
    from cvexp.jobs.bench_models import Timed
    from cvexp.jobs.source import TrainedModel
    from cvexp.machine import MachineState
    from cvexp.settings import StoreSettings

BATCHES = (1, 256)
MAX_BATCH, MAX_THREADS, MAX_PROCESSES = 2**16, 1024, 100
BENCH_JSON = "bench.json"


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
        machine: Load and pressure when the measurement began.
        others: CPUs that other programs used meanwhile, on average; None where that is not counted.
        steal: Share of the machine's CPU time that its host gave to others meanwhile; None where that is not counted.
        measured_at: UTC, ISO 8601.
    """

    models: tuple[BenchedModel, ...]
    device: str
    device_name: str
    threads: int
    batches: tuple[BatchTimes, ...]
    processes: tuple[tuple[BatchTimes, ...], ...]
    machine: MachineState
    others: float | None
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
    found = load(selectors, settings, device_name, trusted_factory)
    models = timed(found, data_dir)
    described = tuple(_described(one, model) for (one, _), model in zip(found, models, strict=True))
    again = "" if n_processes == 1 else f" in each of {n_processes} processes"
    say(f"timing {', '.join(one.name for one in described)}, for about 10 s{again}")
    result = _measured(
        models, described, found[0][0].device, batches, n_threads=n_threads, n_processes=n_processes, say=say
    )
    return _logged(result, [one for one, _ in found]) if log else result


def _measured(
    models: Sequence[Timed],
    described: tuple[BenchedModel, ...],
    device: Device,
    batches: Sequence[int],
    *,
    n_threads: int,
    n_processes: int,
    say: Callable[[str], None],
) -> BenchResult:
    """Time the models, and note what else the machine did meanwhile."""
    from cvexp.inference.latency.steal import read_ticks, steal_share
    from cvexp.inference.latency.times import over_processes
    from cvexp.jobs.bench_process import measure, measure_in_processes
    from cvexp.machine import occupancy_since, read_machine_state, read_machine_times

    measured_at = datetime.now(UTC).isoformat(timespec="seconds")
    state, cpus, ticks = read_machine_state(), read_machine_times(), read_ticks()
    processes: list[tuple[BatchTimes, ...]] = []
    if n_processes > 1:
        processes = measure_in_processes(
            models, device.torch, batches, n_threads=n_threads, n_processes=n_processes, say=say
        )
        times = tuple(map(over_processes, zip(*processes, strict=True)))
    else:
        times = measure([one.subject for one in models], device.torch, batches, n_threads=n_threads)
    others = occupancy_since(cpus)
    return BenchResult(
        models=described,
        device=str(device.torch),
        device_name=device.name,
        threads=n_threads,
        batches=times,
        processes=tuple(processes),
        machine=state,
        others=None if others is None else others.taken,
        steal=steal_share(ticks, read_ticks()),
        measured_at=measured_at,
    )


def _check(batches: Sequence[int], *, n_threads: int, n_processes: int) -> None:
    if not batches or not all(1 <= batch <= MAX_BATCH for batch in batches):
        given = ",".join(map(str, batches))
        raise ConfigError(
            f"--batch {given}: expected numbers of images from 1 to {MAX_BATCH:,}", "such as --batch 1,256"
        )
    for flag, value, most in (("--threads", n_threads, MAX_THREADS), ("--processes", n_processes, MAX_PROCESSES)):
        if not 1 <= value <= most:
            raise ConfigError(f"{flag} {value}: expected a number from 1 to {most:,}", "see: cvexp bench --help")


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
