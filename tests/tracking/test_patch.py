"""Uncommitted changes that are kept with a run: a patch that applies, without secrets and large files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest

from cvexp.errors import RunError
from cvexp.tracking import patch
from cvexp.tracking.patch import Changes, changed_files, changes_here, read_changes, write_changes

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not here")


def git(*words, **options):
    subprocess.run(["git", *words], check=True, capture_output=True, timeout=60, **options)


def commit():
    git("add", "-A")
    git("-c", "user.name=x", "-c", "user.email=x@example.org", "commit", "-qm", "first")


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A clean repository with one commit, as the working folder; the user's own git settings are none."""
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, os.devnull)
    folder = tmp_path / "repository"
    (folder / "net").mkdir(parents=True)
    monkeypatch.chdir(folder)
    git("init", "-q")
    (folder / "net" / "model.py").write_text("width = 10\n")
    (folder / "gone.py").write_text("old = True\n")
    (folder / "settings.yaml").write_text("epochs: 3\n")
    commit()
    return folder


def test_a_clean_repository_has_no_changes(repository):
    assert not changes_here()


def test_outside_a_repository_there_is_nothing_to_tell(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)
    assert changes_here() is None


def test_the_patch_applies_to_the_commit_and_gives_the_files(repository, monkeypatch):
    changed = "width = 12\nname = 'größe'\n"
    (repository / "net" / "model.py").write_text(changed)
    (repository / "gone.py").unlink()
    monkeypatch.chdir(repository / "net")
    changes = changes_here()
    write_changes(repository / ".git" / "kept", changes)
    git("checkout", "--", ":/")
    git("apply", str(repository / ".git" / "kept" / patch.PATCH), cwd=repository)
    assert (repository / "net" / "model.py").read_text() == changed
    assert not (repository / "gone.py").exists()
    assert changed_files(changes, changes_here()) == ()


def test_files_that_may_hold_secrets_are_left_out_and_have_no_digest(repository):
    for name in (".env", "deploy.pem", "id_rsa"):
        (repository / name).write_text("-\n")
    (repository / "client.py").write_text("url = ''\n")
    (repository / "login.py").write_text("\n")
    commit()
    for name in (".env", "deploy.pem", "id_rsa"):
        (repository / name).write_text("swordfish-1\n")
    (repository / "client.py").write_text("url = 'https://me:swordfish-1@example.org'\n")
    (repository / "login.py").write_text('api_key = "swordfish-1"\n')
    (repository / "net" / "model.py").write_text("best = sorted(runs, key=rank)\n")
    changes = changes_here()
    assert dict.fromkeys(changes.left_out.values()) == {"may hold a secret": None}
    assert set(changes.left_out) == {".env", "deploy.pem", "id_rsa", "client.py", "login.py"}
    assert "swordfish" not in changes.patch
    assert "+best = sorted(runs, key=rank)" in changes.patch
    assert set(changes.files) == {"net/model.py"}


def test_large_files_and_files_that_are_no_text_are_left_out(repository, monkeypatch):
    monkeypatch.setattr(patch, "MAX_FILE_BYTES", 1024)
    for name in ("big.csv", "weights.bin", "latin.txt"):
        (repository / name).write_text("")
    commit()
    (repository / "big.csv").write_text("1,2\n" * 1000)
    (repository / "weights.bin").write_bytes(b"\0\1\2")
    (repository / "latin.txt").write_bytes(b"gr\xf6\xdfe\n")
    changes = changes_here()
    assert changes.left_out == {"big.csv": "larger than 1 KiB", "latin.txt": "not text", "weights.bin": "not text"}
    assert changes.patch == ""
    assert set(changes.files) == set(changes.left_out)


def test_a_patch_that_grows_too_large_ends_before_the_file_that_does_not_fit(repository, monkeypatch):
    (repository / "gone.py").write_text("a = 1\n")
    (repository / "net" / "model.py").write_text("b = 2\n" * 200)
    (repository / "settings.yaml").write_text("c: 3\n")
    monkeypatch.setattr(patch, "MAX_PATCH_BYTES", 600)
    changes = changes_here()
    assert set(changes.left_out) == {"net/model.py", "settings.yaml"}
    assert changes.patch.count("diff --git") == 1
    assert len(changes.patch) < 600


def test_untracked_files_are_named_without_the_store(repository):
    (repository / "own.py").write_text("x = 1\n")
    (repository / "notes").mkdir()
    (repository / "notes" / "today.txt").write_text("hello")
    (repository / "mlflow.db").write_text("")
    (repository / "mlruns").mkdir()
    (repository / "mlruns" / "file").write_text("")
    changes = changes_here()
    assert set(changes.untracked) == {"notes/", "own.py"}
    assert set(changes.files) == {"own.py"}
    assert "hello" not in changes.patch


@pytest.mark.parametrize("folder", [".", "net"])
def test_the_code_of_logged_models_is_not_the_repository_s(repository, folder):
    before = changes_here()
    store = repository / folder
    code = store / "mlruns" / "0" / "models" / "m-1" / "artifacts" / "code"
    code.mkdir(parents=True)
    (code / "__init__.py").write_text("")
    (store / "mlflow.db").write_text("")
    changes = changes_here()
    assert not changes
    assert changed_files(before, changes) == ()


def test_changed_files_are_named_across_commits(repository):
    before = changes_here()
    (repository / "net" / "model.py").write_text("width = 12\n")
    commit()
    (repository / "settings.yaml").write_text("epochs: 4\n")
    assert changed_files(before, changes_here()) == ("net/model.py", "settings.yaml")


def test_what_git_s_settings_do_to_a_diff_does_not_matter(repository, tmp_path):
    marker = tmp_path / "marker"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch '{marker}'\n")
    program.chmod(0o755)
    (repository / ".gitattributes").write_text("*.py diff=theirs\n")
    commit()
    for name, value in {
        "diff.external": str(program),
        "diff.theirs.command": str(program),
        "diff.theirs.textconv": str(program),
        "core.pager": str(program),
        "core.fsmonitor": str(program),
        "diff.noprefix": "true",
        "color.ui": "always",
    }.items():
        git("config", name, value)
    (repository / "net" / "model.py").write_text("width = 12\n")
    assert changes_here().patch.startswith("diff --git a/net/model.py b/net/model.py\n")
    assert not marker.exists()


def test_a_repository_whose_files_are_elsewhere_is_not_read(repository, tmp_path):
    git("config", "core.worktree", str(tmp_path))
    assert changes_here() is None


def test_files_that_pass_through_the_repository_s_programs_are_not_read(repository):
    git("config", "filter.theirs.clean", "false")
    assert changes_here() is None


def test_what_was_written_is_read_back(tmp_path):
    changes = Changes(commit="0" * 40, patch="diff\n", files={"a": "1"}, untracked=("b",), left_out={"c": "large"})
    write_changes(tmp_path / "code", changes)
    assert read_changes(tmp_path / "code") == changes


@pytest.mark.parametrize(
    "damage", [{"files": []}, {"untracked": [1]}, {"commit": None}, {"left_out": {"a": 2}}, 3, None]
)
def test_a_damaged_record_is_refused(tmp_path, damage):
    write_changes(tmp_path, Changes(commit="0" * 40))
    summary = json.loads((tmp_path / patch.SUMMARY).read_text())
    (tmp_path / patch.SUMMARY).write_text(json.dumps(summary | damage if isinstance(damage, dict) else damage))
    with pytest.raises(RunError, match="damaged"):
        read_changes(tmp_path)
