from __future__ import annotations

import pytest

from cvexp.data.named import locate
from cvexp.data.own.listing import listing_of
from cvexp.errors import DatasetError


def listed(text, folder):
    (folder / "list.csv").write_text(text, encoding="utf-8-sig")
    return listing_of(locate(f"csv:{folder / 'list.csv'}"))


def test_the_columns_say_where_the_images_are_what_they_show_and_their_split(write):
    root = write({"a": 3})
    lines = [
        *("Label,Path,split", "ü,a/one/000.png,train", 'x,"a/zero/001.png",test', "ü,a/one/001.png,Valid"),
        "x,./a/two/../zero/000.png,train",
    ]
    found = listed("\n".join(lines), root)
    assert found.class_names == ("x", "ü")
    assert list(found.names) == ["a/one/000.png", "a/zero/000.png", "a/one/001.png", "a/zero/001.png"]
    assert (found.labels.tolist(), found.splits.tolist()) == ([1, 0, 1, 0], [0, 0, 1, 2])
    assert found.reader.read(1) == (root / "a/zero/000.png").read_bytes()


def test_without_a_split_column_a_fifth_of_each_class_is_for_testing(write):
    root = write({"a": 5})
    rows = [f"a/{name}/00{k}.png,{name}" for k in range(5) for name in ("one", "two")]
    found = listed("\n".join(["path,label", *rows]), root)
    assert [(found.labels[found.splits == 2] == k).sum() for k in range(2)] == [1, 1]


def test_a_link_out_of_the_folder_is_refused(write, tmp_path):
    root = write({"a": 1})
    outside = tmp_path / "outside"
    (root / "a/one").rename(outside)
    (root / "a/one").symlink_to(outside)
    with pytest.raises(DatasetError, match="a/one is a link out of the file's folder"):
        listed("path,label,split\na/one/000.png,1,train\na/two/000.png,2,train\na/two/000.png,2,test", root)
