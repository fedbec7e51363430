"""Images of the user's own go through every verb."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

DIGITS = load_digits()
NAMES = ("zero", "[red]one[b]", "ü two")
MODES = ("L", "RGB", "RGBA", "P", "CMYK", "I;16")


def write(folder, *, n=12):
    """Digits at several sizes and modes: one in test is in train too, one is cut short, one is no image."""
    for label, name in enumerate(NAMES):
        for k, pixels in enumerate(DIGITS.images[DIGITS.target == label][: n + 4]):
            target = folder / ("train" if k < n else "test") / name
            target.mkdir(parents=True, exist_ok=True)
            image = Image.fromarray(np.rint(pixels * 15.9).astype(np.uint8)).resize((16 + 4 * (k % 3), 20))
            mode = MODES[k % len(MODES)]
            if mode == "I;16":
                image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
            image = image.convert("RGB") if mode == "P" else image
            kind = "jpg" if mode == "CMYK" else "png"
            (image if mode == "I;16" else image.convert(mode)).save(target / f"{k:02}.{kind}")
    shutil.copy(folder / "train/zero/00.png", folder / "test/zero/copy.png")
    whole = (folder / "train/zero/01.png").read_bytes()
    (folder / "train/zero/cut.png").write_bytes(whole[: len(whole) - 30])
    (folder / "train/zero/text.png").write_bytes(b"no image")


@pytest.fixture(scope="module")
def _trained(tmp_path_factory, empty_store):
    """A folder, and two runs on it."""
    from cvexp.config import run_config
    from cvexp.jobs import train
    from cvexp.settings import store_settings

    here = tmp_path_factory.mktemp("own")
    empty_store(here)
    write(here / "numbers")
    before = Path.cwd()
    os.chdir(here)
    os.environ["XDG_CACHE_HOME"] = str(here / "cache")
    try:
        settings = store_settings(f"sqlite:///{here}/mlflow.db")
        asked = {"dataset": "numbers", "device": "cpu", "epochs": 2, "image_size": 16, "resize": "pad"}
        for model in ("linear", "tinyvgg"):
            train.run(run_config({"model": model, **asked}), settings, data_dir=here / "data", name=model)
    finally:
        os.chdir(before)
    return here


@pytest.fixture
def here(_trained, monkeypatch):
    monkeypatch.chdir(_trained)
    monkeypatch.setenv("XDG_CACHE_HOME", str(_trained / "cache"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{_trained}/mlflow.db")
    return _trained


@pytest.mark.slow
def test_a_run_names_its_dataset_as_typed_and_what_was_left_out(here):
    from cvexp.settings import store_settings
    from cvexp.tracking.queries import find
    from cvexp.tracking.store import open_store

    run = find(open_store(store_settings(), create=False), "linear").run
    assert (run.params["dataset"], run.params["image_size"], run.params["resize"]) == ("numbers", "16", "pad")
    left_out = run.tags["cvexp.unreadable_images"]
    assert left_out.startswith("2: train/zero/cut.png (")
    assert "train/zero/text.png (not an image)" in left_out


def test_evaluate_finds_the_folder_again_and_gives_the_figures_that_were_logged(here, cvexp):
    done = cvexp("evaluate", "tinyvgg", "--json")
    assert done.code == 0, done.stderr
    assert done.document["matches"] is True
    assert [one["class"] for one in done.document["per_class"]] == sorted(NAMES)


def test_elsewhere_the_flag_that_names_the_folder_is_told_and_works(here, cvexp, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused = cvexp("evaluate", "linear")
    assert (refused.code, refused.stdout) == (2, "")
    assert "numbers" in refused.stderr
    assert "--data-dir" in refused.stderr
    assert cvexp("evaluate", "linear", "--data-dir", str(here)).code == 0


def test_other_images_in_the_folder_are_noticed(here, cvexp, tmp_path, monkeypatch):
    shutil.copytree(here / "numbers", tmp_path / "numbers")
    shutil.copy(tmp_path / "numbers/train/zero/02.png", tmp_path / "numbers/test/zero/another.png")
    monkeypatch.chdir(tmp_path)
    refused = cvexp("confmat", "linear")
    assert refused.code == 2
    assert "holds other images than linear was trained on" in refused.stderr
    assert cvexp("evaluate", "linear", "--dataset", "numbers").code == 0


@pytest.mark.parametrize("words", [("confmat", "linear"), ("predict", "linear"), ("export", "linear"), ("compare",)])
def test_other_verbs_take_the_folder(here, cvexp, words):
    done = cvexp(*words)
    assert done.code == 0, done.stderr


def test_predict_fits_a_file_as_the_training_images_were_fitted(here, cvexp):
    from cvexp.config.data import DataConfig
    from cvexp.data.dataset import load_dataset
    from cvexp.jobs.source import load_trained
    from cvexp.settings import store_settings

    assert cvexp("export", "linear", "--out", "fit.pt").code == 0
    test = load_dataset(DataConfig(dataset="numbers", image_size=16, resize="pad"), here).test
    for selector in ("linear", "fit.pt"):
        expected = load_trained(selector, store_settings()).predictor.logits(test.images).softmax(1)
        done = cvexp("predict", selector, *(f"numbers/{name}" for name in test.names), "--json")
        ours = torch.tensor([one["probabilities"] for one in done.document["predictions"]])
        assert torch.allclose(ours, expected, atol=1e-6)


def test_training_from_the_mapped_file_gives_the_losses_of_training_from_memory(here):
    from dataclasses import replace

    from cvexp.config import run_config
    from cvexp.data.dataset import load_dataset
    from cvexp.training.session import prepare

    asked = {"dataset": "numbers", "device": "cpu", "epochs": 2, "image_size": 16, "batch_size": 7, "val_split": 0.25}
    config = run_config({"model": "linear", **asked})
    mapped = load_dataset(config, here)
    assert mapped.train.is_mapped
    splits = {name: getattr(mapped, name) for name in ("train", "val", "test")}
    resident = replace(mapped, **{name: one.take(np.arange(len(one)), copy=True) for name, one in splits.items()})
    histories = [list(prepare(config, here, dataset=dataset).fit()) for dataset in (mapped, resident)]
    for ours, theirs in zip(*histories, strict=True):
        assert ours.step_losses.tolist() == theirs.step_losses.tolist()
        assert ours.held_out.metrics == theirs.held_out.metrics


def test_data_reports_splits_unreadable_files_and_duplicates(here, cvexp):
    document = cvexp("data", "numbers", "--image-size", "16", "--json").document
    assert document["splits"]["train"] == {"n": 36, "per_class": dict.fromkeys(sorted(NAMES), 12)}
    assert document["splits"]["test"]["n"] == 13
    assert "val" not in document["splits"]
    assert [one["path"] for one in document["unreadable"]] == ["train/zero/cut.png", "train/zero/text.png"]
    assert document["unreadable"][1]["reason"] == "not an image"
    first = document["duplicates"][0]
    assert (first["paths"], first["kind"]) == (["train/zero/00.png", "test/zero/copy.png"], "exact")
    assert first["across_splits"] is True
    assert sum(document["files"]["modes"].values()) == 49
    assert set(document["files"]["modes"]) == set(MODES)
    assert document["files"]["sizes"]["largest"] == [24, 20]


def test_data_says_it_for_people_and_shows_text_from_the_folder_literally(here, cvexp):
    shown = cvexp("data", "numbers", "--samples", "grid.png")
    assert shown.code == 0, shown.stderr
    assert "[red]one[b]" in shown.stdout
    assert "2 unreadable, left out:" in shown.stdout
    assert "in train and in test" in shown.stdout
    assert "train/zero/00.png = test/zero/copy.png" in shown.stdout
    assert (here / "grid.png").exists()


def test_registered_datasets_have_the_same_keys(cvexp, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    document = cvexp("data", "digits", "--val-split", "0.2", "--image-size", "12", "--json").document
    assert document["image_shape"] == [1, 12, 12]
    assert {name: split["n"] for name, split in document["splits"].items()} == {"train": 1149, "val": 288, "test": 360}
    assert (document["unreadable"], document["files"]) == ([], None)
    assert json.dumps(document["duplicates"])
    assert "published" in document["near_duplicates_skipped"]


def test_accuracies_at_another_size_are_of_the_same_test_images_and_times_are_not_comparable(tmp_path):
    from cvexp.config import run_config
    from cvexp.training.session import prepare
    from cvexp.training.tags import known_tags

    asked = [{"model": "linear", "dataset": "digits", "device": "cpu", "image_size": size} for size in (None, 8, 16)]
    tags = [known_tags(prepare(run_config(one), tmp_path), ["cvexp"]) for one in asked]
    assert len({one["cvexp.test_set"] for one in tags}) == 1
    assert tags[0]["cvexp.comparability_key"] == tags[1]["cvexp.comparability_key"]
    assert tags[0]["cvexp.comparability_key"] != tags[2]["cvexp.comparability_key"]
