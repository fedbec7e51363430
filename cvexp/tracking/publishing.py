"""A comparison put where MLflow's pages show it: report and picture as artifacts, a link in the experiment, tags."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from cvexp.runs import FRONT
from cvexp.text import clean
from cvexp.tracking.artifacts import local_path, located
from cvexp.tracking.delivery import delivered_now
from cvexp.tracking.mlflow_errors import translated
from cvexp.tracking.views import TRAINING_PAGES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cvexp.comparison.tables import Table
    from cvexp.runs import RunSummary
    from cvexp.tracking.store import Store

LONGEST_NAME = 200
FOLDER, REPORT, PICTURE = "comparison", "report.html", "compare"
NOTE = "mlflow.note.content"
_OWN_NOTE = re.compile(r"Newest comparison of \d+ runs?: \[report\]\(#/experiments/\w+/runs/\w+/artifacts/[\w/.?=]+\)")


def publish_comparison(store: Store, runs: Sequence[RunSummary], *, html: str, picture: Path | None = None) -> str:
    """Store the report and the picture among the artifacts of the newest of the runs compared; returns its id.

    An earlier comparison stored with that run is replaced. The run's experiment links to the report in its description,
    unless the user wrote one.

    Args:
        store: Where the runs are.
        runs: At least one.
        html: A page that stands alone.
        picture: Of any kind.

    Raises:
        StoreError: The store cannot be written.
    """
    newest = located(store, max(runs, key=lambda run: run.started_at))
    with translated(store.settings), tempfile.TemporaryDirectory(prefix="cvexp-") as scratch:
        made = Path(scratch)
        (made / REPORT).write_text(html, encoding="utf-8")
        if picture is not None:
            shutil.copy(picture, made / f"{PICTURE}{picture.suffix}")
        folder = local_path(newest.artifacts_uri)
        if folder is not None and folder.is_dir():
            shutil.copytree(made, folder / FOLDER, dirs_exist_ok=True)
        else:
            store.client.log_artifacts(newest.run_id, str(made), FOLDER)
        _describe(store, newest, len(runs))
    return newest.run_id


def _describe(store: Store, run: RunSummary, n_runs: int) -> None:
    """Link to the report in the experiment's description, where that is empty or such a link."""
    written = store.client.get_experiment(run.experiment_id).tags.get(NOTE, "")
    if written and not _OWN_NOTE.fullmatch(written):
        return
    page = f"#/experiments/{run.experiment_id}/runs/{run.run_id}/artifacts/{FOLDER}/{REPORT}?{TRAINING_PAGES}"
    note = f"Newest comparison of {n_runs} run{'' if n_runs == 1 else 's'}: [report]({page})"
    store.client.set_experiment_tag(run.experiment_id, NOTE, note)


def tag_front(store: Store, tables: Sequence[Table]) -> int:
    """Write `yes`, or `no: beaten by NAME`, to each run of the tables whose group is placed, and count them.

    Tags that are right already are not written again.

    Raises:
        StoreError: The store cannot be written.
    """
    from cvexp.tracking.mlflow_sink import tags

    written = 0
    for table in tables:
        for group in table.groups:
            standing = table.front.of(group.label)
            if standing.on_front is None:
                continue
            value = "yes" if standing.on_front else f"no: beaten by {clean(standing.dominated_by)[:LONGEST_NAME]}"
            for run in (one for one in group.runs if not one.export):
                if run.tags.get(FRONT) != value:
                    with translated(store.settings):
                        store.client.log_batch(run.run_id, metrics=[delivered_now()], tags=tags({FRONT: value}))
                    written += 1
    return written
