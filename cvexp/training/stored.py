"""What a trained model leaves in its run: weights, the logged model, per-image records, tables and pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cvexp import events
from cvexp.training.artifacts import write_figures, write_records

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from cvexp.models.spec import ModelSpec
    from cvexp.results import EpochMetrics, Evaluation, HeldOutName
    from cvexp.tracking.outbox import Outbox
    from cvexp.training.outputs import Outputs
    from cvexp.training.session import Prepared


def store(
    tracked: Outbox,
    prepared: Prepared,
    history: Sequence[EpochMetrics],
    evaluation: Evaluation | None,
    logits: Mapping[HeldOutName, Tensor | None],
    *,
    outputs: Outputs,
    after_each: Callable[[], None],
) -> ModelSpec:
    """Write files to the run's folder, the weights first, record them, and return what the weights belong to.

    Args:
        tracked: The run.
        prepared: What was trained.
        history: Of all epochs.
        evaluation: The test split's; None where it was not evaluated, and nothing of it is written then.
        logits: See `write_records`.
        outputs: What is left out.
        after_each: Called between two files; what it raises ends the writing.

    Raises:
        OSError: A file cannot be written.
    """
    dataset = prepared.dataset
    weights, records, figures = (tracked.folder / name for name in ("weights", "records", "figures"))
    for folder in (weights, records, figures):
        folder.mkdir(exist_ok=True)
    spec = prepared.save_weights(weights)
    tracked.emit(events.TagsSet({"cvexp.weights_sha256": spec.weights_sha256}))
    tracked.emit(events.FilesStored(folder=weights.name, name=weights.name))
    after_each()
    if prepared.servable and outputs.program:
        shape, n_classes = dataset.image_shape, dataset.n_classes
        tracked.emit(events.ModelStored(weights=weights.name, image_shape=shape, n_classes=n_classes))
    splits: list[HeldOutName] = [] if dataset.val is None else ["val"]
    splits += [] if evaluation is None else ["test"]
    write_records(records, prepared, logits, splits, after_batch=after_each)
    tracked.emit(events.FilesStored(folder=records.name, name=records.name))
    title = f"{tracked.name} on {dataset.name}"
    write_figures(figures, evaluation, prepared, history, title=title, outputs=outputs, after_each=after_each)
    after_each()
    if any(figures.iterdir()):
        tracked.emit(events.FilesStored(folder=figures.name))
    return spec
