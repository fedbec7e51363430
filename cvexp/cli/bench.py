"""`cvexp bench`, and the bench at the end of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cvexp.cli import options
from cvexp.cli.output import Report, present
from cvexp.config.model import names_code
from cvexp.errors import ConfigError, CvexpError
from cvexp.settings import data_dir as resolve_data_dir
from cvexp.settings import store_settings
from cvexp.text import shown

if TYPE_CHECKING:
    from cvexp.config import RunConfig
    from cvexp.jobs.bench import BenchResult
    from cvexp.settings import StoreSettings

_RUNS = "Runs, each as for evaluate, or exported files; several are timed in turns, and compared."
_BATCH = "Images in a call, one or several numbers: 1 for latency, many for throughput."
_THREADS = "CPU threads for one operation."
_PROCESSES = "Measure in so many new processes, one after the other: intervals are then over processes."
_LOG = "Log the figures to the runs: bench/latency_ms and others, and bench.json with all of them."


def bench(
    runs: Annotated[list[str], typer.Argument(help=_RUNS, show_default=False, metavar="RUN|FILE...")],
    *,
    batch: Annotated[str, typer.Option(metavar="N,N", help=_BATCH)] = "1,256",
    threads: Annotated[int, typer.Option(help=_THREADS)] = 1,
    processes: Annotated[int, typer.Option(help=_PROCESSES)] = 1,
    log: Annotated[bool, typer.Option("--log/--no-log", help=_LOG)] = True,
    device: options.Device = "auto",
    model: options.TrustedModel = None,
    data_dir: options.DataDir = None,
    tracking_uri: options.TrackingUri = None,
    experiment: options.Experiment = None,
    as_json: options.Json = False,
) -> None:
    """Measure the latency and throughput of trained models.

    All models are timed in one process, in turns, on test images in memory, for about 10 seconds. Rounds in which
    a core was taken by other programs do not count; where too few are left, models are not ranked.
    """
    from cvexp.jobs.bench import run as job
    from cvexp.report import bench as report
    from cvexp.report.terminal import hint

    result = job(
        runs,
        store_settings(tracking_uri, experiment, data_dir),
        data_dir=resolve_data_dir(data_dir),
        device_name=device,
        batches=batch_sizes(batch),
        n_threads=threads,
        n_processes=processes,
        trusted_factory=model,
        log=log,
        say=hint,
    )
    present(result, report, as_json=as_json)
    check_logged(result)


class WithBench:
    """The report of a training and of the bench that followed it as one."""

    def __init__(self, training: Report[Any], benched: BenchResult) -> None:
        self._training, self._benched = training, benched

    def show(self, result: Any) -> None:
        """Print both."""
        from cvexp.report.bench import show

        self._training.show(result)
        show(self._benched)

    def document(self, result: Any) -> Mapping[str, Any]:
        """The training's object, with the bench's under `bench`."""
        from cvexp.report.bench import document

        return {**self._training.document(result), "bench": document(self._benched)}


def bench_trained(run_ids: Sequence[str], config: RunConfig, store: StoreSettings, *, data_dir: Path) -> BenchResult:
    """Time runs of one configuration that have just been trained, as `cvexp bench` does, and log the figures."""
    from cvexp.jobs.bench import run as job
    from cvexp.report.terminal import hint

    factory = config.model if names_code(config.model) else None  # whoever trained it has typed it
    return job(run_ids, store, data_dir=data_dir, device_name=config.device, trusted_factory=factory, say=hint)


def check_logged(result: BenchResult) -> None:
    """Raise CvexpError where the figures of a run could not be logged."""
    for one in result.models:
        if one.trouble:
            raise CvexpError(
                f"the figures are not logged to run {one.name}: {one.trouble}",
                "measure again later, or leave the run alone: --no-log",
            )


def batch_sizes(text: str) -> list[int]:
    """Different numbers from text such as `1,256`; which are allowed is for the job to say."""
    words = [word.strip() for word in text.split(",")]
    if not all(word.isascii() and word.isdigit() and len(word) < len("100000000") for word in words):
        raise ConfigError(f"--batch {shown(text)[1:-1]}: expected numbers of images", "such as --batch 1,256")
    return list(dict.fromkeys(map(int, words)))
