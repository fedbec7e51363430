"""The journal: what is in it after any end of the process, and that it says things once."""

from __future__ import annotations

import io

import pytest

from cvexp.errors import RunError, StorageError
from cvexp.events import MetricsLogged, RunEnded, RunResumed, RunStarted, TagsSet
from cvexp.tracking.journal import JOURNAL, SENT, Journal, run_lock


def filled(folder, n_records=3):
    journal = Journal(folder)
    for n in range(n_records):
        assert journal.append(TagsSet({"n": str(n), "text": "ü\n\x1b"}), key=f"tags {n}", at=1000 + n)
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
    assert not again.append(TagsSet({"n": "other"}), key="tags 1", at=5)
    assert [event.values["n"] for event in Journal(tmp_path).of_type(TagsSet)] == ["0", "1", "2"]


@pytest.mark.parametrize("n_bytes", [1, 5, 40])
def test_a_last_line_that_was_cut_short_is_dropped(tmp_path, n_bytes):
    filled(tmp_path)
    file = tmp_path / JOURNAL
    content = file.read_bytes()
    file.write_bytes(content[:-n_bytes])
    journal = Journal(tmp_path)
    assert len(journal.records) == 2
    assert journal.append(TagsSet({"n": "2", "text": "ü\n\x1b"}), key="tags 2", at=1002)
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
            journal.append(TagsSet({}), key="tags 9", at=1)
    assert (tmp_path / JOURNAL).read_bytes() == before
    assert len(journal.records) == 3
    assert journal.append(TagsSet({}), key="tags 9", at=1)


def test_flush_puts_everything_so_far_on_the_disk_once(tmp_path, monkeypatch):
    flushed = []
    monkeypatch.setattr("cvexp.tracking.journal.os.fsync", lambda _: flushed.append((tmp_path / JOURNAL).read_bytes()))
    journal = filled(tmp_path, 2)
    assert not flushed
    journal.flush()
    journal.flush()
    journal.append(TagsSet({}), key="tags 9", at=1)
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
    journal.append(TagsSet({}), key="more", at=1)
    assert len(Journal(tmp_path / "after").records) == 4
    assert not folder.exists()


def test_the_status_is_what_the_last_opening_or_ending_says(tmp_path):
    journal = Journal(tmp_path)
    seen = []
    start = RunStarted(model="linear", tags={}, local_id="0")
    figures, tags = MetricsLogged(values={}, step=1), TagsSet({})
    for number, event in enumerate([start, figures, RunEnded(status="KILLED"), tags, RunResumed(), tags]):
        journal.append(event, key=str(number), at=1)
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
            journal.append(TagsSet({}), key="late", at=1)
    assert (tmp_path / JOURNAL).read_bytes() == before
    assert journal.append(TagsSet({}), key="late", at=1)
    assert [record.n for record in Journal(tmp_path).records] == [0, 1, 2, 3]


def test_reading_a_journal_that_another_process_writes_changes_nothing(tmp_path):
    filled(tmp_path).mark_sent(Journal(tmp_path).records[0], {})
    for name in (JOURNAL, SENT):
        with (tmp_path / name).open("ab") as live:
            live.write(b'{"n": 3, "at": 5')  # the writer has got this far
    before = {name: (tmp_path / name).read_bytes() for name in (JOURNAL, SENT)}
    assert len(Journal(tmp_path).records) == 3
    assert {name: (tmp_path / name).read_bytes() for name in (JOURNAL, SENT)} == before


def test_an_incomplete_last_line_is_cut_off_when_the_lock_s_holder_appends(tmp_path):
    filled(tmp_path)
    with (tmp_path / JOURNAL).open("ab") as crashed:
        crashed.write(b'{"n": 3, "at": 5')
    journal = Journal(tmp_path)
    journal.append(TagsSet({}), key="next", at=9)
    assert [record.key for record in Journal(tmp_path).records] == ["tags 0", "tags 1", "tags 2", "next"]


@pytest.mark.parametrize(
    "line",
    [
        b'{"n": 1, "at": "soon", "kind": "tags", "key": "k", "body": {}}\n',
        b'{"n": 1, "at": 1, "kind": "__init__", "key": "k", "body": {}}\n',
        b'{"n": 1, "at": 1, "kind": "tags", "key": "k", "body": []}\n',
        b'{"n": 1, "at": 1, "kind": "artifacts", "key": "k", "body": {"folder": "../secret", "name": null}}\n',
        b'{"n": 1, "at": 1, "kind": "artifacts", "key": "k", "body": {"folder": "/etc", "name": null}}\n',
        b'{"n": 1, "at": 1, "kind": "artifacts", "key": "k", "body": {"folder": "a\\\\..\\\\..\\\\b", "name": null}}\n',
        b'{"n": 1, "at": 1, "kind": "model", "key": "k", "body": {"weights": 3}}\n',
        b'{"n": 1, "at": 1, "kind": "tags", "key": "k", "body": {"epochs": 3}}\n',
        b'{"n": 1, "at": 1, "kind": "metrics", "key": "k", "body": {"values": {"a": "1"}, "step": 1}}\n',
        b'{"n": 1, "at": 1, "kind": "metrics", "key": "k", "body": {"values": {"a": 1.0}}}\n',
        b'{"n": 1, "at": 1, "kind": "series", "key": "k", "body": {"key": "a", "points": [[1, 2, 3]]}}\n',
        b'{"n": 1, "at": 1, "kind": "series", "key": "k", "body": {"key": "a", "points": [[1, 1%s]]}}\n' % (b"0" * 400),
        b'{"n": 1, "at": 1, "kind": "run", "key": "k", "body": %s}\n'
        % b'{"model": "a", "tags": {}, "local_id": "b", "schema_version": 2}',
    ],
)
def test_a_record_of_another_shape_or_with_a_path_that_leads_out_is_refused(tmp_path, line):
    filled(tmp_path, 1)
    with (tmp_path / JOURNAL).open("ab") as stream:
        stream.write(line)
    with pytest.raises(RunError, match=r"damaged journal: .*line 2"):
        Journal(tmp_path)


def test_a_symbolic_link_is_neither_appended_to_nor_delivered(tmp_path):
    mine, theirs = tmp_path / "run", tmp_path / "diary.txt"
    (mine / "figures").mkdir(parents=True)
    theirs.write_text("dear diary")
    (mine / "figures" / "note.txt").symlink_to(theirs)
    journal = filled(mine)
    with pytest.raises(RunError, match="symbolic link"):
        journal.path("figures")
    (mine / SENT).symlink_to(theirs)
    with pytest.raises(StorageError):
        journal.mark_sent(journal.records[0], {})
    assert theirs.read_text() == "dear diary"


def test_a_delivery_that_restarts_keeps_the_name_and_the_former_id(tmp_path):
    journal = filled(tmp_path)
    journal.mark_sent(journal.records[0], {"run_id": "abc", "name": "first", "experiment_id": "1"})
    journal.restart()
    again = Journal(tmp_path)
    assert (again.unsent, again.run_id, again.facts.get("name")) == (3, "abc", "first")
    assert "experiment_id" not in again.facts
    again.mark_sent(again.records[0], {"run_id": "def"})
    assert (Journal(tmp_path).unsent, Journal(tmp_path).run_id) == (2, "def")


def test_a_run_whose_folder_is_gone_cannot_be_locked_and_stays_gone(tmp_path):
    with pytest.raises(RunError, match="left nothing"), run_lock(tmp_path / "runs" / "abc"):
        pass
    assert not (tmp_path / "runs").exists()
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match="left nothing"), run_lock(tmp_path / "empty"):
        pass
    assert not (tmp_path / "empty").exists()
