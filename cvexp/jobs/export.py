"""Export a trained model as files, and prove each of them against the model on the whole test split."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cvexp.errors import StoreError
from cvexp.jobs.export_plan import Wanted, plan, put_in_place, write_files
from cvexp.jobs.exported import ExportedFile, ExportResult
from cvexp.jobs.source import load_trained
from cvexp.jobs.staging import staging_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from torch import Tensor

    from cvexp.data.dataset import Dataset
    from cvexp.inference.latency.times import BatchTimes
    from cvexp.jobs.export_plan import Planned
    from cvexp.jobs.export_proof import Cost, Proven
    from cvexp.jobs.source import TrainedModel
    from cvexp.settings import StoreSettings

CALIBRATION_IMAGES, CALIBRATION_SEED = 500, 42
"""The most training images that int8 ranges are measured on, and the seed that draws them."""


def run(
    selector: str,
    settings: StoreSettings,
    *,
    data_dir: Path,
    wanted: Wanted | None = None,
    trusted_factory: str | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> ExportResult:
    """Write a model as files, read each back by its own runtime, and compare it with the model on all test images.

    Files come to their place only after that; one that did not pass is named `*.failed`. Without `wanted.out` they are
    `models/<run name>` with the format's suffix, and with the first digits of the run's id where that file is another
    run's. Callers that ship a file call `ExportResult.check` first.

    Args:
        selector: A run or a file, as for `load_trained`.
        settings: Where runs are.
        data_dir: Where datasets are looked for first.
        wanted: What to write, and what to ask of it.
        trusted_factory: `package.module:factory` of a model that is not in the registry.
        say: Called with a line about what begins.

    Raises:
        InputError: The run, its weights, a format or a path cannot be used.
        GateError: A file cannot be read back.
    """
    wanted = (wanted or Wanted()).checked()
    trained = load_trained(selector, settings, trusted_factory=trusted_factory)
    _ = trained.model  # refuses an exported program
    planned, note = plan(trained, wanted)
    dataset, calibration = _data(trained, data_dir, quantize=wanted.quantize)
    with staging_folder(planned[0].path.parent) as folder:
        written, left_out = write_files(trained, planned, folder, calibration=calibration, skip=not wanted.formats)
        result = _proven(trained, written, folder, dataset, wanted=wanted, trusted_factory=trusted_factory, say=say)
    result = replace(
        result,
        left_out=tuple(left_out),
        n_calibration=0 if calibration is None else len(calibration),
        note="; ".join(filter(None, [trained.note, note])) or None,
    )
    return _logged(result, trained) if wanted.log else result


def _data(trained: TrainedModel, data_dir: Path, *, quantize: bool) -> tuple[Dataset, Tensor | None]:
    """The run's dataset, and images that it was trained on, uint8 (N, C, H, W), where ranges are to be measured."""
    import numpy as np
    import torch

    from cvexp.jobs.add_records import val_split

    if not quantize:
        return trained.load_dataset(data_dir), None
    dataset = trained.load_dataset(data_dir, val_split=val_split(trained))
    order = np.random.default_rng(CALIBRATION_SEED).permutation(len(dataset.train))
    return dataset, dataset.train.images[torch.from_numpy(np.sort(order[:CALIBRATION_IMAGES]))]


def _proven(
    trained: TrainedModel,
    written: Sequence[Planned],
    folder: Path,
    dataset: Dataset,
    *,
    wanted: Wanted,
    trusted_factory: str | None,
    say: Callable[[str], None],
) -> ExportResult:
    """Prove the files in `folder`, time those that pass, and put them in their place."""
    from cvexp.jobs.export_proof import N_THREADS, measure_costs, prove

    test, device = dataset.test, trained.device
    proven, accuracy = prove(
        trained, written, folder, test, tolerance=wanted.tolerance, trusted_factory=trusted_factory
    )
    sound = [one for one in proven if not one.reason]
    measured_at = datetime.now(UTC).isoformat(timespec="seconds")
    times: BatchTimes | None = None
    costs: dict[str, Cost] = {}
    if sound and (wanted.bench or (wanted.bench is None and not all(one.holds_weights_only for one in sound))):
        say(f"timing the model and {', '.join(one.planned.kind for one in sound)}, for about 10 s")
        times, costs = measure_costs(trained, sound, test.images, trusted_factory=trusted_factory)
    files = []
    for one in proven:
        too_slow = "" if wanted.keep_slower else _too_slow(one, sound, times)
        path = None if too_slow else put_in_place(one, device.name)
        files.append(_described(one, path, too_slow=too_slow, cost=costs.get(one.planned.kind)))
    return ExportResult(
        run_id=trained.card.run_id,
        name=trained.name,
        dataset=dataset.name,
        accuracy=accuracy,
        n_images=len(test),
        files=tuple(files),
        left_out=(),
        device=str(device.torch),
        device_name=device.name,
        threads=N_THREADS,
        measured_at=measured_at,
        own_latency=None if times is None else times.models[0],
        busy=times is not None and times.busy,
    )


def _too_slow(proven: Proven, sound: Sequence[Proven], times: BatchTimes | None) -> str:
    """Why an int8 file is not worth its loss of accuracy, in words; empty for one that is, and for any other file."""
    format_name, variant = proven.planned.format, proven.planned.variant
    if variant != "int8" or proven not in sound or times is None:
        return ""
    index = {(one.planned.format, one.planned.variant): n for n, one in enumerate(sound, start=1)}
    if (format_name, "") not in index:
        return "the fp32 file, which it would have to be faster than, did not pass"
    if times.busy:
        return "the machine was too busy to tell whether it is faster than fp32"
    ratio = times.ratio(index[format_name, variant], index[format_name, ""]).times
    if ratio.high is not None and ratio.high < 1:
        return ""
    spread = "" if ratio.low is None or ratio.high is None else f" ({ratio.low:.2f} to {ratio.high:.2f})"
    return f"it takes {ratio.value:.2f}{spread} times as long as fp32"


def _described(proven: Proven, path: Path | None, *, too_slow: str, cost: Cost | None) -> ExportedFile:
    """A file that lies at `path` now, or was not kept."""
    from cvexp.export.card import card_path

    parity, planned, passed = proven.parity, proven.planned, not proven.reason
    return ExportedFile(
        format=planned.format,
        kind=planned.kind,
        path=path,
        card=None if path is None else card_path(path),
        n_bytes=proven.n_bytes,
        sha256=proven.sha256,
        identical=parity.identical,
        max_logit_difference=parity.max_logit_difference,
        top1_agreement=parity.top1_agreement,
        n_ties=parity.n_ties,
        accuracy=parity.accuracy,
        accuracy_difference=parity.accuracy_difference,
        accuracy_interval=parity.accuracy_interval,
        passed=passed,
        kept=passed and not too_slow,
        reason=proven.reason or too_slow,
        latency=None if cost is None else cost.latency,
        load_ms=None if cost is None else cost.load_ms,
        peak_bytes=None if cost is None else cost.peak_bytes,
    )


def _logged(result: ExportResult, trained: TrainedModel) -> ExportResult:
    """Log the figures to the run, unless it is a file, or they say no more than that its weights are its weights."""
    from cvexp.jobs.export_figures import log

    kept = [one for one in result.files if one.kept]
    if trained.run is None or not any(one.latency is not None or not one.identical for one in kept):
        return result
    try:
        log(result, trained)
    except StoreError as error:
        return replace(result, trouble=error.what)
    return replace(result, logged=True)
