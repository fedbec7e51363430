from __future__ import annotations

from pathlib import Path

import pytest

from cvexp.data.named import class_names_of, is_here, locate
from cvexp.errors import DatasetError


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def test_a_registered_name_comes_before_a_folder_of_that_name(here):
    (here / "digits").mkdir()
    assert locate("digits") is None
    assert locate("./digits").path == Path("digits")
    assert locate(str(here / "digits")).kind == "folder"


def test_a_relative_path_begins_here_and_then_in_the_data_directory(here, tmp_path):
    data = tmp_path / "data"
    (data / "pets").mkdir(parents=True)
    assert locate("pets", data).path == data / "pets"
    (here / "pets").mkdir()
    assert locate("pets", data).path == Path("pets")


def test_a_prefix_says_what_a_path_is(here):
    (here / "a:b.csv").touch()
    assert locate("csv:a:b.csv")[1:] == ("csv", Path("a:b.csv"))
    with pytest.raises(DatasetError, match="there is no folder x here or in"):
        locate("hf:x")


def test_what_is_not_here_is_told_with_the_flag_that_says_where_to_look(tmp_path):
    with pytest.raises(DatasetError, match="unknown dataset: 'pets'") as refused:
        locate("pets", tmp_path / "data")
    assert "--data-dir" in refused.value.hints[-1]
    with pytest.raises(DatasetError, match="there is no folder shop/pets here or in") as refused:
        locate("shop/pets", tmp_path / "data")
    assert "--data-dir" in refused.value.hints[0]


def test_whether_a_dataset_is_here_and_its_classes_are_known_without_reading_images(here, tmp_path):
    for name in ("train/b/1.png", "train/a/1.png", "test/a/1.png", "test/b/1.png"):
        (here / "own" / name).parent.mkdir(parents=True)
        (here / "own" / name).touch()
    assert class_names_of("./own", tmp_path) == ("a", "b")
    assert class_names_of("digits", tmp_path) == tuple("0123456789")
    assert [is_here(name, tmp_path) for name in ("./own", "digits", "kmnist", "./none")] == [True, True, False, False]
