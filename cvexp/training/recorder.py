"""What a training records in its run's outbox: inputs before the first step, metrics per epoch, the outcome."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from cvexp import events
from cvexp.results import Metric
from cvexp.runs import BEST_EPOCH, BUSY, UNLOGGED
from cvexp.training.tags import config_tags

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cvexp.results import EpochMetrics, TrainResult
    from cvexp.tracking.outbox import Outbox
    from cvexp.training.outputs import Outputs
    from cvexp.training.session import Prepared


class Recorder:
    """A subscriber to a training's events that records them."""

    def __init__(self, outbox: Outbox, prepared: Prepared, outputs: Outputs) -> None:
        self._outbox, self._prepared, self._outputs = outbox, prepared, outputs

    def inputs(self) -> None:
        """Record parameters and dataset, and announce the model."""
        dataset, params = self._prepared.dataset, self._prepared.config.params()
        self._outbox.emit(events.ParamsLogged(params))
        splits = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
        profile = {
            "images": {name: len(split) for name, split in splits.items() if split is not None},
            "image_shape": dataset.image_shape,
            "classes": dataset.n_classes,
        }
        self._outbox.emit(
            events.DatasetUsed(
                name=dataset.name,
                digest=dataset.digest,
                source=json.dumps({"place": dataset.place}),
                profile=json.dumps(profile),
                context="training",
            )
        )
        if self._outputs.program:
            self._outbox.emit(events.ModelAnnounced(params=params, attempt=""))
        self._code()

    def _code(self) -> None:
        """Record the uncommitted changes of the working folder's repository, if there are any."""
        from cvexp.tracking.patch import FOLDER, changes_here, write_changes

        if changes := changes_here():
            write_changes(self._outbox.folder / FOLDER, changes)
            self._outbox.emit(events.FilesStored(folder=FOLDER, name=FOLDER))

    def epochs_before(self, history: Sequence[EpochMetrics]) -> None:
        """Record the epochs of a run that this one continues; one that is resumed has recorded its own."""
        if not self._outbox.journal.of_type(events.MetricsLogged):
            for epoch in history:
                self(events.EpochEnded(metrics=epoch, last=False))

    def __call__(self, event: events.Observed) -> None:
        """Record an epoch that has ended."""
        if isinstance(event, events.EpochEnded):
            epoch = event.metrics
            self._record_steps(epoch)
            self._outbox.emit(events.MetricsLogged(values=epoch.keyed(), step=epoch.epoch, final=event.last))

    def _record_steps(self, epoch: EpochMetrics) -> None:
        """The loss of every so many steps, counted over the whole run, where that was asked for."""
        every = self._prepared.config.log_every
        first = (epoch.epoch - 1) * len(epoch.step_losses) + 1
        numbered = enumerate(epoch.step_losses, first) if every else ()
        points = tuple((step, float(loss)) for step, loss in numbered if step % every == 0)
        if points:
            self._outbox.emit(events.SeriesLogged(key=Metric.STEP_LOSS.value, points=points))

    def outcome(self, result: TrainResult, tags: Mapping[str, str]) -> None:
        """Record the final figures, tags and the description on the run's page, and close the run."""
        from cvexp.tracking.description import description

        if result.config.epochs != self._prepared.config.epochs:  # it was stopped early
            asked = self._prepared.config if result.stopped else None
            ended = replace(self._prepared, config=result.config)
            self._outbox.emit(events.TagsSet(config_tags(ended, asked=asked)))
        if result.busy:
            self._outbox.emit(events.TagsSet({BUSY: result.busy}))
        if result.unlogged:
            self._outbox.emit(events.TagsSet({UNLOGGED: result.unlogged}))
        if result.best_epoch is not None:
            self._outbox.emit(events.TagsSet({BEST_EPOCH: str(result.best_epoch)}))
        if tags:
            self._outbox.emit(events.TagsSet(dict(tags)))
        # Without a validation split the last epoch's figures are the test split's, by the whole model.
        more = result.history[-1].held_out_name == "val" or self._prepared.cached is not None
        if more and (values := result.chosen()):
            self._outbox.emit(events.MetricsLogged(values=values, step=result.config.epochs, final=True))
        # MLflow draws what has no step but 0 as bars, run beside run.
        figures = {**result.timing.keyed(), **result.size.keyed(), **result.figures}
        self._outbox.emit(
            events.RunEnded(status="FINISHED", reason=result.stopped, metrics=figures, markdown=description(result))
        )
