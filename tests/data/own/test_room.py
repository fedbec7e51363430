"""Old caches make room for new ones; what a process has in use stays."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from cvexp.data.own import room
from cvexp.errors import ConfigError
from cvexp.settings import IMAGE_CACHE_GB, image_cache_dir, image_cache_limit


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A folder for caches, none of which this process has in use."""
    monkeypatch.setattr(room, "_held", {})
    return tmp_path


def cache(root, key, *, n_bytes=1000, used=0):
    (root / key).mkdir()
    (root / key / "images.npy").write_bytes(bytes(n_bytes - 2))
    (root / key / room.MANIFEST).write_bytes(b"{}")
    os.utime(root / key / room.MANIFEST, ns=(used, used))


def left(root):
    return sorted(folder.name for folder, _ in room.caches(root))


def test_the_one_used_longest_ago_goes_first_and_only_as_many_as_have_to(root, monkeypatch):
    monkeypatch.setenv(IMAGE_CACHE_GB, "3e-6")
    for key, used in (("a", 30), ("b", 10), ("c", 20)):
        cache(root, key, used=used)
    room.make_room(root, 0)
    assert left(root) == ["a", "b", "c"]
    room.make_room(root, 1)
    assert left(root) == ["a", "c"]
    room.make_room(root, 1500)
    assert left(root) == ["a"]


def test_a_cache_in_use_stays_whatever_the_limit_and_counts_as_used_last(root, monkeypatch):
    monkeypatch.setenv(IMAGE_CACHE_GB, "0")
    cache(root, "a")
    cache(root, "b")
    room.hold(root / "a")
    room.make_room(root, 10)
    assert left(root) == ["a"]
    assert (root / "a" / room.MANIFEST).stat().st_mtime > 0
    room._held.popitem()[1].close()  # as the end of the process does
    room.make_room(root, 10)
    assert left(root) == []


@pytest.mark.skipif(sys.platform == "win32", reason="there, what is mapped cannot be removed")
def test_a_cache_that_another_process_has_in_use_stays(root, monkeypatch):
    monkeypatch.setenv(IMAGE_CACHE_GB, "0")
    cache(root, "a")
    code = f"import fcntl, sys; f = open({str(root / 'a' / room.MANIFEST)!r}); fcntl.flock(f, fcntl.LOCK_SH)"
    code += "; print('held', flush=True); sys.stdin.read()"
    words = [sys.executable, "-S", "-c", code]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        room.make_room(root, 10)
        assert left(root) == ["a"]
        other.communicate()
    room.make_room(root, 10)
    assert left(root) == []


def test_a_cache_that_was_made_again_is_the_one_in_use(root):
    cache(root, "a")
    room.hold(root / "a")
    before = room._held[root / "a"]
    (root / "a").rename(root / "gone")
    with pytest.raises(OSError, match="a"):
        room.hold(root / "a")
    cache(root, "a")
    room.hold(root / "a")
    assert room._held[root / "a"] is not before


def test_what_killed_processes_left_is_removed_unless_one_is_at_work_there(root):
    from filelock import FileLock

    for name in (".a.0123", ".b.4567"):
        (root / name).mkdir()
        (root / name / "images.npy").write_bytes(b"1")
    with FileLock(root / "b.lock"):
        room.make_room(root, 0)
        assert [path.name for path in root.glob(".*")] == [".b.4567"]
    room.make_room(root, 0)
    assert not [*root.glob(".*")]


def test_without_a_limit_half_of_the_disk_that_they_could_have_is_the_most(root, monkeypatch):
    monkeypatch.delenv(IMAGE_CACHE_GB, raising=False)
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: SimpleNamespace(free=9000))
    cache(root, "a")
    assert room.limit(root) == 5000
    monkeypatch.setattr(room, "MARGIN_BYTES", 100)
    room.make_room(root, 8900)
    assert left(root) == []


@pytest.mark.parametrize("typed", ["much", "-1", "nan", "inf"])
def test_a_limit_that_is_no_number_is_refused(typed, monkeypatch):
    monkeypatch.setenv(IMAGE_CACHE_GB, typed)
    with pytest.raises(ConfigError, match="not a number of gigabytes"):
        image_cache_limit()


def test_a_new_dataset_takes_the_room_of_an_old_one_and_the_list_says_how_much_is_taken(write, own, cvexp, monkeypatch):
    write({"train": 3, "test": 1})
    old = own(side=16).cached.folder
    for stream in room._held.values():
        stream.close()
    monkeypatch.setattr(room, "_held", {})
    monkeypatch.setenv(IMAGE_CACHE_GB, "2e-6")
    new = own(side=8).cached
    assert (old.exists(), new.was_there) == (False, False)
    assert cvexp("data", "--json").document["decoded"] == {
        "folder": str(image_cache_dir()),
        "n_sets": 1,
        "n_bytes": room.cached_bytes(new.folder),
        "limit": 2000,
    }
    listed = cvexp("data")
    assert ": 1 set, " in listed.stderr
    assert "of at most 2.0 kB" in " ".join(listed.stderr.split())
