from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cvexp.errors import ConfigError
from cvexp.jobs.staging import LOCK, PREFIX, UNLOCKED_SECONDS, is_left, staging_folder

HOLD = """
import sys, time
from pathlib import Path
from cvexp.jobs.staging import staging_folder
with staging_folder(Path(sys.argv[1])) as folder:
    (folder / "model.onnx").write_text("half")
    print(folder, flush=True)
    time.sleep(60)
"""


def test_the_folder_of_a_killed_process_goes_with_the_next_one_and_that_of_a_living_one_stays(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        folder = Path(process.stdout.readline().strip())
        assert not is_left(folder)
        with staging_folder(tmp_path) as other:
            assert {one.name for one in tmp_path.iterdir()} == {folder.name, other.name}
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert is_left(folder)
    with staging_folder(tmp_path) as other:
        assert [one.name for one in tmp_path.iterdir()] == [other.name]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_a_lock_is_removed_only_when_it_is_old(tmp_path):
    (tmp_path / f"{PREFIX}new").mkdir()
    (tmp_path / f"{PREFIX}old").mkdir()
    long_ago = time.time() - UNLOCKED_SECONDS - 1
    os.utime(tmp_path / f"{PREFIX}old", (long_ago, long_ago))
    with staging_folder(tmp_path):
        pass
    assert [one.name for one in tmp_path.iterdir()] == [f"{PREFIX}new"]


def test_a_link_is_not_followed(tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / LOCK).touch()
    (tmp_path / f"{PREFIX}link").symlink_to(precious)
    with staging_folder(tmp_path):
        pass
    assert precious.is_dir()


def test_a_place_that_cannot_be_written_is_refused():
    with pytest.raises(ConfigError, match="/proc/nowhere"), staging_folder(Path("/proc/nowhere")):
        pass
