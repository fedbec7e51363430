from __future__ import annotations

import pytest

from cvexp.data.named import locate
from cvexp.data.own.listing import MAX_CLASSES, listing_of
from cvexp.errors import DatasetError


def listed(name="own"):
    return listing_of(locate(name))


@pytest.mark.parametrize("val", ["val", "valid", "validation"])
def test_folders_of_splits_are_listed_by_split_class_and_name(write, val):
    write({"train": 3, val: 1, "test": 2})
    found = listed()
    assert found.class_names == ("one", "two", "zero")
    assert found.splits.tolist() == [0] * 9 + [1] * 3 + [2] * 6
    assert found.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 0, 1, 2, 0, 0, 1, 1, 2, 2]
    assert list(found.names[:3]) == ["train/one/000.png", "train/one/001.png", "train/one/002.png"]


def test_one_folder_of_classes_has_a_fifth_of_each_set_aside_for_testing_always_the_same(write):
    write({".": 10})
    found = listed()
    assert [(found.labels[found.splits == 2] == k).sum() for k in range(3)] == [2, 2, 2]
    assert list(found.names) == list(listed().names)
    assert sorted(found.names) == sorted(f"{name}/{k:03}.png" for name in ("one", "two", "zero") for k in range(10))


def test_files_that_are_no_images_by_their_names_are_counted_and_hidden_ones_are_not(write):
    root = write({"train": 2, "test": 1})
    (root / "train/one/notes.txt").touch()
    (root / "train/one/.DS_Store").touch()
    (root / "train/.hidden").mkdir()
    (root / "labels").mkdir()
    assert listed().n_others == 1


def test_images_below_a_class_at_any_depth_are_its_own(write):
    root = write({"train": 2, "test": 1})
    (root / "train/one/2024").mkdir()
    (root / "train/one/000.png").rename(root / "train/one/2024/000.png")
    assert "train/one/2024/000.png" in listed().names


def test_a_linked_class_is_followed(write, tmp_path):
    root = write({"train": 2, "test": 1})
    (root / "train/one").rename(tmp_path / "elsewhere")
    (root / "train/one").symlink_to(tmp_path / "elsewhere")
    assert len(listed().names) == 9


def test_thousands_of_classes_are_refused_with_the_limit(write):
    root = write({".": 1})
    for k in range(MAX_CLASSES):
        (root / f"{k:04}").mkdir()
        (root / f"{k:04}/x.png").touch()
    with pytest.raises(DatasetError, match="1,003 classes, and 1,000 is the most"):
        listed()
