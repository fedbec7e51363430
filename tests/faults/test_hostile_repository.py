"""A repository that somebody else made, in the working folder: asking git about it starts none of its programs."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from cvexp.tracking.context import context_tags

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not here")


def git(folder, *words):
    subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=60)


def commit(folder):
    who = ("-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "protocol.file.allow=always")
    git(folder, "add", "-A")
    git(folder, *who, "commit", "-qm", "first")


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A clean repository with one commit; the user's own git settings are none."""
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, os.devnull)
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / "data.csv").write_text("1,2\n")
    commit(folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def program(tmp_path):
    """A program that leaves a mark, and passes its input on."""
    file = tmp_path / "program"
    file.write_text(f"#!/bin/sh\ntouch '{tmp_path / 'marker'}'\n[ $# -gt 0 ] || cat\n")
    file.chmod(0o755)
    return file


def touched(folder):
    """Make git look into the file again, without changing it."""
    os.utime(folder / "data.csv", (1, 1))


def monitor(folder, program):
    git(folder, "config", "core.fsmonitor", str(program))


def clean_filter(folder, program, kind="clean"):
    (folder / ".gitattributes").write_text("*.csv filter=theirs\n")
    commit(folder)
    git(folder, "config", f"filter.theirs.{kind}", str(program))
    touched(folder)


def process_filter(folder, program):
    clean_filter(folder, program, "process")


def included_filter(folder, program):
    clean_filter(folder, program)
    (folder / ".git" / "more").write_text((folder / ".git" / "config").read_text())
    git(folder, "config", "--unset", "filter.theirs.clean")
    git(folder, "config", "include.path", "more")


def hook(folder, program):
    shutil.copy(program, folder / ".git" / "hooks" / "post-index-change")
    touched(folder)


def hooks_path(folder, program):
    (folder / "hooks").mkdir()
    shutil.copy(program, folder / "hooks" / "post-index-change")
    commit(folder)
    git(folder, "config", "core.hooksPath", str(folder / "hooks"))
    touched(folder)


def submodule(folder, program):
    inner = folder / "inner"
    inner.mkdir()
    git(inner, "init", "-q")
    (inner / "data.csv").write_text("3,4\n")
    commit(inner)
    (folder / ".gitmodules").write_text('[submodule "inner"]\n\tpath = inner\n\turl = ./inner\n')
    commit(folder)
    clean_filter(inner, program)
    (inner / ".git" / "info").mkdir(exist_ok=True)
    git(inner, "config", "core.fsmonitor", str(program))


def missing_object(folder, program):
    """One of git's objects is missing, and a program brings it."""
    tree = subprocess.run(["git", "rev-parse", "HEAD^{tree}"], cwd=folder, check=True, capture_output=True, text=True)
    name = tree.stdout.strip()
    (folder / ".git" / "objects" / name[:2] / name[2:]).unlink()
    (folder / "data.csv").write_text("changed\n")
    for key, value in {
        "core.repositoryFormatVersion": "1",
        "extensions.partialClone": "origin",
        "remote.origin.promisor": "true",
        "remote.origin.url": str(folder),
        "remote.origin.uploadPack": str(program),
    }.items():
        git(folder, "config", key, value)


PLANTS = (monitor, clean_filter, process_filter, included_filter, hook, hooks_path, submodule, missing_object)


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_the_program_would_be_started_by_a_plain_git_status(plant, repository, program):
    plant(repository, program)
    words = ["git", "status", "--porcelain"]
    subprocess.run(words, cwd=repository, check=False, capture_output=True, stdin=subprocess.DEVNULL, timeout=60)
    assert program.with_name("marker").exists()


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_the_repository_starts_no_program(plant, repository, program):
    plant(repository, program)
    tags = context_tags(["cvexp"])
    assert not program.with_name("marker").exists()
    unknown = (clean_filter, process_filter, included_filter, missing_object)
    # The submodule stands at another commit than the repository has of it.
    expected = "unknown" if plant in unknown else "true" if plant is submodule else "false"
    assert tags["cvexp.git_dirty"] == expected
    assert len(tags["mlflow.source.git.commit"]) == 40


def test_a_filter_of_the_users_own_settings_is_used(repository, tmp_path, monkeypatch):
    """As large files are kept out of many repositories."""
    settings = tmp_path / "gitconfig"
    settings.write_text('[filter "upper"]\n\tclean = tr a-z A-Z\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    (repository / ".gitattributes").write_text("*.csv filter=upper\n")
    (repository / "data.csv").write_text("a,b\n")
    commit(repository)
    (repository / "data.csv").write_text("A,b\n")
    assert context_tags(["cvexp"])["cvexp.git_dirty"] == "false"
    (repository / "data.csv").write_text("c,b\n")
    assert context_tags(["cvexp"])["cvexp.git_dirty"] == "true"


def test_a_file_whose_name_is_no_text_is_a_change_like_any_other(repository):
    odd = os.fsencode(repository) + b"/\xff.csv"
    with open(odd, "w") as stream:  # noqa: PTH123 - a name of bytes
        stream.write("1")
    commit(repository)
    git(repository, "config", "core.quotePath", "false")
    with open(odd, "w") as stream:  # noqa: PTH123 - likewise
        stream.write("2 and more")
    assert context_tags(["cvexp"])["cvexp.git_dirty"] == "true"
