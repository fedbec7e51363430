from __future__ import annotations

import gzip

import numpy as np
import pytest

from cvexp.data.dataset import load
from cvexp.data.sources import NotThisDataset
from cvexp.errors import DatasetError
from cvexp.settings import data_dir

TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
PLACES = [".", "FashionMNIST/raw", "tiny"]


def flipped(content, where):
    changed = bytearray(content)
    changed[where] ^= 1
    return bytes(changed)


def assert_is(arrays, tiny):
    for array, name in (
        (arrays.train_images, TRAIN_IMAGES),
        (arrays.train_labels, TRAIN_LABELS),
        (arrays.test_images, TEST_IMAGES),
        (arrays.test_labels, TEST_LABELS),
    ):
        expected = tiny.arrays[name]
        is_images = expected.ndim == 3
        assert array.dtype == (np.uint8 if is_images else np.int64)
        np.testing.assert_array_equal(array, expected[:, None] if is_images else expected)


@pytest.mark.parametrize("gz", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("place", PLACES)
def test_the_files_are_found_where_they_may_lie_and_read_value_for_value(tmp_path, tiny, place, gz):
    folder = tiny.write(tmp_path / place, gz=gz)
    source = tiny.source()
    assert source.find(tmp_path) == [str(folder)]
    assert_is(source.read(str(folder)), tiny)


def test_the_data_directory_comes_before_what_debian_installed(tmp_path, tiny, debian):
    folders = [tmp_path / "data" / place for place in PLACES] + [debian / "tiny"]
    for folder in reversed(folders):
        tiny.write(folder, gz=True)
    assert tiny.source().find(tmp_path / "data") == [str(folder) for folder in folders]


def test_some_files_may_be_packed_and_others_plain(tmp_path, tiny):
    tiny.write(tmp_path, gz=True)
    tiny.write(tmp_path)
    for name in (TRAIN_IMAGES, TEST_LABELS):
        (tmp_path / name).unlink()
    assert_is(tiny.source().read(str(tmp_path)), tiny)


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_that_lacks_a_file_is_passed_over_and_reading_it_names_the_file(tmp_path, tiny, name):
    tiny.write(tmp_path)
    (tmp_path / name).unlink()
    source = tiny.source()
    assert source.find(tmp_path) == []
    with pytest.raises(DatasetError) as caught:
        source.read(str(tmp_path))
    assert caught.value.lines() == [f"missing file: {tmp_path / name}", "run: cvexp data tiny"]


PLAIN_DAMAGE = {
    "empty": (lambda content: content[:0], "0 bytes where"),
    "truncated": (lambda content: content[:-1], "bytes where"),
    "header only": (lambda content: content[:4], "4 bytes where"),
    "too long": (lambda content: content + b"\0", "more than"),
    "wrong magic": (lambda content: flipped(content, 2), "header"),
    "wrong count": (lambda content: flipped(content, 7), "header"),
    "first value flipped": (lambda content: flipped(content, 4 + 4 * content[3]), "sha256"),
    "last value flipped": (lambda content: flipped(content, -1), "sha256"),
}
GZ_DAMAGE = {
    "empty": lambda packed: packed[:0],
    "truncated": lambda packed: packed[:-1],
    "cut in half": lambda packed: packed[: len(packed) // 2],
    "not gzip": lambda packed: b"x" + packed[1:],
    "a bit flipped in the middle": lambda packed: flipped(packed, len(packed) // 2),
    "no such kind of block": lambda packed: packed[:10] + b"\xff" + packed[11:],
    "checksum flipped": lambda packed: flipped(packed, -5),
    "another value inside": lambda packed: gzip.compress(flipped(gzip.decompress(packed), -1)),
    "more inside": lambda packed: gzip.compress(gzip.decompress(packed) + b"\0"),
    "garbage behind": lambda packed: packed + b"\0\0garbage",
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("damage", "reason"), PLAIN_DAMAGE.values(), ids=PLAIN_DAMAGE)
def test_a_damaged_plain_file_is_named_with_the_reason_and_the_way_out(tmp_path, tiny, name, damage, reason):
    tiny.write(tmp_path)
    (tmp_path / name).write_bytes(damage(tiny.contents[name]))
    source = tiny.source()
    assert source.find(tmp_path) == [str(tmp_path)]
    with pytest.raises(DatasetError, match=reason) as caught:
        source.read(str(tmp_path))
    complaint, remedy = caught.value.lines()
    assert complaint.startswith(f"damaged file: {tmp_path / name}: ")
    assert remedy.startswith("delete it, then run: cvexp data")


@pytest.mark.parametrize("name", [TRAIN_IMAGES, TEST_LABELS])
@pytest.mark.parametrize("gz_only", [False, True], ids=["plain digest", "gz digest"])
@pytest.mark.parametrize("damage", GZ_DAMAGE.values(), ids=GZ_DAMAGE)
def test_a_damaged_packed_file_is_named(tmp_path, tiny, name, gz_only, damage):
    path = tiny.write(tmp_path, gz=True) / f"{name}.gz"
    path.write_bytes(damage(tiny.packed(name)))
    source = tiny.source(gz_only=gz_only)
    assert source.find(tmp_path) == [str(tmp_path)]
    with pytest.raises(DatasetError) as caught:
        source.read(str(tmp_path))
    assert caught.value.lines()[0].startswith(f"damaged file: {path}: ")


def test_packing_again_does_not_matter_where_the_contents_digest_is_known(tmp_path, tiny):
    tiny.write(tmp_path, gz=True)
    for name in NAMES:
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(tiny.contents[name], 1, mtime=7))
    assert_is(tiny.source().read(str(tmp_path)), tiny)
    with pytest.raises(DatasetError, match="sha256"):
        tiny.source(gz_only=True).read(str(tmp_path))


def test_the_packed_file_is_read_where_only_its_digest_is_published(tmp_path, tiny, sibling):
    tiny.write(tmp_path, gz=True)
    sibling.write(tmp_path)
    assert_is(tiny.source(gz_only=True).read(str(tmp_path)), tiny)


@pytest.mark.parametrize("gz", [False, True], ids=["plain", "gz"])
def test_a_siblings_folder_is_passed_over(tmp_path, tiny, sibling, digest_of, gz):
    sibling.write(tmp_path, gz=gz)
    source = tiny.source(others=frozenset({digest_of(sibling.contents[TEST_LABELS])}))
    assert source.find(tmp_path) == []
    own = tiny.write(tmp_path / "tiny", gz=gz)
    assert source.find(tmp_path) == [str(own)]
    assert load(tiny.spec(others=source.others), tmp_path).place == str(own)


def test_a_siblings_file_is_no_damage(tmp_path, tiny, sibling, digest_of):
    tiny.write(tmp_path)
    (tmp_path / TEST_LABELS).write_bytes(sibling.contents[TEST_LABELS])
    source = tiny.source(others=frozenset({digest_of(sibling.contents[TEST_LABELS])}))
    with pytest.raises(NotThisDataset, match=TEST_LABELS):
        source.read(str(tmp_path))


def test_damaged_labels_are_not_mistaken_for_a_siblings(tmp_path, tiny, sibling, digest_of):
    tiny.write(tmp_path, gz=True)
    (tmp_path / f"{TEST_LABELS}.gz").write_bytes(b"")
    source = tiny.source(others=frozenset({digest_of(sibling.contents[TEST_LABELS])}))
    assert source.find(tmp_path) == [str(tmp_path)]


def test_plain_files_that_nothing_can_verify_are_passed_over(tmp_path, tiny):
    tiny.write(tmp_path)
    assert tiny.source(gz_only=True).find(tmp_path) == []
    assert tiny.source().find(tmp_path) == [str(tmp_path)]


@pytest.fixture
def refused_downloads(monkeypatch):
    """Downloads fail; which ones were tried."""
    tried = []

    def refuse(dataset, _class_name, data_dir, ways):
        tried.append(str(data_dir))
        raise DatasetError(f"{dataset} could not be downloaded", ways)

    monkeypatch.setattr("cvexp.data.download.torchvision_download", refuse)
    return tried


@pytest.mark.parametrize("place", PLACES)
def test_a_named_folder_with_some_of_the_files_is_not_passed_over(tmp_path, tiny, debian, refused_downloads, place):
    tiny.write(debian / "tiny")
    folder = tiny.write(tmp_path / "named" / place)
    for name in (TRAIN_LABELS, TEST_IMAGES):
        (folder / name).unlink()
    with pytest.raises(DatasetError) as caught:
        load(tiny.spec(), tmp_path / "named")
    message = " ".join(caught.value.lines())
    assert all(name in message for name in (TRAIN_LABELS, TEST_IMAGES, str(folder)))
    assert TRAIN_IMAGES not in message


def test_a_folder_that_an_environment_variable_names_is_named_too(tmp_path, tiny, debian, monkeypatch):
    tiny.write(debian / "tiny")
    (tiny.write(tmp_path / "named") / TEST_IMAGES).unlink()
    monkeypatch.setenv("CVEXP_DATA_DIR", str(tmp_path / "named"))
    with pytest.raises(DatasetError, match=TEST_IMAGES):
        load(tiny.spec(), data_dir())


def test_a_download_that_was_cut_short_is_completed_in_the_named_folder(tmp_path, tiny, debian, monkeypatch):
    tiny.write(debian / "tiny")
    folder = tmp_path / "named" / "FashionMNIST" / "raw"
    (tiny.write(folder, gz=True) / f"{TEST_IMAGES}.gz").unlink()
    monkeypatch.setattr("cvexp.data.download.torchvision_download", lambda *_arguments: tiny.write(folder, gz=True))
    assert load(tiny.spec(), tmp_path / "named").place == str(folder)


@pytest.mark.parametrize("place", PLACES)
def test_a_partial_download_in_the_cache_folder_gives_way_to_another_place(tmp_path, tiny, debian, place):
    other = tiny.write(debian / "tiny")
    (tiny.write(data_dir() / place) / TEST_IMAGES).unlink()
    assert load(tiny.spec(), data_dir()).place == str(other)


@pytest.mark.parametrize("place", PLACES)
def test_a_named_folder_with_all_files_in_one_place_may_hold_some_in_another(tmp_path, tiny, place):
    for other in PLACES:
        (tiny.write(tmp_path / other) / TEST_IMAGES).unlink()
    whole = tiny.write(tmp_path / place)
    assert load(tiny.spec(), tmp_path).place == str(whole)


def test_some_files_of_another_dataset_do_not_count(tmp_path, tiny, sibling, debian, digest_of):
    other = tiny.write(debian / "tiny")
    folder = sibling.write(tmp_path / "named")
    for name in (TEST_LABELS, TRAIN_LABELS):
        (folder / name).unlink()
    digests = frozenset(digest_of(content) for content in sibling.contents.values())
    assert load(tiny.spec(others=digests), tmp_path / "named").place == str(other)
