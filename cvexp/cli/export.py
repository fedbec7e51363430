"""`cvexp export`."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cvexp.cli import options
from cvexp.cli.output import present
from cvexp.errors import ConfigError, CvexpError
from cvexp.runs import EXPORT_SUFFIXES
from cvexp.settings import data_dir as resolve_data_dir
from cvexp.settings import store_settings, typed_flags

if TYPE_CHECKING:
    from cvexp.jobs.exported import ExportedFile, ExportResult

DEFAULT_FORMAT = "state-dict"
INT8 = "int8"
_FORMAT = f"{', '.join(EXPORT_SUFFIXES)}; several with commas, or repeated. Without it, {DEFAULT_FORMAT}."
_ALL = "Every format that can be written and run here; the others are listed with the reason."
_OUT = "The file to write, or the folder of several. Without it: models/ and the run's name, with its id where taken."
_RAW = "Write the network alone: float images in, already transformed. Otherwise it takes uint8 images."
_QUANTIZE = (
    "int8: also write one, its ranges measured on 500 training images, and keep it where it is faster than fp32."
)
_KEEP = "Keep an int8 file also where it is not faster."
_TOLERANCE = (
    "Percentage points: of test images that may get another class than from the run (without it: none, and equal "
    "logits up to rounding); of an int8 file, of test accuracy that it may lose (without it: 0.5)."
)
_BENCH = "Time each file in turns with the run's own model, about 10 s. Without it, if any file is more than weights."
_LOG = "Log the figures to the run: export/FORMAT/latency_ms, export/FORMAT/accuracy and others."


def export(
    run: options.RunOrFile,
    *,
    output: Annotated[list[str] | None, typer.Option("--format", help=_FORMAT, show_default=False)] = None,
    every: Annotated[bool, typer.Option("--all", help=_ALL)] = False,
    out: Annotated[Path | None, typer.Option(help=_OUT)] = None,
    raw: Annotated[bool, typer.Option("--raw", help=_RAW)] = False,
    quantize: Annotated[str | None, typer.Option(metavar=INT8, help=_QUANTIZE)] = None,
    keep_slower: Annotated[bool, typer.Option("--keep-slower", help=_KEEP)] = False,
    tolerance: Annotated[float | None, typer.Option(help=_TOLERANCE)] = None,
    bench: Annotated[bool | None, typer.Option("--bench/--no-bench", help=_BENCH, show_default=False)] = None,
    log: Annotated[bool, typer.Option("--log/--no-log", help=_LOG)] = True,
    model: options.TrustedModel = None,
    data_dir: options.DataDir = None,
    tracking_uri: options.TrackingUri = None,
    experiment: options.Experiment = None,
    as_json: options.Json = False,
) -> None:
    """Write a run's model as files, each with a card that says how to use it, and prove them.

    MODEL_CARD.md beside them says what people have to know: data, recipe, figures, limits, how to call it.

    Each file is read back by its own runtime and run over the whole test split beside the run's model. One that is
    not within the tolerance is named *.failed, and the exit code is 4.
    """
    from cvexp.jobs.export import run as job
    from cvexp.jobs.export_plan import Wanted
    from cvexp.jobs.model_card import write_card
    from cvexp.report import export as report
    from cvexp.report.model_card import text
    from cvexp.report.terminal import hint

    if quantize not in (None, INT8):
        raise ConfigError(f"--quantize {quantize}: unknown", f"valid: {INT8}")
    wanted = Wanted(
        formats=formats(output, every=every),
        out=out,
        raw=raw,
        quantize=quantize is not None,
        keep_slower=keep_slower,
        tolerance=None if tolerance is None else tolerance / 100,
        bench=bench,
        log=log,
    )
    store, folder = store_settings(tracking_uri, experiment, data_dir), resolve_data_dir(data_dir)
    result = job(run, store, data_dir=folder, wanted=wanted, trusted_factory=model, say=hint)
    result = replace(result, model_card=write_card(result, store, text=text))
    shipped = sorted((one for one in result.files if one.kept), key=_latency)
    file = [*(str(one.path) for one in shipped[:1]), *(("--model", model) if model else ())]
    flags = typed_flags(data_dir=data_dir)
    then = (flags.command("evaluate", *file), flags.command("predict", *file, "IMAGE")) if shipped else ()
    present(result, report, as_json=as_json, then=then)
    result.check()
    check_logged(result)


def _latency(file: ExportedFile) -> float:
    return math.inf if file.latency is None else file.latency.p50.value


def formats(given: list[str] | None, *, every: bool) -> tuple[str, ...]:
    """The formats that were typed, or none for all of them."""
    if every and given:
        raise ConfigError("--format and --all are given at once", "name formats, or take all")
    names = [name.strip() for text in given or [DEFAULT_FORMAT] for name in text.split(",")]
    return () if every else tuple(names)


def check_logged(result: ExportResult) -> None:
    """Raise CvexpError where the figures could not be logged to the run."""
    if result.trouble:
        raise CvexpError(
            f"the figures are not logged to run {result.name}: {result.trouble}",
            "export again later, or leave the run alone: --no-log",
        )
