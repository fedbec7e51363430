"""An experiment file whose command is killed: the same command again goes on with the run that was under way."""

from __future__ import annotations

import json
import signal

import pytest
from mlflow import MlflowClient

from tests.faults import killing

FILE = """
experiment: killed
defaults: {dataset: digits, epochs: 3, device: cpu, threads: 1}
runs: [{model: linear, seed: 1}, {model: linear, seed: 2}]
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("point", "nth"),
    [
        pytest.param("evaluated", 2, marks=pytest.mark.campaign),
        ("evaluated", 5),
        pytest.param("drawing", 1, marks=pytest.mark.campaign),
    ],
)
def test_a_killed_command_leaves_no_half_run_behind_when_it_is_typed_again(tmp_path, point, nth):
    (tmp_path / "file.yaml").write_text(FILE)
    process = killing.start(["run", "file.yaml"], tmp_path, point=point, nth=nth)
    code, _, err = killing.finish(process)
    assert code == -signal.SIGKILL, err
    code, out, err = killing.run(["run", "file.yaml", "--json"], tmp_path)
    assert code == 0, err
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("killed").experiment_id])
    assert {run.info.run_id for run in runs} == {run["run_id"] for run in json.loads(out)["runs"]}
    assert [run.info.status for run in runs] == ["FINISHED"] * 2
    for run in runs:
        steps = [figure.step for figure in client.get_metric_history(run.info.run_id, "train/loss")]
        assert steps == [1, 2, 3]
