"""A real Ray cluster of two nodes on this machine, and what may happen to it. Minutes each, so `campaign`:

pip install 'cvexp[ray]'
CVEXP_CUTS=10 pytest -n0 -m campaign tests/faults/test_ray_cluster.py     # as root, for network namespaces
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from cvexp.tracking.journal import Journal
from tests.faults.two_nodes import TwoNodes, can_make_namespaces

pytest.importorskip("ray", reason="the extra cvexp[ray] is not installed")
pytestmark = [
    pytest.mark.campaign,
    pytest.mark.skipif(not can_make_namespaces(), reason="network namespaces take root"),
]
CUTS = int(os.environ.get("CVEXP_CUTS", "3"))
CUT_SECONDS = 180
FILE = """
experiment: {experiment}
defaults: {{dataset: digits, device: cpu, epochs: 100000, max_time: {minutes}, batch_size: 64}}
grid:
  model: [linear]
  lr: {lrs}
"""


LIST = """
import sys, mlflow
client = mlflow.MlflowClient(sys.argv[1])
for run in client.search_runs([client.get_experiment_by_name(sys.argv[2]).experiment_id]):
    tags, info = run.data.tags, run.info
    print(tags.get("cvexp.trial"), info.status, info.end_time, info.start_time, tags.get("cvexp.continues", ""))
"""


class Study:
    """An experiment file on the cluster, and its store: an MLflow server on node 0."""

    def __init__(self, nodes, folder, uri):
        self.nodes, self.folder, self.uri = nodes, folder, uri

    def begin(self, *, n_trials, seconds, env=None):
        """Start the driver; each trial trains for so many seconds."""
        lrs = [round(0.01 + 0.001 * n, 4) for n in range(n_trials)]
        (self.folder / "study.yaml").write_text(FILE.format(experiment=self.folder.name, minutes=seconds / 60, lrs=lrs))
        self.out = (self.folder / "driver.log").open("w+")
        words = ["-m", "cvexp", "run", "study.yaml", "--executor", "ray", "--address", self.nodes.address, "--lean"]
        words = [sys.executable, *words, "--tracking-uri", self.uri]
        self.driver = self.nodes.popen(0, words, env=env, cwd=self.folder, stdout=self.out, stderr=self.out)

    @property
    def log(self):
        return Path(self.out.name).read_text()

    def sync(self, node):
        """Deliver what waits in a node's folder."""
        words = [sys.executable, "-m", "cvexp", "sync", "--tracking-uri", self.uri, "--experiment", self.folder.name]
        return self.nodes.run(node, words, cwd=self.folder, capture_output=True, text=True)

    def _listed(self):
        words = [sys.executable, "-c", LIST, self.uri, self.folder.name]
        printed = self.nodes.run(0, words, capture_output=True, text=True, check=True).stdout
        return [line.split() for line in printed.splitlines() if line.strip()]

    def runs(self):
        """Trial, status and end (in ms since 1970) of every run in the store."""
        return [tuple(run[:3]) for run in self._listed()]

    def finished(self):
        """Of each FINISHED run, whether it continues another, and the seconds that it took."""
        ended = [run for run in self._listed() if run[1] == "FINISHED"]
        return [(len(run) > 4, (int(run[2]) - int(run[3])) / 1000) for run in ended]

    def checkpoints(self, node):
        """The runs under way on a node that have a checkpoint."""
        return {file.parents[1] for file in self.nodes.state(node).glob("runs/*/checkpoints/*.pt")}

    def workers(self, node):
        """The processes on a node that train."""
        found = []
        for pid in self.nodes.pids(node):
            with contextlib.suppress(psutil.Error):
                if "cvexp.executors.worker" in " ".join(psutil.Process(pid).cmdline()):
                    found.append(pid)
        return found

    def wait(self, condition, *, seconds, what):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"{what}\n{self.log}"
            time.sleep(0.3)


@pytest.fixture(scope="module")
def _cluster(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cluster")
    with TwoNodes(folder) as nodes, nodes.server(folder / "server") as uri:
        yield nodes, uri


@pytest.fixture
def study(_cluster, tmp_path):
    nodes, uri = _cluster
    nodes.mend()
    if not nodes.is_up(1):
        nodes.kill(1)
        nodes.start(1)
    for node in (0, 1):
        shutil.rmtree(nodes.state(node), ignore_errors=True)
    made = Study(nodes, tmp_path, uri)
    yield made
    made.driver.kill()
    made.driver.wait()


def _assert_one_finished_run_each(study, n_trials):
    runs = study.runs()
    finished = Counter(trial for trial, status, _ in runs if status == "FINISHED")
    assert (len(finished), set(finished.values())) == (n_trials, {1}), runs
    assert not [run for run in runs if run[1] == "RUNNING"], runs


def test_a_node_that_is_killed_half_way_costs_no_trial(study):
    study.begin(n_trials=20, seconds=2)
    study.wait(lambda: "10/20" in study.log and study.workers(1), seconds=600, what="half of the trials")
    study.nodes.kill(1)
    assert study.driver.wait(900) == 0, study.log
    assert "is lost" in study.log
    _assert_one_finished_run_each(study, 20)


def test_trials_of_a_killed_node_are_continued_from_checkpoints_that_are_shared(study):
    shared = study.folder / "shared"
    study.begin(n_trials=2, seconds=40, env={"CVEXP_CHECKPOINTS": str(shared)})
    study.wait(
        lambda: study.checkpoints(1) and len(list(shared.glob("*/*.pt"))) > 2, seconds=300, what="both are shared"
    )
    time.sleep(20)
    study.nodes.kill(1)
    assert study.driver.wait(600) == 0, study.log
    _assert_one_finished_run_each(study, 2)
    (_, whole), (continues, rest) = sorted(study.finished())
    assert continues
    assert rest < 0.75 * whole
    assert not list(shared.glob("*/*.pt"))


@pytest.mark.parametrize("n", range(CUTS))
def test_a_cable_that_is_cut_for_three_minutes_leaves_one_finished_run_for_each_trial(study, n):
    """Every other time the orphan finishes during the cut; else it still trains when the cable is mended."""
    n_trials, seconds = (4, 30) if n % 2 == 0 else (2, CUT_SECONDS + 20)
    study.begin(n_trials=n_trials, seconds=seconds)
    study.wait(lambda: study.checkpoints(0) and study.checkpoints(1), seconds=900, what="both nodes train")
    orphans = study.workers(1)
    study.nodes.cut()
    time.sleep(CUT_SECONDS)
    assert "is lost" in study.log
    assert set(orphans) <= set(study.workers(1))
    study.nodes.mend()
    study.wait(lambda: not study.workers(1), seconds=120, what="the orphan leaves")
    assert study.driver.wait(1800) == 0, study.log  # what an epoch records takes longer than the epoch
    synced = study.sync(1)
    assert synced.returncode == 0, synced.stderr
    _assert_one_finished_run_each(study, n_trials)


def test_ctrl_c_leaves_every_run_killed_with_a_checkpoint_within_ten_seconds(study):
    study.begin(n_trials=4, seconds=600)
    study.wait(lambda: study.checkpoints(0) and study.checkpoints(1), seconds=900, what="both nodes train")
    asked = time.time()
    study.driver.send_signal(signal.SIGINT)
    assert study.driver.wait(120) == 128 + signal.SIGINT, study.log
    waited = time.time() - asked
    runs = study.runs()
    killed = max(int(end) / 1000 for _, _, end in runs) - asked
    print(f"KILLED after {killed:.1f} s; the command ended after {waited:.1f} s")  # noqa: T201 - the campaign's figures
    assert [status for _, status, _ in runs] == ["KILLED", "KILLED"]
    assert len(study.checkpoints(0)) == len(study.checkpoints(1)) == 1
    assert not study.workers(0) + study.workers(1)
    assert killed < 10


def test_a_driver_that_is_killed_leaves_no_worker_behind_and_the_same_command_goes_on(study):
    study.begin(n_trials=4, seconds=10)
    study.wait(lambda: study.checkpoints(0) and study.checkpoints(1), seconds=900, what="both nodes train")
    study.driver.kill()
    study.driver.wait()
    study.wait(lambda: not study.workers(0) + study.workers(1), seconds=60, what="the workers leave")
    for node in (0, 1):
        journals = [Journal(folder) for folder in study.checkpoints(node)]
        assert [journal.status for journal in journals] == ["KILLED"]
    study.begin(n_trials=4, seconds=10)
    assert study.driver.wait(600) == 0, study.log
    _assert_one_finished_run_each(study, 4)
