"""How a training ends that cannot go on, or must not: exit code, status, what is kept, and what is said."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import time

import pytest
import torch
from mlflow import MlflowClient

from tests.faults import killing

pytestmark = pytest.mark.slow

LINEAR = ["train", "linear", "--dataset", "digits", "--device", "cpu", "--epochs", "3"]
LONG = ["train", "tinyvgg", "--dataset", "mnist-5k", "--epochs", "200", "--device", "cpu", "--threads", "1"]


def complaint(err):
    """What stands on stderr from the first `error:` on."""
    lines = err[err.index("error:") :].splitlines()
    assert len(lines) <= 3, lines
    assert "Traceback" not in err
    return "\n".join(lines)


def the_run(folder):
    return killing.logged(folder)[0]


def checkpoints(folder):
    return list(folder.glob(".cvexp/runs/*/checkpoints/*.pt"))


def wait_for_checkpoint(folder, seconds=120):
    deadline = time.monotonic() + seconds
    while not checkpoints(folder):
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("signame", "code"),
    [("SIGTERM", 143), *(pytest.param(*one, marks=pytest.mark.campaign) for one in (("SIGINT", 130), ("SIGHUP", 129)))],
)
def test_a_signal_ends_the_training_between_two_steps(signame, code, tmp_path):
    process = killing.start(LONG, tmp_path)
    wait_for_checkpoint(tmp_path)
    start = time.monotonic()
    process.send_signal(getattr(signal, signame))
    found, _, err = killing.finish(process)
    assert time.monotonic() - start < 12
    assert found == code
    said = complaint(err)
    assert f"interrupted by {signame}" in said
    assert "kept as of epoch" in said
    run = the_run(tmp_path)
    assert f"go on: cvexp train --resume {run.info.run_id[:12]}" in said
    assert run.info.status == "KILLED"
    state = torch.load(max(checkpoints(tmp_path), key=lambda file: file.name), weights_only=True)["fit"]
    assert f"kept as of epoch {state['epoch']}, step {state['step']} of 125" in said or not state["step"]
    assert not killing.leftovers(tmp_path)


@pytest.mark.parametrize(
    ("signame", "code"), [("SIGINT", 130), pytest.param("SIGTERM", 143, marks=pytest.mark.campaign)]
)
def test_a_second_signal_leaves_at_once_with_the_last_checkpoint_whole(signame, code, tmp_path):
    # The first signal comes from within a long step, so that it cannot be obeyed before the second one.
    slow = "import sys, time; sys.path.insert(0, sys.argv[1]); import cvexp.engine.backends.captured as c\n"
    slow += "run = c.CapturedSteps.run\n"
    slow += "def slowed(self, *a):\n    global n\n    n += 1\n"
    slow += "    if n > 40: print('deep', flush=True); time.sleep(60)\n"
    slow += "    return run(self, *a)\nn = 0\nc.CapturedSteps.run = slowed\n"
    slow += "import cvexp.engine.fit; cvexp.engine.fit.CALL_SECONDS = 0.02\n"
    slow += "from cvexp.cli.main import run as cli; sys.exit(cli(sys.argv[2:]))"
    process = subprocess.Popen(
        [killing.sys.executable, "-c", slow, str(killing.ROOT), *LONG],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=killing.heeding,
    )
    assert process.stdout.readline() == "deep\n"
    process.send_signal(getattr(signal, signame))
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(getattr(signal, signame))
    start = time.monotonic()
    _, err = process.communicate(timeout=30)
    assert time.monotonic() - start < 2
    assert process.returncode == code
    assert "stopped at once" in complaint(err)
    for file in checkpoints(tmp_path):
        assert killing.hashlib.sha256(file.read_bytes()).hexdigest() in file.name
    # The next command that meets the run says in the store that it is over.
    assert the_run(tmp_path).info.status == "RUNNING"
    killing.run(["compare"], tmp_path)
    assert the_run(tmp_path).info.status == "KILLED"
    assert the_run(tmp_path).data.tags["cvexp.end_reason"] == "the process is gone"


def test_a_loss_that_is_no_number_stops_the_training_and_keeps_the_last_finite_checkpoint(tmp_path):
    code, _, err = killing.run([*LINEAR, "--lr", "1e30"], tmp_path)
    assert code == 1
    said = complaint(err)
    assert "the training loss is nan at epoch 1, step" in said
    assert "of 45" in said
    assert "--allow-nan" in said
    run = the_run(tmp_path)
    assert run.info.status == "FAILED"
    assert "the training loss is nan" in run.data.tags["cvexp.end_reason"]
    code, out, err = killing.run([*LINEAR, "--lr", "1e30", "--allow-nan", "--json"], tmp_path)
    assert code == 0, err
    assert json.loads(out)["history"][0]["train/loss"] is None


def test_memory_that_ends_is_one_line_with_a_way_out(tmp_path):
    words = ["train", "mlp", "--dataset", "mnist-5k", "--device", "cpu", "--step", "eager"]
    words += ["--hidden-units", "60000", "--batch-size", "4000"]
    code, _, err = run_limited(words, tmp_path, resource.RLIMIT_AS, 6 * 2**30)
    assert code == 1
    assert "out of memory" in complaint(err)
    assert "--hidden-units" in complaint(err)
    assert the_run(tmp_path).info.status == "FAILED"


def run_limited(words, folder, limit, size):
    """A command under a limit of the system's."""

    def apply():
        resource.setrlimit(limit, (size, size))

    done = subprocess.run(
        [killing.sys.executable, str(killing.LAUNCH), "-", "0", "SIGKILL", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(killing.ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        preexec_fn=apply,
        timeout=240,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.campaign
def test_a_limit_on_the_size_of_files_ends_the_training_and_keeps_the_checkpoint_before(tmp_path):
    killing.run([*LINEAR, "--epochs", "1"], tmp_path)  # so that the store is there
    words = ["train", "mlp", "--dataset", "digits", "--device", "cpu", "--epochs", "3", "--hidden-units", "7000"]
    code, _, err = run_limited(words, tmp_path, resource.RLIMIT_FSIZE, 2_000_000)
    assert code == 1, err
    assert "File too large" in complaint(err)
    assert not checkpoints(tmp_path)
    assert not killing.leftovers(tmp_path)
    runs = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db").search_runs(["0"])
    (run,) = [run for run in runs if "mlp" in run.info.run_name]
    assert run.info.status == "FAILED"


@pytest.fixture
def disk(tmp_path, request):
    """A file system with the options that the test asks for; making one takes a privilege."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", request.param, "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a tmpfs is not allowed here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("disk", ["size=4m"], indirect=True)
def test_a_full_disk_ends_the_training_and_keeps_the_checkpoint_before(disk):
    words = ["train", "mlp", "--dataset", "digits", "--device", "cpu", "--epochs", "60", "--hidden-units", "150"]
    filler = disk / "filler"
    process = killing.start([*words, "--optimizer", "adam"], disk)
    wait_for_checkpoint(disk)
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as stream:
        while True:
            stream.write(bytes(4096))
    code, _, err = killing.finish(process)
    assert code == 1, err
    assert "No space left on device" in complaint(err)
    assert not killing.leftovers(disk)
    for file in checkpoints(disk):
        assert killing.hashlib.sha256(file.read_bytes()).hexdigest() in file.name
    assert checkpoints(disk)
    filler.unlink()
    code, out, err = killing.run(["train", "--resume", "@last", "--json"], disk)
    assert code == 0, err
    assert len(json.loads(out)["history"]) == 60


@pytest.mark.parametrize("disk", ["size=1m,ro"], indirect=True)
def test_a_folder_that_cannot_be_written_to_is_bad_input(disk):
    code, _, err = killing.run(LINEAR, disk)
    assert code == 2
    assert str(disk) in complaint(err)


@pytest.mark.campaign
def test_a_clock_that_is_set_back_disturbs_neither_times_nor_the_order_of_figures(tmp_path):
    code = "import sys, time; sys.path.insert(0, sys.argv[1]); real = time.time\n"
    code += "start = real(); time.time = lambda: real() - (86400 if real() > start + 4 else 0)\n"
    code += "from cvexp.cli.main import run as cli; sys.exit(cli(sys.argv[2:]))"
    words = ["train", "tinyvgg", "--dataset", "mnist-5k", "--epochs", "6", "--device", "cpu", "--threads", "1"]
    done = subprocess.run(
        [killing.sys.executable, "-c", code, str(killing.ROOT), *words], cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    run, history = killing.logged(tmp_path)
    assert run.info.end_time >= run.info.start_time
    assert [step for step, _ in history["train/loss"]] == [1, 2, 3, 4, 5, 6]
    assert run.data.metrics["train/loss"] == history["train/loss"][-1][1]
    assert all(value > 0 for _, value in history["time/epoch_seconds"])


@pytest.mark.campaign
def test_eight_trainings_at_once_on_a_store_that_does_not_exist_yet(tmp_path):
    processes = [killing.start([*LINEAR, "--seed", str(seed)], tmp_path) for seed in range(8)]
    for process in processes:
        code, _, err = killing.finish(process)
        assert code == 0, err
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    runs = client.search_runs(["0"])
    assert [run.info.status for run in runs] == ["FINISHED"] * 8
    for run in runs:
        assert [m.step for m in client.get_metric_history(run.info.run_id, "train/loss")] == [1, 2, 3]


@pytest.mark.campaign
def test_a_finished_run_is_trained_on_when_more_epochs_are_asked_for(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder in (whole, parts):
        folder.mkdir()
    killing.run([*LINEAR, "--epochs", "5", "--keep", "1", "--optimizer", "adam"], whole)
    killing.run([*LINEAR, "--epochs", "2", "--keep", "1", "--optimizer", "adam"], parts)
    code, _, err = killing.run(["train", "--resume", "@last"], parts)
    assert code == 2
    assert "larger --epochs" in complaint(err)
    killing.resume(parts, "--epochs", "5")
    expected, found = killing.fingerprint(whole), killing.fingerprint(parts)
    for part in ("state", "generators", "weights", "status"):
        assert found[part] == expected[part], part
    assert found["figures"]["train/loss"] == expected["figures"]["train/loss"]
    assert found["params"]["epochs"] == "2"
    assert the_run(parts).data.tags["cvexp.epochs"] == "5"


def test_a_run_that_is_being_trained_cannot_be_resumed(tmp_path):
    process = killing.start(LONG, tmp_path)
    wait_for_checkpoint(tmp_path)
    code, _, err = killing.run(["train", "--resume", "@last"], tmp_path)
    process.send_signal(signal.SIGKILL)
    killing.finish(process)
    assert code == 2
    assert "is being written by another process" in complaint(err)


def test_a_training_under_nohup_outlives_its_terminal(tmp_path):
    process = subprocess.Popen(
        [killing.sys.executable, str(killing.LAUNCH), "-", "0", "SIGKILL", *LONG],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(killing.ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    wait_for_checkpoint(tmp_path)
    process.send_signal(signal.SIGHUP)
    time.sleep(1)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 143
