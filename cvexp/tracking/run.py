"""Write one run: what it was asked, what it measured, what it left behind, and how it ended."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cvexp.settings import without_credentials
from cvexp.tracking.model import LOGGED_NAME
from cvexp.tracking.store import translated

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlflow import MlflowClient
    from mlflow.entities import RunTag

    from cvexp.tracking.store import Store

NAME_DIGITS = 6
SERIES_BATCH = 1000
"""The most metrics MLflow takes in one call."""

MAX_TAG_CHARACTERS = 5000
"""MLflow keeps 8,000; some of its stores keep fewer."""


class Run:
    """A run that is being written. All of its calls are timed, so that no training figure contains them.

    Attributes:
        run_id: 32 hexadecimal digits.
        model_id: Of the logged model that the figures belong to; None where none will be logged.
        name: The model's name and the first digits of the id, unless the user named the run.
        artifacts_uri: Where its artifacts go.
        seconds: Spent so far on writing to the store.
    """

    def __init__(self, store: Store, *, run_id: str, name: str, artifacts_uri: str) -> None:
        self._store = store
        self._dataset: tuple[str, str] | tuple[None, None] = (None, None)
        self._model_pending = False
        self.model_id: str | None = None
        self.run_id = run_id
        self.name = name
        self.artifacts_uri = artifacts_uri
        self.seconds = 0.0

    @contextlib.contextmanager
    def _timed(self) -> Iterator[MlflowClient]:
        start = time.perf_counter()
        try:
            with translated(self._store.settings):
                yield self._store.client
        finally:
            self.seconds += time.perf_counter() - start

    def log_params(self, params: Mapping[str, str]) -> None:
        """Record what the run was asked to do."""
        from mlflow.entities import Param

        with self._timed() as client:
            client.log_batch(self.run_id, params=[Param(k, v) for k, v in params.items()])

    def log_metrics(self, metrics: Mapping[str, float], *, step: int, final: bool = False) -> None:
        """Record figures at one step in one call.

        Args:
            metrics: Values by metric key.
            step: The epoch, counted from 1; 0 for figures of the whole run.
            final: Whether they are the trained model's, and so belong to the logged model too.
        """
        from mlflow.entities import Metric

        model_id = self.model_id if final else None
        now = int(time.time() * 1000)
        with self._timed() as client:
            client.log_batch(
                self.run_id,
                metrics=[Metric(k, v, now, step, model_id, *self._dataset) for k, v in metrics.items()],
            )

    def log_series(self, key: str, values: Mapping[int, float]) -> None:
        """Record many steps' values of one metric, a thousand in a call.

        Args:
            key: The metric's.
            values: By step.
        """
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        points = [Metric(key, value, now, step) for step, value in values.items()]
        with self._timed() as client:
            for start in range(0, len(points), SERIES_BATCH):
                client.log_batch(self.run_id, metrics=points[start : start + SERIES_BATCH])

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Record facts about the run; credentials in URIs are left out."""
        with self._timed() as client:
            client.log_batch(self.run_id, tags=_tags(tags))

    def describe(self, markdown: str) -> None:
        """Set the description that the pages of the run and of its model show."""
        self.set_tags({"mlflow.note.content": markdown})
        if self.model_id is not None:
            with self._timed() as client:
                client.set_logged_model_tags(self.model_id, {"mlflow.note.content": markdown})

    def log_dataset(self, *, name: str, digest: str, place: str, profile: str, context: str) -> None:
        """Tie a dataset to the run.

        Args:
            name: The dataset's.
            digest: Of its content.
            place: Where it was found.
            profile: JSON with counts and shapes.
            context: What the run did with it, such as `training`.
        """
        import json

        from mlflow.entities import Dataset, DatasetInput, InputTag

        dataset = Dataset(
            name=name,
            digest=digest,
            source_type="local",
            source=json.dumps({"place": place}),
            profile=profile,
        )
        with self._timed() as client:
            client.log_inputs(self.run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", context)])])
        self._dataset = (name, digest)

    def log_folder(self, folder: Path, name: str | None = None) -> None:
        """Store everything in `folder` among the run's artifacts, under `name` if one is given."""
        with self._timed() as client:
            client.log_artifacts(self.run_id, str(folder), name)

    def begin_model(self, params: Mapping[str, str]) -> None:
        """Announce the model that this run will log, so that its figures can belong to it too."""
        from mlflow.entities import LoggedModelOutput

        with self._timed() as client:
            model = client.create_logged_model(
                self._store.experiment_id,
                name=LOGGED_NAME,
                source_run_id=self.run_id,
                params=dict(params),
                model_type="image classifier",
            )
            self.model_id, self._model_pending = model.model_id, True
            client.log_outputs(self.run_id, [LoggedModelOutput(model.model_id, step=0)])

    def log_model(self, folder: Path) -> None:
        """Store the MLflow model in `folder` as the one that `begin_model` announced."""
        if self.model_id is None:
            raise RuntimeError("begin_model comes first")
        with self._timed() as client:
            client.log_model_artifacts(self.model_id, str(folder))
            client.finalize_logged_model(self.model_id, "READY")
        self._model_pending = False

    def end(self, status: str) -> None:
        """Close the run as FINISHED, FAILED or KILLED, and with it a model that never came."""
        with self._timed() as client:
            if self.model_id is not None and self._model_pending:
                client.finalize_logged_model(self.model_id, "FAILED")
            client.set_terminated(self.run_id, status)


def log_file(store: Store, run_id: str, path: Path, *, name: str) -> None:
    """Store a file among the artifacts of a run that has ended, as `name`."""
    with tempfile.TemporaryDirectory(prefix="cvexp-") as scratch, translated(store.settings):
        renamed = shutil.copy(path, Path(scratch) / name)
        store.client.log_artifact(run_id, str(renamed))


@contextlib.contextmanager
def open_run(store: Store, *, model: str, name: str | None, tags: Mapping[str, str]) -> Iterator[Run]:
    """Open a run, and close it however the block is left.

    Leaving normally makes it FINISHED; an exception FAILED, with the reason as a tag; an interrupt KILLED.

    Args:
        store: Where to write.
        model: Names the run, together with the first digits of its id.
        name: Names the run instead.
        tags: Known before it starts.
    """
    start = time.perf_counter()
    run: Run | None = None
    try:
        with translated(store.settings):
            created = store.client.create_run(
                store.experiment_id, tags={tag.key: tag.value for tag in _tags(tags)}, run_name=name or model
            )
            run = Run(
                store,
                run_id=created.info.run_id,
                name=name or f"{model}-{created.info.run_id[:NAME_DIGITS]}",
                artifacts_uri=created.info.artifact_uri,
            )
            if name is None:
                store.client.update_run(run.run_id, name=run.name)
        run.seconds = time.perf_counter() - start
        yield run
        run.end("FINISHED")
    except KeyboardInterrupt:
        _close(run, "KILLED", "interrupted")
        raise
    except BaseException as error:
        _close(run, "FAILED", f"{type(error).__name__}: {error}")
        raise


def _close(run: Run | None, status: str, reason: str) -> None:
    """Say how the run ended, as far as the store can still be told; the original error matters more."""
    if run is None:
        return
    with contextlib.suppress(Exception):
        run.set_tags({"cvexp.end_reason": reason})
    with contextlib.suppress(Exception):
        run.end(status)


def _tags(tags: Mapping[str, str]) -> list[RunTag]:
    from mlflow.entities import RunTag

    return [RunTag(key, without_credentials(value)[:MAX_TAG_CHARACTERS]) for key, value in tags.items() if value]
