from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from cvexp.data import registry
from cvexp.data.dataset import load
from cvexp.data.idx import IdxSource
from cvexp.data.registry import BUILTIN, ENTRY_POINTS, find_spec, specs
from cvexp.errors import DatasetError
from cvexp.settings import data_dir

BUILTIN_NAMES = ["fashion-mnist", "mnist", "kmnist", "cifar10", "mnist-5k", "digits"]


@pytest.fixture
def plug_in(tmp_path, monkeypatch):
    """Install a plug-in that offers scikit-learn's digits under the given name."""
    (tmp_path / "plugged_data.py").write_text(
        "from dataclasses import replace\n"
        "from cvexp.data.registry import find_spec\n"
        "spec = replace(find_spec('digits'), name='own-digits', title='plugged in')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    def install(name):
        points = [EntryPoint(name, "plugged_data:spec", ENTRY_POINTS)]
        monkeypatch.setattr(registry, "entry_points", lambda *, group: points if group == ENTRY_POINTS else [])

    return install


def test_the_built_in_datasets_come_by_name_in_their_order(monkeypatch):
    monkeypatch.setattr(registry, "entry_points", lambda **_: [])
    assert list(specs()) == BUILTIN_NAMES
    assert all(find_spec(name).name == name for name in BUILTIN_NAMES)


@pytest.mark.parametrize("spec", BUILTIN, ids=lambda spec: spec.name)
def test_an_entry_agrees_with_itself(spec):
    assert len(set(spec.class_names)) == len(spec.class_names) == 10
    if isinstance(spec.source, IdxSource):
        _, height, width = spec.image_shape
        images, labels = (spec.n_train, height, width), (spec.n_train,)
        test_images, test_labels = (spec.n_test, height, width), (spec.n_test,)
        assert spec.source.dataset == spec.name
        assert [file.shape for file in spec.source.files] == [images, labels, test_images, test_labels]
        assert all(file.sha256 or file.gz_sha256 for file in spec.source.files)
        assert spec.source.files[3].sha256 not in spec.source.others


@pytest.mark.parametrize(
    ("typed", "meant"), [("fashion_mnist", "fashion-mnist"), ("mnist5k", "mnist-5k"), ("cifar-10", "cifar10")]
)
def test_an_unknown_dataset_gets_the_nearest_name_and_all_of_them(typed, meant):
    with pytest.raises(DatasetError, match=f"unknown dataset: '{typed}'") as caught:
        find_spec(typed)
    (hint,) = caught.value.hints
    assert hint.startswith(f"did you mean '{meant}'? ")
    assert all(name in hint for name in BUILTIN_NAMES)


def test_a_dataset_from_a_plug_in_is_listed_last_suggested_and_read(plug_in):
    plug_in("own-digits")
    assert list(specs()) == [*BUILTIN_NAMES, "own-digits"]
    with pytest.raises(DatasetError) as caught:
        find_spec("own-digit")
    assert caught.value.hints[0].startswith("did you mean 'own-digits'?")
    dataset = load(find_spec("own-digits"), None)
    assert dataset.name == "own-digits"
    assert dataset.digest == "7673c1411f0daa6a"


def test_a_plug_in_cannot_take_a_built_in_name(plug_in):
    plug_in("digits")
    assert find_spec("digits").title != "plugged in"
    assert specs()["digits"] is find_spec("digits")


@pytest.mark.full
def test_fashion_mnist_is_the_published_one():
    spec = find_spec("fashion-mnist")
    assert spec.source.find(data_dir()), "Fashion-MNIST is not on this machine"
    dataset = load(spec, data_dir())
    assert dataset.digest == "c2df23e9d135ade7"
    assert dataset.train.labels.bincount().tolist() == [6000] * 10
    assert dataset.test.labels.bincount().tolist() == [1000] * 10
    assert dataset.image_shape == (1, 28, 28)


def test_a_broken_plug_in_is_named_when_asked_for_and_in_nobodys_way(monkeypatch):
    points = [EntryPoint("broken", "no_such_package:spec", ENTRY_POINTS), EntryPoint("odd", "math:pi", ENTRY_POINTS)]
    monkeypatch.setattr(registry, "entry_points", lambda **_: points)
    assert list(specs()) == BUILTIN_NAMES
    for name in ("broken", "odd"):
        with pytest.raises(DatasetError, match=f"'{name}'"):
            find_spec(name)
