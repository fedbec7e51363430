from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType

N_RUNS = 24
PURGE = (sys.executable, "-m", "cvexp", "rm", "--where", "params.model = 'mlp'", "--purge", "--yes")


@pytest.mark.slow
def test_a_purge_that_is_killed_several_times_leaves_nothing_half_there_and_is_finished_by_the_same_command(record):
    client = MlflowClient(record.uri)
    kept = record("kept", model="linear")
    client.log_text(kept, "0.5", "weights.txt")
    folders = []
    for n in range(N_RUNS):
        run_id = record(f"run-{n}", model="mlp", seed=n)
        client.log_text(run_id, "0.5", "weights.txt")
        folders.append(Path(client.get_run(run_id).info.artifact_uri).parent)
    assert all(folder.is_dir() for folder in folders)
    for share in (1, N_RUNS // 2):
        with subprocess.Popen(PURGE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            while sum(not folder.exists() for folder in folders) < share and process.poll() is None:
                time.sleep(0.001)
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        listed = {run.info.run_id for run in client.search_runs(["0"], run_view_type=ViewType.ACTIVE_ONLY)}
        assert all(folder.is_dir() for folder in folders if folder.name in listed)
    assert subprocess.run(PURGE, check=False, capture_output=True).returncode == 0
    assert not any(folder.exists() for folder in folders)
    assert [run.info.run_id for run in client.search_runs(["0"], run_view_type=ViewType.ALL)] == [kept]
    assert [one.path for one in client.list_artifacts(kept)] == ["weights.txt"]
