"""Export a trained model as one file, and compare the file's logits with the model's."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cvexp.errors import ConfigError, GateError, WeightsError
from cvexp.jobs.source import load_trained
from cvexp.runs import EXPORT_SUFFIXES

if TYPE_CHECKING:
    from cvexp.export.formats import Exporter
    from cvexp.jobs.source import TrainedModel
    from cvexp.settings import StoreSettings

DEFAULT_FOLDER = Path("models")
N_COMPARED = 500
ID_DIGITS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportResult:
    """An exported model.

    Attributes:
        path: The weights; `sha256` and `n_bytes` are of this file.
        card: What it takes to rebuild the model, beside them.
        format: A key of `cvexp.runs.EXPORT_SUFFIXES`.
        n_compared: Test images whose logits were compared after reloading.
        identical: Whether those logits were equal bit for bit; they are close in any case.
    """

    run_id: str
    name: str
    path: Path
    card: Path
    format: str
    sha256: str
    n_bytes: int
    n_compared: int
    identical: bool
    note: str | None


def run(
    selector: str,
    settings: StoreSettings,
    *,
    data_dir: Path,
    format_name: str = "state-dict",
    out: Path | None = None,
    trusted_factory: str | None = None,
) -> ExportResult:
    """Export a run's weights to `out`, reload what was written, and compare logits on test images.

    Without `out`, the file is `models/<run name>` with the format's suffix, and with the first digits of the run's id
    where that file is another run's. `format_name` is a key of `cvexp.runs.EXPORT_SUFFIXES`.

    Raises:
        InputError: The run, its weights, the format or the path cannot be used.
        GateError: The reloaded model does not give the same logits.
    """
    trained = load_trained(selector, settings, trusted_factory=trusted_factory)
    import torch

    from cvexp.export.card import card_path, load_card
    from cvexp.export.formats import exporter_of

    exporter, suffix = exporter_of(format_name), EXPORT_SUFFIXES[format_name]
    if out is not None and out.suffix != suffix:
        raise ConfigError(f"--out {out} does not end in {suffix}", f"the format is {format_name}")
    path, taken = (out, None) if out is not None else _default_path(trained, suffix)
    images = trained.load_dataset(data_dir).test.images[:N_COMPARED]
    _write(trained, path, exporter, format_name)
    spec = load_card(path).spec
    written = exporter.read(path, spec, device=trained.device.torch, trusted_factory=trusted_factory)
    before, after = trained.predictor.logits(images), written.logits(images)
    if not torch.isclose(before, after, equal_nan=True).all():
        raise GateError(f"{path} does not give the logits of {trained.name}", "delete it, and export again")
    return ExportResult(
        run_id=trained.card.run_id,
        name=trained.name,
        path=path,
        card=card_path(path),
        format=format_name,
        sha256=spec.weights_sha256,
        n_bytes=path.stat().st_size,
        n_compared=len(images),
        identical=torch.equal(before.view(torch.uint8), after.view(torch.uint8)),  # NaN is not equal to itself
        note="; ".join(filter(None, [trained.note, taken])) or None,
    )


def _default_path(trained: TrainedModel, suffix: str) -> tuple[Path, str | None]:
    """A file that is not another run's, and a note where the usual name was taken."""
    from cvexp.export.card import load_card

    stem = Path(trained.name).stem if trained.run is None else _as_file(trained.name)
    usual, run_id = DEFAULT_FOLDER / f"{stem}{suffix}", trained.card.run_id
    with contextlib.suppress(WeightsError):  # without a card of its own it is not this run's either
        if not usual.exists() or load_card(usual).run_id == run_id:
            return usual, None
    other = DEFAULT_FOLDER / f"{stem}-{run_id[:ID_DIGITS]}{suffix}"
    return other, f"{usual} is not of this run, and stays as it is"


def _write(trained: TrainedModel, path: Path, exporter: Exporter, format_name: str) -> None:
    """Write the file, and its card beside it."""
    from cvexp import files
    from cvexp.export.card import card_path
    from cvexp.export.formats import ExportOptions

    options = ExportOptions(run_id=trained.card.run_id)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = exporter.write(path, trained.model, trained.card.spec, options=options)
        spec = replace(trained.card.spec, weights_sha256=digest)
        card = replace(trained.card, spec=spec, format=format_name, run_name=trained.name)
        files.write_atomically(card_path(path), card.to_json().encode())
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}", "choose another file with --out") from error


def _as_file(name: str) -> str:
    """A run's name as a file name: separators and a leading dot are replaced."""
    safe = "".join(c if c.isalnum() or c in "-_." else "-" for c in name).lstrip(".")
    return safe or "model"
