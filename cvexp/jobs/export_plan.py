"""Which files an export writes, and where: beside their place first, and in it once they are proven."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cvexp.errors import ConfigError, InputError, WeightsError
from cvexp.jobs.staging import unwritable
from cvexp.runs import EXPORT_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from cvexp.export.formats import Variant
    from cvexp.jobs.export_proof import Proven
    from cvexp.jobs.source import TrainedModel

DEFAULT_FOLDER = Path("models")
ID_DIGITS = 8
LARGEST_TOLERANCE = 0.5
FAILED = ".failed"
"""Added to the name of a file that is not to be shipped; no verb takes such a file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What to write, and what to ask of it.

    Attributes:
        formats: Keys of `cvexp.runs.EXPORT_SUFFIXES`; none for every format that can be written and run here.
        out: The file, or the folder of several; None for `models`.
        raw: Whether to write the network alone, without the transform of its images.
        quantize: Whether to write an int8 file beside each fp32 one.
        keep_slower: Whether to keep an int8 file also where it is not shown to be faster than the fp32 one.
        tolerance: See `cvexp.export.parity.why_it_fails`.
        bench: Whether to time the files; None for those that are more than weights.
        log: Whether the run gets the figures of its files.
    """

    formats: tuple[str, ...] = ("state-dict",)
    out: Path | None = None
    raw: bool = False
    quantize: bool = False
    keep_slower: bool = False
    tolerance: float | None = None
    bench: bool | None = None
    log: bool = True

    def checked(self) -> Wanted:
        """Each format once; ConfigError for what is unknown or cannot be meant together."""
        from cvexp.export.formats import exporter_of

        formats = tuple(dict.fromkeys(self.formats))
        for name in formats:
            exporter_of(name)
        if self.raw and self.quantize:
            raise ConfigError("--raw and --quantize are given at once", "an int8 file holds the transform: take one")
        if self.keep_slower and not self.quantize:
            raise ConfigError("--keep-slower is about int8 files", "give --quantize int8 too")
        if self.quantize and self.bench is False and not self.keep_slower:
            raise ConfigError(
                "--quantize keeps a file only where it is faster, and --no-bench times none",
                "leave --no-bench out, or keep it in any case: --keep-slower",
            )
        if self.tolerance is not None and not 0 <= self.tolerance <= LARGEST_TOLERANCE:
            raise ConfigError(
                f"--tolerance {100 * self.tolerance:g}: expected percentage points from 0 to "
                f"{100 * LARGEST_TOLERANCE:g}",
                "for example: --tolerance 0.5",
            )
        self._check_out(formats)
        return replace(self, formats=formats)

    def _check_out(self, formats: Sequence[str]) -> None:
        if self.out is None:
            return
        if len(formats) == 1 and self.out.suffix != (suffix := EXPORT_SUFFIXES[formats[0]]):
            raise ConfigError(f"--out {self.out} does not end in {suffix}", f"the format is {formats[0]}")
        if len(formats) != 1 and (self.out.suffix in EXPORT_SUFFIXES.values() or self.out.is_file()):
            raise ConfigError(f"--out {self.out} names a file, and there are several", "name a folder")


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """A file to write at `path`, in a format, as it is or in a variant of it."""

    format: str
    variant: Variant
    path: Path

    @property
    def kind(self) -> str:
        """What it is called in metric keys: `onnx`, `onnx-int8`."""
        return "-".join(filter(None, (self.format, self.variant)))


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftOut:
    """A kind of file that was not written, and why; `extra` would bring the library that is missing, if one is."""

    kind: str
    reason: str
    extra: str = ""


def plan(trained: TrainedModel, wanted: Wanted) -> tuple[list[Planned], str | None]:
    """The files to write, int8 after fp32, and a note where a usual name was taken by another run's file.

    Of all formats, those are left out that do not have the variant asked for; one that was named is refused later.
    """
    from cvexp.export.formats import exporter_of

    variants: tuple[Variant, ...] = ("raw",) if wanted.raw else ("", "int8") if wanted.quantize else ("",)
    planned, notes = [], []
    for name in wanted.formats or EXPORT_SUFFIXES:
        for variant in variants:
            if variant and not wanted.formats and variant not in exporter_of(name).variants:
                continue
            path, note = _place(trained, wanted, EXPORT_SUFFIXES[name], variant)
            planned.append(Planned(format=name, variant=variant, path=path))
            notes.append(note)
    return planned, "; ".join(filter(None, notes)) or None


def _place(trained: TrainedModel, wanted: Wanted, suffix: str, variant: Variant) -> tuple[Path, str | None]:
    """A file that is not another run's, and a note where the usual name was taken."""
    from cvexp.export.card import load_card

    if wanted.out is not None and len(wanted.formats) == 1:
        return (wanted.out.with_stem(f"{wanted.out.stem}-int8") if variant == "int8" else wanted.out), None
    folder = DEFAULT_FOLDER if wanted.out is None else wanted.out
    stem = Path(trained.name).stem if trained.run is None else _as_file(trained.name)
    end, run_id = f"-{variant}{suffix}" if variant else suffix, trained.card.run_id
    usual = folder / f"{stem}{end}"
    with contextlib.suppress(WeightsError):  # without a card of its own it is not this run's either
        if not usual.exists() or load_card(usual).run_id == run_id:
            return usual, None
    return folder / f"{stem}-{run_id[:ID_DIGITS]}{end}", f"{usual} is not of this run, and stays as it is"


def _as_file(name: str) -> str:
    """A run's name as a file name: separators and a leading dot are replaced."""
    safe = "".join(c if c.isalnum() or c in "-_." else "-" for c in name).lstrip(".")
    return safe or "model"


def write_files(
    trained: TrainedModel, planned: Sequence[Planned], folder: Path, *, calibration: Tensor | None, skip: bool
) -> tuple[list[Planned], list[LeftOut]]:
    """Write the files with their cards to `folder`, under the names that they will have.

    With `skip`, those that cannot be written here are left out; else the first of them ends it.

    Raises:
        InputError: A file cannot be written.
    """
    from cvexp.export.extras import MissingExtraError

    written, left_out = [], []
    for one in planned:
        try:
            _write(trained, one, folder / one.path.name, calibration)
            written.append(one)
        except InputError as error:
            if not skip:
                raise
            extra = error.extra if isinstance(error, MissingExtraError) else ""
            left_out.append(LeftOut(kind=one.kind, reason=error.what, extra=extra))
        except OSError as error:
            raise unwritable(one.path, error) from error
    return written, left_out


def _write(trained: TrainedModel, planned: Planned, path: Path, calibration: Tensor | None) -> None:
    """Write one file, and its card beside it."""
    from cvexp import files
    from cvexp.export.card import card_path
    from cvexp.export.formats import ExportOptions, exporter_of

    options = ExportOptions(
        raw=planned.variant == "raw",
        calibration=calibration if planned.variant == "int8" else None,
        run_id=trained.card.run_id,
    )
    digest = exporter_of(planned.format).write(path, trained.model, trained.card.spec, options=options)
    card = replace(
        trained.card,
        spec=replace(trained.card.spec, weights_sha256=digest),
        format=planned.format,
        run_name=trained.name,
        quantized="int8" if planned.variant == "int8" else "",
        raw=planned.variant == "raw",
    )
    files.write_atomically(card_path(path), card.to_json().encode())


def put_in_place(proven: Proven, device_name: str) -> Path:
    """Move a file and its card to where they belong, or, if it did not pass, out of the way beside it.

    The card of a program gets the program's own figures, measured on `device_name`, in the place of the run's.
    """
    from cvexp import files
    from cvexp.export.card import card_path, load_card

    source, target = proven.path, proven.planned.path
    if proven.reason:
        target = target.with_name(f"{target.name}{FAILED}")
    try:
        if not proven.holds_weights_only:
            card = load_card(source)
            card = replace(card, metrics={**card.metrics, **proven.figures}, device_name=device_name)
            files.write_atomically(card_path(source), card.to_json().encode())
        source.replace(target)
        card_path(source).replace(card_path(target))
    except OSError as error:
        raise unwritable(target, error) from error
    return target
