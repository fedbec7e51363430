"""What each kind of record of a journal comes to in MLflow. Everything here may be done twice with one effect."""

from __future__ import annotations

import math
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cvexp.errors import StoreError
from cvexp.redaction import without_credentials
from cvexp.runs import ID_DIGITS, NAME_DIGITS
from cvexp.tracking.journal import FORMER_ID, NAME
from cvexp.tracking.model import LOGGED_NAME, write_model
from cvexp.tracking.store import load_mlflow, open_store, translated

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlflow.entities import RunTag

    from cvexp.settings import StoreSettings
    from cvexp.tracking.journal import Journal
    from cvexp.tracking.records import Record
    from cvexp.tracking.sender import Patience
    from cvexp.tracking.store import Store

SERIES_BATCH = 1000
"""The most metrics MLflow takes in one call."""

MAX_TAG_CHARACTERS = 5000
"""MLflow keeps 8,000; some of its stores keep fewer."""

LOCAL_ID = "cvexp.local_id"
"""The tag by which a run is recognised whose creation was asked for twice."""

FORMER_ID_TAG = "cvexp.former_run_id"
"""The tag of a run that was created again after the store had lost it: the id it had before."""

ATTEMPT = "cvexp.attempt"
"""The tag by which a logged model is."""


class Delivery:
    """Tells an MLflow store about one run.

    A figure is recognised by its run, key, step, moment and value, which are the primary key of MLflow's own table;
    parameters, tags and artifacts are put, not added; a run and a logged model are looked for before they are made.

    Args:
        settings: Which store.
        journal: Of the run; its facts are read.
    """

    def __init__(self, settings: StoreSettings, journal: Journal) -> None:
        load_mlflow(settings)  # here, since whoever waits for the store should not wait for imports
        import mlflow.pyfunc  # noqa: F401 - likewise

        self._settings, self._journal = settings, journal
        self._store: Store | None = None

    def open(self, patience: Patience) -> None:
        """Open the store, made first where it does not exist; see `open_store`.

        A store that was deleted, or restored from a backup, no longer knows the run, or not all of it: then the
        journal's delivery starts again from its first record.
        """
        self._store = open_store(self._settings, create=True, waiting=patience.paused)
        if "run_id" in self._journal.facts:
            with translated(self._settings):
                known = self._knows_everything_sent()
            if not known:
                self._journal.restart()

    def _knows_everything_sent(self) -> bool:
        """Whether the store still has the run with the parameters and the last figures that it was told.

        Raises:
            StoreError: The run was deleted there on purpose.
        """
        from mlflow.exceptions import MlflowException

        run_id = self._journal.facts["run_id"]
        try:
            run = self._client.get_run(run_id)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise
        if run.info.lifecycle_stage == "deleted":
            raise StoreError(
                f"run {run_id} was deleted in the tracking store",
                "restore it: " + self._settings.mlflow_command("runs", "restore", "--run-id", run_id),
                "or give it up: " + self._settings.command("sync", "--discard", run_id[:ID_DIGITS]),
            )
        told = self._journal.records[: self._journal.n_sent]
        params = {name for record in told if record.kind == "params" for name in record.body}
        figures: dict[str, float] = {}
        for record in told:
            if record.kind == "metrics":
                figures |= record.body["values"]
        logged = run.data.metrics
        return params <= run.data.params.keys() and all(
            key in logged and (logged[key] == value or not math.isfinite(value)) for key, value in figures.items()
        )

    def deliver(self, record: Record) -> Mapping[str, str]:
        """Do what `record` says; see Recipient."""
        with translated(self._settings):
            facts: Mapping[str, str] | None = getattr(self, f"_{record.kind}")(record, record.body)
        return facts or {}

    @property
    def _opened(self) -> Store:
        if self._store is None:
            raise RuntimeError("open comes first")
        return self._store

    @property
    def _client(self) -> Any:
        return self._opened.client

    @property
    def _run_id(self) -> str:
        return self._journal.facts["run_id"]

    def _run(self, record: Record, body: dict[str, Any]) -> Mapping[str, str]:
        """Create the run, named after the model and its own id unless the user named it."""
        client, local_id, facts = self._client, body["local_id"], self._journal.facts
        former = {FORMER_ID_TAG: facts.get(FORMER_ID, "")}
        known = client.search_runs([self._opened.experiment_id], f"tags.`{LOCAL_ID}` = '{local_id}'", max_results=1)
        created = (
            known[0]
            if known
            else client.create_run(
                self._opened.experiment_id,
                start_time=record.at,
                tags={tag.key: tag.value for tag in tags({**body["tags"], LOCAL_ID: local_id, **former})},
                run_name=body["name"] or body["model"],
            )
        )
        name = body["name"] or facts.get(NAME) or f"{body['model']}-{created.info.run_id[:NAME_DIGITS]}"
        if not body["name"]:
            client.update_run(created.info.run_id, name=name)
        return {
            "run_id": created.info.run_id,
            NAME: name,
            "artifacts_uri": created.info.artifact_uri,
            "experiment_id": self._opened.experiment_id,
        }

    def _name(self, _record: Record, body: dict[str, Any]) -> Mapping[str, str]:
        self._client.update_run(self._run_id, name=body["name"])
        return {NAME: body["name"]}

    def _again(self, _record: Record, _body: dict[str, Any]) -> None:
        self._client.update_run(self._run_id, status="RUNNING")

    def _params(self, _record: Record, body: dict[str, Any]) -> None:
        from mlflow.entities import Param

        self._client.log_batch(self._run_id, params=[Param(key, value) for key, value in body.items()])

    def _tags(self, _record: Record, body: dict[str, Any]) -> None:
        self._client.log_batch(self._run_id, tags=tags(body))

    def _describe(self, markdown: str) -> None:
        note = {"mlflow.note.content": markdown}
        self._client.log_batch(self._run_id, tags=tags(note))
        if model_id := self._journal.facts.get("model_id"):
            self._client.set_logged_model_tags(model_id, note)

    def _metrics(self, record: Record, body: dict[str, Any]) -> None:
        self._log(record, body["values"], step=body["step"], final=body["final"])

    def _log(self, record: Record, values: Mapping[str, float], *, step: int, final: bool) -> None:
        """Figures at one step; the final ones belong to the logged model and its dataset too."""
        from mlflow.entities import Metric

        facts = self._journal.facts
        about = (facts.get("model_id") if final else None, facts.get("dataset_name"), facts.get("dataset_digest"))
        figures = [Metric(key, value, record.at, step, *about) for key, value in values.items()]
        self._client.log_batch(self._run_id, metrics=figures)

    def _series(self, record: Record, body: dict[str, Any]) -> None:
        """One metric at many steps, a thousand in a call."""
        from mlflow.entities import Metric

        points = [Metric(body["key"], value, record.at, step) for step, value in body["points"]]
        for start in range(0, len(points), SERIES_BATCH):
            self._client.log_batch(self._run_id, metrics=points[start : start + SERIES_BATCH])

    def _dataset(self, _record: Record, body: dict[str, Any]) -> Mapping[str, str]:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        dataset = Dataset(
            name=body["name"],
            digest=body["digest"],
            source_type="local",
            source=body["source"],
            profile=body["profile"],
        )
        known = self._client.get_run(self._run_id).inputs.dataset_inputs
        if not any((one.dataset.name, one.dataset.digest) == (body["name"], body["digest"]) for one in known):
            inputs = [DatasetInput(dataset, [InputTag("mlflow.data.context", body["context"])])]
            self._client.log_inputs(self._run_id, inputs)
        return {"dataset_name": body["name"], "dataset_digest": body["digest"]}

    def _artifacts(self, _record: Record, body: dict[str, Any]) -> None:
        """Everything in a folder that lies beside the journal."""
        self._client.log_artifacts(self._run_id, str(self._journal.path(body["folder"])), body["name"])

    def _begin_model(self, _record: Record, body: dict[str, Any]) -> Mapping[str, str]:
        """Announce a model, so that figures can belong to it before it comes."""
        from mlflow.entities import LoggedModelOutput

        known = self._client.search_logged_models(
            [self._opened.experiment_id], filter_string=f"source_run_id = '{self._run_id}'"
        )
        for model in known:
            if model.tags.get(ATTEMPT) == body["attempt"]:
                break
        else:
            model = self._client.create_logged_model(
                self._opened.experiment_id,
                name=LOGGED_NAME,
                source_run_id=self._run_id,
                params=body["params"],
                tags={ATTEMPT: body["attempt"]},
                model_type="image classifier",
            )
        outputs = self._client.get_run(self._run_id).outputs
        if not any(output.model_id == model.model_id for output in (outputs.model_outputs if outputs else [])):
            self._client.log_outputs(self._run_id, [LoggedModelOutput(model.model_id, step=0)])
        return {"model_id": model.model_id, "model_ready": ""}

    def _model(self, _record: Record, body: dict[str, Any]) -> Mapping[str, str]:
        """Build the MLflow model from the weights beside the journal, and store it as the one announced."""
        model_id = self._journal.facts["model_id"]
        with tempfile.TemporaryDirectory(prefix="cvexp-") as scratch:
            folder = Path(scratch) / "model"
            write_model(
                folder,
                self._journal.path(body["weights"]),
                model_id=model_id,
                run_id=self._run_id,
                image_shape=body["image_shape"],
                n_classes=body["n_classes"],
            )
            self._client.log_model_artifacts(model_id, str(folder))
        self._client.finalize_logged_model(model_id, "READY")
        return {"model_ready": "yes"}

    def _end(self, record: Record, body: dict[str, Any]) -> None:
        """Close the run, with its last figures, and with it a model that never came."""
        facts = self._journal.facts
        if body["metrics"]:
            self._log(record, body["metrics"], step=0, final=True)
        if body["markdown"]:
            self._describe(body["markdown"])
        if facts.get("model_id") and not facts.get("model_ready"):
            self._client.finalize_logged_model(facts["model_id"], "FAILED")
        if body["reason"]:
            self._client.log_batch(self._run_id, tags=tags({"cvexp.end_reason": body["reason"]}))
        started = self._journal.records[0].at
        self._client.set_terminated(self._run_id, body["status"], end_time=max(record.at, started))


def log_file(store: Store, run_id: str, path: Path, *, name: str) -> None:
    """Store a file among the artifacts of a run that has ended, as `name`."""
    with tempfile.TemporaryDirectory(prefix="cvexp-") as scratch, translated(store.settings):
        renamed = shutil.copy(path, Path(scratch) / name)
        store.client.log_artifact(run_id, str(renamed))


def tags(values: Mapping[str, str]) -> list[RunTag]:
    """Tags as MLflow takes them, credentials in URIs left out; empty ones too."""
    from mlflow.entities import RunTag

    return [RunTag(key, without_credentials(value)[:MAX_TAG_CHARACTERS]) for key, value in values.items() if value]
