"""The journal: what is in it after any end of the process, and that it says things once."""

from __future__ import annotations

import io

import pytest

from cvexp.errors import RunError, StorageError
from cvexp.tracking.journal import JOURNAL, SENT, Journal


def filled(folder, n_records=3):
    journal = Journal(folder)
    for n in range(n_records):
        assert journal.append("tags", f"tags {n}", {"n": n, "text": "ü\n\x1b"}, at=1000 + n)
    return journal


def test_what_was_appended_is_read_back_by_another_process(tmp_path):
    first = filled(tmp_path)
    first.mark_sent(first.records[0], {"run_id": "abc"})
    again = Journal(tmp_path)
    assert again.records == first.records
    assert (again.n_sent, again.unsent, again.facts) == (1, 2, {"run_id": "abc"})


def test_a_key_is_told_once_also_by_a_later_process(tmp_path):
    filled(tmp_path)
    again = Journal(tmp_path)
    assert not again.append("tags", "tags 1", {"n": "other"}, at=5)
    assert [record.body["n"] for record in Journal(tmp_path).records] == [0, 1, 2]


@pytest.mark.parametrize("n_bytes", [1, 5, 40])
def test_a_last_line_that_was_cut_short_is_dropped(tmp_path, n_bytes):
    filled(tmp_path)
    file = tmp_path / JOURNAL
    content = file.read_bytes()
    file.write_bytes(content[:-n_bytes])
    journal = Journal(tmp_path)
    assert len(journal.records) == 2
    assert journal.append("tags", "tags 2", {"n": 2, "text": "ü\n\x1b"}, at=1002)
    assert file.read_bytes() == content


def test_a_line_that_is_damaged_in_the_middle_is_an_error_that_names_it(tmp_path):
    filled(tmp_path)
    lines = (tmp_path / JOURNAL).read_bytes().splitlines(keepends=True)
    (tmp_path / JOURNAL).write_bytes(lines[0] + b"{broken\n" + lines[2])
    with pytest.raises(RunError, match=r"journal\.jsonl, line 2"):
        Journal(tmp_path)


def test_a_disk_that_takes_a_part_of_a_line_leaves_none_of_it(tmp_path, monkeypatch):
    journal = filled(tmp_path)
    before = (tmp_path / JOURNAL).read_bytes()

    class Full(io.FileIO):
        def write(self, content):
            return super().write(content[:5])

    with monkeypatch.context() as patched:
        patched.setattr("cvexp.tracking.journal._opened", lambda file: Full(file, "ab"))
        with pytest.raises(StorageError, match="No space left"):
            journal.append("tags", "tags 9", {}, at=1)
    assert (tmp_path / JOURNAL).read_bytes() == before
    assert len(journal.records) == 3
    assert journal.append("tags", "tags 9", {}, at=1)


def test_flush_puts_everything_so_far_on_the_disk_once(tmp_path, monkeypatch):
    flushed = []
    monkeypatch.setattr("cvexp.tracking.journal.os.fsync", lambda _: flushed.append((tmp_path / JOURNAL).read_bytes()))
    journal = filled(tmp_path, 2)
    assert not flushed
    journal.flush()
    journal.flush()
    journal.append("tags", "tags 9", {}, at=1)
    journal.flush()
    assert [content.count(b"\n") for content in flushed] == [2, 3]


def test_a_disk_that_takes_no_more_makes_flush_fail_until_it_does(tmp_path, monkeypatch):
    journal = filled(tmp_path)

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("cvexp.tracking.journal.os.fsync", full)
        for _ in range(2):
            with pytest.raises(StorageError, match="No space left"):
                journal.flush()
    journal.flush()


def test_a_moved_folder_goes_on(tmp_path):
    folder = tmp_path / "before"
    folder.mkdir()
    journal = filled(folder)
    journal.move(tmp_path / "after")
    journal.append("tags", "more", {}, at=1)
    assert len(Journal(tmp_path / "after").records) == 4
    assert not folder.exists()


def test_the_status_is_what_the_last_opening_or_ending_says(tmp_path):
    journal = Journal(tmp_path)
    seen = []
    for number, (kind, body) in enumerate(
        [("run", {}), ("metrics", {}), ("end", {"status": "KILLED"}), ("tags", {}), ("again", {}), ("tags", {})]
    ):
        journal.append(kind, str(number), body, at=1)
        seen.append(journal.status)
    assert seen == ["RUNNING", "RUNNING", "KILLED", "KILLED", "RUNNING", "RUNNING"]
    assert not (tmp_path / SENT).exists()


def test_a_record_that_is_interrupted_is_there_and_known_or_neither(tmp_path, monkeypatch):
    journal = filled(tmp_path)
    before = (tmp_path / JOURNAL).read_bytes()

    class Interrupted(io.FileIO):
        def write(self, content):
            super().write(content)
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("cvexp.tracking.journal._opened", lambda file: Interrupted(file, "ab"))
        with pytest.raises(KeyboardInterrupt):
            journal.append("tags", "late", {}, at=1)
    assert (tmp_path / JOURNAL).read_bytes() == before
    assert journal.append("tags", "late", {}, at=1)
    assert [record.n for record in Journal(tmp_path).records] == [0, 1, 2, 3]
