from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from cvexp import files


@pytest.mark.parametrize("step", [(os, "fsync"), (Path, "replace")], ids=["flushing", "renaming"])
@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()], ids=repr)
def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, step, failure):
    def fail(*_args):
        raise failure

    path = tmp_path / "card.json"
    files.write_atomically(path, b"old")
    with monkeypatch.context() as patch:
        patch.setattr(*step, fail)
        with pytest.raises(type(failure)):
            files.write_atomically(path, b"new")
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"old"


def test_what_a_killed_writer_left_is_removed_and_nothing_else(tmp_path, monkeypatch):
    left = []

    def killed(file, _target):
        left.append(file)
        raise SystemExit

    folder = tmp_path / "artifacts"
    folder.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        patch.setattr(Path, "unlink", lambda _file: None)
        with pytest.raises(SystemExit):
            files.write_atomically(folder / "card.json", b"half")
    others = [folder / ".hidden", folder / ".card.json.abc", folder / "card.json.0123456789abcdef"]
    for file in others:
        file.write_bytes(b"")
    assert left[0].exists()
    files.remove_temporaries(tmp_path)
    assert sorted(folder.iterdir()) == sorted(others)
