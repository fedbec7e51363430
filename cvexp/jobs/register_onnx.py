"""A run's network as an ONNX file behind a logged model of its own, so that MLflow serves it without torch."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from cvexp.runs import RunSummary
    from cvexp.settings import StoreSettings
    from cvexp.tracking.registration import LoggedModel
    from cvexp.tracking.store import Store

ONNX = "onnx"


def log_onnx(
    store: Store,
    run: RunSummary,
    settings: StoreSettings,
    *,
    data_dir: Path,
    trusted_factory: str | None,
    say: Callable[[str], None],
) -> LoggedModel:
    """Export the run as `cvexp export --format onnx` does, proof and timing included, and log the file as a model.

    Raises:
        InputError: It cannot be exported, or not logged.
        GateError: The file does not give what the run gives.
    """
    from cvexp import files
    from cvexp.export.card import load_card
    from cvexp.export.run_folder import SPEC
    from cvexp.jobs import export
    from cvexp.jobs.export_plan import Wanted
    from cvexp.tracking.model import PROGRAM
    from cvexp.tracking.registration import log_program

    with tempfile.TemporaryDirectory(prefix="cvexp-") as scratch:
        file, folder = Path(scratch) / "exported" / PROGRAM, Path(scratch) / "program"
        wanted = Wanted(formats=(ONNX,), out=file)
        export.run(
            run.run_id, settings, data_dir=data_dir, wanted=wanted, trusted_factory=trusted_factory, say=say
        ).check()
        card = load_card(file)
        folder.mkdir()
        shutil.move(file, folder / PROGRAM)
        files.write_atomically(folder / SPEC, card.spec.to_json().encode())
        shape, n_classes = card.spec.image_shape, len(card.spec.class_names)
        return log_program(store, run, folder, image_shape=shape, n_classes=n_classes)
