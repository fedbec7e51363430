"""Many processes, one store: every record arrives, and arrives once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter

import pytest
from mlflow import MlflowClient

from tests.faults import killing

pytestmark = pytest.mark.slow

N_PROCESSES, N_STEPS, KEYS = 8, 30, [f"figure/{letter}" for letter in "abcdefghij"]
WRITER = """
import sys, time
sys.path.insert(0, sys.argv[1])
from cvexp.events import MetricsLogged, ParamsLogged
from cvexp.settings import store_settings
from cvexp.tracking.outbox import open_run
settings = store_settings(sys.argv[2], sys.argv[6])
with open_run(settings, model=sys.argv[3], name=None, tags={"cvexp.version": "0"}) as run:
    run.emit(ParamsLogged({"writer": sys.argv[3]}))
    for step in range(1, int(sys.argv[4]) + 1):
        run.emit(MetricsLogged(values={key: float(step) for key in sys.argv[7:]}, step=step))
        time.sleep(float(sys.argv[5]))
print(run.journal.unsent)
"""


def write(uri, folder, *, pause=0.0, name="Default"):
    """Start the writers, in the experiment of that name."""
    return [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(killing.ROOT), uri, f"w{number}", str(N_STEPS), str(pause), name, *KEYS],
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(N_PROCESSES)
    ]


def finish(writers):
    left = 0
    for writer in writers:
        out, err = writer.communicate(timeout=240)
        assert writer.returncode == 0, err
        left += int(out.split()[-1])  # from Python, MLflow says where to look at the run
    return left


def lost_and_doubled(uri, experiment="Default"):
    """How many of the points are missing, and how many are there more than once."""
    client = MlflowClient(uri)
    runs = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    assert sorted(run.data.params["writer"] for run in runs) == [f"w{n}" for n in range(N_PROCESSES)]
    assert {run.info.status for run in runs} == {"FINISHED"}
    found = Counter()
    for run in runs:
        for key in KEYS:
            for point in client.get_metric_history(run.info.run_id, key):
                assert point.value == point.step
                found[run.info.run_id, key, point.step] += 1
    expected = N_PROCESSES * N_STEPS * len(KEYS)
    assert expected >= 2400
    return expected - len(found), sum(found.values()) - len(found)


@pytest.mark.parametrize("number", [0, *(pytest.param(n, marks=pytest.mark.campaign) for n in range(1, 10))])
def test_eight_processes_on_a_fresh_store_lose_and_double_nothing(number, tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    finish(write(uri, tmp_path))
    killing.run(["sync", "--tracking-uri", uri], tmp_path)  # what slow disks left over
    assert lost_and_doubled(uri) == (0, 0), number


@pytest.mark.campaign
@pytest.mark.parametrize("number", range(10))
def test_neither_through_a_server_that_is_killed_and_restarted_meanwhile(running, number, tmp_path):
    writers = write(running.uri, tmp_path, pause=0.4)
    time.sleep(6 + number / 2)
    running.kill()
    time.sleep(2)
    running.start()
    finish(writers)
    code, out, err = killing.run(["sync", "--tracking-uri", running.uri], tmp_path)
    assert code == 0, out + err
    assert lost_and_doubled(running.uri) == (0, 0), number
