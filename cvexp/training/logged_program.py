"""The logged model of a network whose code cvexp cannot ship: the ONNX file of its program."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from cvexp.models.spec import ModelSpec
    from cvexp.tracking.outbox import Outbox
    from cvexp.training.session import Prepared

LONGEST_REASON = 300


def store_program(prepared: Prepared, spec: ModelSpec, tracked: Outbox) -> str:
    """Write and record the logged model of a network whose code is not cvexp's, in seconds.

    Returns:
        Why such a run has none, in one line; empty for others. A run does not fail for that.
    """
    from cvexp import events

    if prepared.servable:
        return ""
    folder = tracked.folder / "program"
    if not (reason := write_program(folder, prepared.model, spec, run_id=tracked.run_id)):
        shape, n_classes = spec.image_shape, len(spec.class_names)
        tracked.emit(events.ModelStored(weights=folder.name, image_shape=shape, n_classes=n_classes))
    return reason


def write_program(folder: Path, model: nn.Module, spec: ModelSpec, *, run_id: str) -> str:
    """Write `model.onnx`, and `model.json`, its specification, to `folder`, which is created.

    Returns:
        Why it could not be written, in one line; empty where it was.
    """
    from dataclasses import replace

    from cvexp import checkpoint, files
    from cvexp.errors import CvexpError
    from cvexp.export.formats import ExportOptions
    from cvexp.export.onnx import encoded
    from cvexp.export.run_folder import SPEC
    from cvexp.tracking.model import PROGRAM

    try:
        content = encoded(model, spec, options=ExportOptions(run_id=run_id))
        folder.mkdir(exist_ok=True)
        digest = checkpoint.write(folder / PROGRAM, content)
        files.write_atomically(folder / SPEC, replace(spec, weights_sha256=digest).to_json().encode())
    except CvexpError as error:
        return error.what[:LONGEST_REASON]
    except (OSError, RuntimeError, MemoryError) as error:
        return f"{type(error).__name__}: {error}"[:LONGEST_REASON]
    return ""
