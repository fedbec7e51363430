"""Each event of a run as calls of MLflow. Every delivery is idempotent: repeating it changes nothing."""

from __future__ import annotations

import contextlib
import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cvexp import events
from cvexp.errors import StoreError
from cvexp.redaction import without_credentials
from cvexp.runs import ID_DIGITS, NAME_DIGITS
from cvexp.tracking.attempts import EXECUTOR, SUPERSEDED, is_superseded
from cvexp.tracking.delivery import delivered_now
from cvexp.tracking.journal import FORMER_ID, NAME
from cvexp.tracking.mlflow_errors import translated
from cvexp.tracking.model import LOGGED_NAME, write_model
from cvexp.tracking.statistics import refresh_statistics
from cvexp.tracking.store import existing_run, load_mlflow, open_store
from cvexp.tracking.views import write_view

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlflow.entities import Metric, RunTag

    from cvexp.settings import StoreSettings
    from cvexp.tracking.deadline import Deadline
    from cvexp.tracking.journal import Journal
    from cvexp.tracking.records import Record
    from cvexp.tracking.store import Store

SERIES_BATCH = 1000  # the most metrics MLflow takes in one call
MAX_TAG_CHARACTERS = 5000  # MLflow keeps 8,000; some of its stores keep fewer

LOCAL_ID, ATTEMPT = "cvexp.local_id", "cvexp.attempt"
"""The tags by which a run and a logged model are recognised when their creation is repeated."""

FORMER_ID_TAG = "cvexp.former_run_id"
"""The tag of a run that was created again after the store had lost it: the id it had before."""


class MlflowSink:
    """Delivers the events of a journal's run to an MLflow store; see sender.Sink.

    A figure is identified by its run, key, step, timestamp and value, the primary key of MLflow's own table;
    parameters, tags and artifacts replace equal ones; a run and a logged model are looked up before they are created.
    """

    def __init__(self, settings: StoreSettings, journal: Journal) -> None:
        load_mlflow(settings)  # here, since imports should not count as waiting for the store
        import mlflow.pyfunc  # noqa: F401 - likewise

        self._settings, self._journal = settings, journal
        self._store: Store  # from `open`

    def open(self, deadline: Deadline) -> None:
        """Open the store, created first where it does not exist; see `open_store`.

        A store that was deleted, or restored from a backup, lacks the run or a part of it: then everything is
        delivered again, from the first record on.
        """
        self._store = open_store(self._settings, create=True, waiting=deadline.paused)
        if "run_id" in self._journal.facts:
            with translated(self._settings):
                known = self._has_everything_sent()
            if not known:
                self._journal.restart()

    def _has_everything_sent(self) -> bool:
        """Whether the store has the run with what was delivered; raises StoreError where it was deleted on purpose."""
        run = existing_run(self._store, self._run_id)
        if run is None:
            return False
        if run.info.lifecycle_stage == "deleted":
            raise StoreError(
                f"run {self._run_id} was deleted in the tracking store",
                "restore it: " + self._settings.mlflow_command("runs", "restore", "--run-id", self._run_id),
                "or give it up: " + self._settings.command("sync", "--discard", self._run_id[:ID_DIGITS]),
            )
        params: set[str] = set()
        figures: dict[str, float] = {}
        for record in self._journal.records[: self._journal.n_sent]:
            if isinstance(record.event, events.ParamsLogged):
                params |= record.event.values.keys()
            elif isinstance(record.event, events.MetricsLogged):
                figures |= record.event.values
        logged = run.data.metrics
        return params <= run.data.params.keys() and all(
            key in logged and (logged[key] == value or not math.isfinite(value)) for key, value in figures.items()
        )

    def deliver(self, record: Record) -> Mapping[str, str]:
        """Apply the record; see Sink."""
        with translated(self._settings):
            return getattr(self, f"_{record.event.kind}")(record.event, record.at) or {}

    def deliver_together(self, records: Sequence[Record]) -> None:
        """Apply parameters, tags and figures in one call; see Sink."""
        from mlflow.entities import Param

        params: dict[str, str] = {}
        named: dict[str, str] = {}
        figures: list[Metric] = []
        for record in records:
            match record.event:
                case events.ParamsLogged(values=values):
                    params |= values
                case events.TagsSet(values=values):
                    named |= values
                case events.MetricsLogged() as logged:
                    figures += self._figures(logged, record.at)
        given = [Param(key, value) for key, value in params.items()]
        with translated(self._settings):
            self._client.log_batch(self._run_id, metrics=figures, params=given, tags=tags(named))

    @property
    def _client(self) -> Any:
        return self._store.client

    @property
    def _run_id(self) -> str:
        return self._journal.facts["run_id"]

    def _run(self, event: events.RunStarted, at: int) -> Mapping[str, str]:
        """Create the run, named after the model and its own id unless the user named it."""
        client, local_id, facts = self._client, event.local_id, self._journal.facts
        own = {LOCAL_ID: local_id, FORMER_ID_TAG: facts.get(FORMER_ID, "")}
        known = client.search_runs([self._store.experiment_id], f"tags.`{LOCAL_ID}` = '{local_id}'", max_results=1)
        created = next(iter(known), None) or client.create_run(
            self._store.experiment_id,
            start_time=at,
            tags={tag.key: tag.value for tag in tags(event.tags | own)},
            run_name=event.name or event.model,
        )
        name = event.name or facts.get(NAME) or f"{event.model}-{created.info.run_id[:NAME_DIGITS]}"
        if not event.name:
            client.update_run(created.info.run_id, name=name)
        return {
            "run_id": created.info.run_id,
            NAME: name,
            "artifacts_uri": created.info.artifact_uri,
            "experiment_id": self._store.experiment_id,
        }

    def _name(self, event: events.RunNamed, _at: int) -> Mapping[str, str]:
        self._client.update_run(self._run_id, name=event.name)
        return {NAME: event.name}

    def _again(self, _event: events.RunResumed, _at: int) -> None:
        self._client.update_run(self._run_id, status="RUNNING")

    def _params(self, event: events.ParamsLogged, _at: int) -> None:
        from mlflow.entities import Param

        self._client.log_batch(self._run_id, params=[Param(key, value) for key, value in event.values.items()])

    def _tags(self, event: events.TagsSet, _at: int) -> None:
        self._client.log_batch(self._run_id, tags=tags(event.values))

    def _metrics(self, event: events.MetricsLogged, at: int) -> None:
        self._client.log_batch(self._run_id, metrics=self._figures(event, at))

    def _figures(self, event: events.MetricsLogged, at: int) -> list[Metric]:
        from mlflow.entities import Metric

        facts, step = self._journal.facts, event.step
        about = (facts.get("model_id") if event.final else None, facts.get("dataset_name"), facts.get("dataset_digest"))
        return [Metric(key, value, at, step, *about) for key, value in event.values.items()]

    def _series(self, event: events.SeriesLogged, at: int) -> None:
        from mlflow.entities import Metric

        points = [Metric(event.key, value, at, step) for step, value in event.points]
        for start in range(0, len(points), SERIES_BATCH):
            self._client.log_batch(self._run_id, metrics=points[start : start + SERIES_BATCH])

    def _dataset(self, event: events.DatasetUsed, _at: int) -> Mapping[str, str]:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        dataset = Dataset(
            name=event.name, digest=event.digest, source_type="local", source=event.source, profile=event.profile
        )
        known = self._client.get_run(self._run_id).inputs.dataset_inputs
        if not any((one.dataset.name, one.dataset.digest) == (event.name, event.digest) for one in known):
            inputs = [DatasetInput(dataset, [InputTag("mlflow.data.context", event.context)])]
            self._client.log_inputs(self._run_id, inputs)
        return {"dataset_name": event.name, "dataset_digest": event.digest}

    def _artifacts(self, event: events.FilesStored, _at: int) -> None:
        self._client.log_artifacts(self._run_id, str(self._journal.path(event.folder)), event.name)

    def _begin_model(self, event: events.ModelAnnounced, _at: int) -> Mapping[str, str]:
        from mlflow.entities import LoggedModelOutput

        own = f"source_run_id = '{self._run_id}'"
        known = self._client.search_logged_models([self._store.experiment_id], filter_string=own)
        model = next((model for model in known if model.tags.get(ATTEMPT) == event.attempt), None)
        if model is None:
            model = self._client.create_logged_model(
                self._store.experiment_id,
                name=LOGGED_NAME,
                source_run_id=self._run_id,
                params=event.params,
                tags={ATTEMPT: event.attempt},
                model_type="image classifier",
            )
        outputs = self._client.get_run(self._run_id).outputs
        if not any(output.model_id == model.model_id for output in (outputs.model_outputs if outputs else [])):
            self._client.log_outputs(self._run_id, [LoggedModelOutput(model.model_id, step=0)])
        return {"model_id": model.model_id, "model_ready": ""}

    def _model(self, event: events.ModelStored, _at: int) -> Mapping[str, str]:
        model_id = self._journal.facts["model_id"]
        with tempfile.TemporaryDirectory(prefix="cvexp-") as scratch:
            folder = Path(scratch) / "model"
            write_model(
                folder,
                self._journal.path(event.weights),
                model_id=model_id,
                run_id=self._run_id,
                image_shape=event.image_shape,
                n_classes=event.n_classes,
            )
            self._client.log_model_artifacts(model_id, str(folder))
        self._client.finalize_logged_model(model_id, "READY")
        return {"model_ready": "yes"}

    def _end(self, event: events.RunEnded, at: int) -> None:
        """Close the run with its last figures, and with it an announced model that was never stored."""
        model_id, ready = (self._journal.facts.get(key) for key in ("model_id", "model_ready"))
        note = {"mlflow.note.content": event.markdown}
        if event.metrics:
            self._metrics(events.MetricsLogged(values=event.metrics, step=0, final=True), at)
        if event.markdown and model_id:
            self._client.set_logged_model_tags(model_id, note)
        if model_id and not ready:
            self._client.finalize_logged_model(model_id, "FAILED")
        end_time = max(at, self._journal.records[0].at)
        counts = not self._is_superseded()
        status, reason = (event.status, event.reason) if counts else ("KILLED", SUPERSEDED)
        described = tags({**note, "cvexp.end_reason": reason})
        self._client.log_batch(self._run_id, metrics=[delivered_now()], tags=described)
        self._client.set_terminated(self._run_id, status, end_time=end_time)
        if counts and self._is_superseded():  # the driver gave it up meanwhile
            self._client.set_terminated(self._run_id, "KILLED", end_time=end_time)
        with contextlib.suppress(StoreError), translated(self._settings):  # a view that is refused delays no record
            write_view(self._store)
        refresh_statistics(self._settings)

    def _is_superseded(self) -> bool:
        """Whether another attempt at the run's trial counts; one on this machine alone is never superseded."""
        own = self._journal.tags
        return EXECUTOR in own and is_superseded(self._client, self._client.get_run(self._run_id), own)


def tags(values: Mapping[str, str]) -> list[RunTag]:
    """Tags as MLflow takes them, without credentials in URIs and without empty ones."""
    from mlflow.entities import RunTag

    return [RunTag(key, without_credentials(value)[:MAX_TAG_CHARACTERS]) for key, value in values.items() if value]
