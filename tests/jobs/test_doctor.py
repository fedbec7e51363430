from __future__ import annotations

import os
import shutil
import socket
import sqlite3
from pathlib import Path

import pytest

from cvexp.jobs import doctor, doctor_machine
from cvexp.settings import store_settings
from cvexp.tracking import health
from cvexp.tracking.finding import Level
from cvexp.tracking.health import store_findings
from cvexp.tracking.liveness import process_tags


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(doctor_machine, "BUSY_SECONDS", 0.0)


def about(findings, topic):
    return [one for one in findings if one.topic == topic]


def problems(findings):
    return [one for one in findings if one.level is Level.PROBLEM]


def state_of(folder):
    return {path: path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


def test_a_sound_store_has_no_problem_and_nothing_is_written(record, cvexp, tmp_path, monkeypatch):
    record("one")
    before = state_of(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    shown = cvexp("doctor")
    assert (shown.code, shown.stderr) == (0, "")
    assert all(len(line) <= 80 for line in shown.stdout.splitlines() if not line.strip().startswith("$ "))
    assert "1 run, 1 experiment" in " ".join(shown.stdout.split())
    topics = {line[9:20].strip() for line in shown.stdout.splitlines()}
    assert topics >= {"store", "schema", "journals", "disk", "versions", "bytecode", "device", "threads", "machine"}
    assert state_of(tmp_path) == before


def test_an_empty_folder_is_worth_a_note(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (found,) = store_findings(store_settings())
    assert (found.level, found.remedy) == (Level.NOTE, "cvexp train linear")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_database_is_a_problem_and_the_exit_code_says_so(record, cvexp):
    record("one")
    content = bytearray(Path("mlflow.db").read_bytes())
    content[8192 : 8192 * 8] = os.urandom(8192 * 7)
    Path("mlflow.db").write_bytes(content)
    found = cvexp("doctor", "--json")
    assert found.code == 4
    assert found.document["problems"] >= 1
    Path("mlflow.db").write_text("no database")
    (one,) = store_findings(store_settings(record.uri))
    assert "not an SQLite database" in one.text


def test_a_locked_database_is_said_to_be_held_within_seconds(record, monkeypatch):
    monkeypatch.setattr(health, "LOCK_SECONDS", 0.1)
    with sqlite3.connect("mlflow.db") as other:
        other.execute("BEGIN EXCLUSIVE")
        (one,) = store_findings(store_settings(record.uri))
    assert "another process holds it" in one.text


def test_a_schema_of_another_version_has_its_remedy(record):
    newest, known = health.schema_versions()
    older = min(known - {newest})
    for version, remedy in {older: "mlflow db upgrade", "0123456789ab": "pip install --upgrade mlflow"}.items():
        with sqlite3.connect("mlflow.db") as database:
            database.execute("UPDATE alembic_version SET version_num = ?", (version,))
        (one,) = about(store_findings(store_settings(record.uri)), "schema")
        assert one.level is Level.PROBLEM
        assert one.remedy.startswith(remedy)


def test_the_newest_schema_is_that_of_a_new_store(record):
    assert record.uri
    with sqlite3.connect("mlflow.db") as database:
        assert database.execute("SELECT version_num FROM alembic_version").fetchone()[0] == health.schema_versions()[0]


def test_runs_of_processes_that_are_gone_are_named(record):
    alive = record("alive", status="RUNNING", tags=process_tags())
    dead = record("dead", status="RUNNING", tags=process_tags() | {"cvexp.process_started": "1.0"})
    gone, left = about(store_findings(store_settings(record.uri)), "runs")
    assert dead[:12] in gone.text
    assert alive[:12] in left.text


def test_many_runs_without_statistics_are_worth_a_note(record, monkeypatch):
    record("one")
    monkeypatch.setattr(health, "MANY_RUNS", 1)
    remedies = [one.remedy for one in store_findings(store_settings(record.uri))]
    assert any("ANALYZE" in remedy for remedy in remedies)


def test_a_store_that_was_moved_is_sent_to_relocate(record, tmp_path):
    run_id = record("one")
    with sqlite3.connect("mlflow.db") as database:
        database.execute("UPDATE runs SET artifact_uri = ?", (f"/moved/mlruns/0/{run_id}/artifacts",))
    (tmp_path / "mlruns/0" / run_id / "artifacts").mkdir(parents=True)
    (one,) = about(store_findings(store_settings()), "artifacts")
    assert one.remedy == "cvexp relocate"


def test_a_server_that_accepts_and_never_answers_is_given_up_in_time(monkeypatch):
    monkeypatch.setattr(health, "ANSWER_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        (one,) = store_findings(store_settings(f"http://127.0.0.1:{server.getsockname()[1]}"))
    assert one.level is Level.PROBLEM
    assert "has not answered" in one.text


def test_a_server_that_is_away_is_a_problem():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    (one,) = store_findings(store_settings(f"http://user:secret@127.0.0.1:{port}"))
    assert "does not answer" in one.text
    assert "secret" not in one.text


def test_a_damaged_journal_has_its_command(record):
    assert record.uri
    settings = store_settings()
    folder = settings.state_dir / "runs" / ("f" * 32)
    folder.mkdir(parents=True)
    (folder / "journal.jsonl").write_text("not JSON\nnot JSON\n")
    (one,) = problems(doctor._of_leftovers(settings))
    assert one.remedy == f"cvexp sync --discard {'f' * 12}"


def test_what_a_killed_export_left_is_named(record, tmp_path):
    left = tmp_path / "models" / ".cvexp-1234"
    left.mkdir(parents=True)
    os.utime(left, (0, 0))
    (one,) = doctor._of_staging(store_settings(record.uri))
    assert one.remedy == f"rm -r {left}"


def test_requirements_that_do_not_hold_are_problems(monkeypatch):
    assert problems(doctor_machine.version_findings()) == []
    monkeypatch.setattr(doctor_machine, "_version", lambda name: "0.1" if name == "mlflow" else "999")
    found = problems(doctor_machine.version_findings())
    assert any(one.remedy.startswith("pip install 'mlflow") for one in found)


def test_missing_bytecode_is_worth_a_note(monkeypatch):
    monkeypatch.setattr(doctor_machine, "_is_compiled", lambda name: name != "torch")
    (one,) = doctor_machine._of_bytecode()
    assert one.level is Level.NOTE
    assert "compileall" in one.remedy


def test_secrets_of_the_environment_are_not_shown(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter2")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:hunter2@host:5000")
    texts = [one.text for one in doctor._of_environment()]
    assert "MLFLOW_TRACKING_URI=http://host:5000" in texts
    assert not any("hunter2" in text for text in texts)


def test_little_room_on_a_disk_is_said(record, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**12, 10**12, 10**8))
    assert all(one.level is Level.PROBLEM for one in doctor._of_disks(store_settings(record.uri)))
