"""Checkpoints that other machines reach: whole or absent, checked before they are read, and no burden on training."""

from __future__ import annotations

import hashlib
import json
import pickle
import threading
from dataclasses import asdict

import pytest
import torch

from cvexp.config import run_config
from cvexp.config.checkpoint import CheckpointPolicy
from cvexp.errors import ConfigError, RunError, WeightsError
from cvexp.training import shared
from cvexp.training.request import REQUEST, Request
from cvexp.training.shared import SharedFolder, Sharing, check_shared
from tests.training.test_checkpoints import after, plain

RUN = "ab" * 16
ASKED = Request(
    config=run_config({"model": "linear", "dataset": "digits"}),
    threads=1,
    evaluation_threads=1,
    policy="by model size",
    dataset_digest="d" * 64,
)
REQUESTED = json.dumps(asdict(ASKED), default=dict)


@pytest.fixture(params=["file", "memory"])
def folder(request, tmp_path):
    """A shared folder on the disk, and one in an object store of fsspec's own."""
    yield SharedFolder(str(tmp_path / "shared") if request.param == "file" else f"memory://{tmp_path}")
    if request.param == "memory":
        from fsspec.implementations.memory import MemoryFileSystem

        MemoryFileSystem.store.clear()


def names(folder):
    return folder._names(RUN)


def test_the_newest_checkpoint_comes_back_whole(folder):
    for n_epochs in (1, 2, 3):
        folder.save(RUN, after(n_epochs), REQUESTED, keep=None)
    found = folder.newest(RUN)
    assert torch.equal(found.checkpoint.fit["model"]["weight"], torch.full((50,), 3.0))
    assert plain(found.checkpoint.history) == plain(after(3).history)
    assert found.checkpoint.seconds == 3.0
    assert found.request == ASKED
    assert len(names(folder)) == 2


def test_as_many_stay_as_are_to_be_kept(folder):
    for n_epochs in (1, 2, 3, 4):
        folder.save(RUN, after(n_epochs), REQUESTED, keep=1)
    assert [name[:11] for name in names(folder)] == ["epoch-00005"]
    folder.remove(RUN)
    assert names(folder) == []


def test_a_checkpoint_that_a_store_tore_gives_way_to_the_one_before(folder):
    for n_epochs in (1, 2):
        folder.save(RUN, after(n_epochs), REQUESTED, keep=None)
    torn = names(folder)[0]
    content = folder._system.cat_file(f"{folder._root}/{RUN}/{torn}")
    folder._system.pipe_file(f"{folder._root}/{RUN}/{torn}", content[:-9])
    assert folder.newest(RUN).checkpoint.fit["epoch"] == 2
    for name in names(folder):
        folder._system.pipe_file(f"{folder._root}/{RUN}/{name}", b"")
    with pytest.raises(WeightsError):
        folder.newest(RUN)


class Evil:
    def __reduce__(self):
        return (pytest.fail, ("code from a checkpoint was run",))


def test_a_pickle_is_not_unpickled_though_its_name_has_its_digest(folder):
    content = pickle.dumps({"fit": Evil()})
    folder._write(RUN, f"epoch-00002-step-00000000-{hashlib.sha256(content).hexdigest()}.pt", content)
    with pytest.raises(WeightsError, match="read safely"):
        folder.newest(RUN)


def test_a_checkpoint_of_another_run_is_refused(folder):
    folder.save(RUN, after(1), REQUESTED, keep=None)
    (name,) = names(folder)
    other = "cd" * 16
    folder._write(other, name, folder._system.cat_file(f"{folder._root}/{RUN}/{name}"))
    with pytest.raises(WeightsError, match="of another run"):
        folder.newest(other)


def test_what_is_no_run_and_what_is_no_checkpoint_is_not_looked_at(folder):
    folder._write(RUN, "epoch-1.pt", b"x")
    assert folder.newest(RUN) is None
    assert folder.newest("../" + RUN) is None
    assert folder.newest("0" * 32) is None


def test_a_request_that_nobody_could_type_is_refused(folder):
    asked = json.loads(REQUESTED)
    asked["config"]["batch_size"] = -1
    for request, error in ((json.dumps(asked), ConfigError), ("{", RunError)):
        folder.save(RUN, after(1), request, keep=1)
        with pytest.raises(error):
            folder.newest(RUN)
        folder.remove(RUN)


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("nosuch://bucket", "nosuch"),
        ("simplecache::s3://bucket", "one path or URL"),
        ("   ", "one path or URL"),
        ("FILE/below", "Not a directory"),
        ("gs://bucket/x", "pip install gcsfs"),
    ],
)
def test_an_address_that_cannot_be_written_is_refused_before_training(url, named, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError) as refused:
        check_shared(CheckpointPolicy(shared=url.replace("FILE", str(tmp_path / "file"))))
    lines = refused.value.lines()
    assert named in " ".join(lines)
    assert len(lines) <= 3


def test_the_check_leaves_nothing_behind(folder):
    folder.check()
    assert folder._system.ls(folder._root, detail=False) == []


def test_a_store_that_fails_is_said_and_forgotten_once_it_takes_a_checkpoint(tmp_path, monkeypatch):
    (tmp_path / REQUEST).write_text(REQUESTED)
    folder = SharedFolder(str(tmp_path / "shared"))
    sharing = Sharing(folder, run=RUN, run_folder=tmp_path, keep=None)

    def fails(*_arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(folder, "_write", fails)
        sharing.copy(after(1))
        sharing.finish()
    assert sharing.failure == "No space left on device"
    sharing.copy(after(2))
    sharing.finish()
    assert sharing.failure == ""
    assert folder.newest(RUN).checkpoint.fit["epoch"] == 3


def test_a_store_that_hangs_holds_up_neither_the_next_checkpoint_nor_the_end(tmp_path, monkeypatch):
    (tmp_path / REQUEST).write_text(REQUESTED)
    monkeypatch.setattr(shared, "WAIT_SECONDS", 0.1)
    folder = SharedFolder(str(tmp_path / "shared"))
    sharing = Sharing(folder, run=RUN, run_folder=tmp_path, keep=None)
    write, begun, free = folder._write, threading.Event(), threading.Event()
    monkeypatch.setattr(folder, "_write", lambda *arguments: (begun.set(), free.wait(20), write(*arguments)))
    sharing.copy(after(1))
    assert begun.wait(20)
    for n_epochs in (2, 3):
        sharing.copy(after(n_epochs))
    sharing.finish()
    assert "within 0.1 s" in sharing.failure
    free.set()
    monkeypatch.setattr(shared, "WAIT_SECONDS", 20)
    sharing.finish()
    assert [name[:11] for name in names(folder)] == ["epoch-00004", "epoch-00002"]  # the one between was overtaken
    assert sharing.failure == ""
