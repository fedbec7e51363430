from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from cvexp.errors import ConfigError, RunError, WeightsError
from cvexp.jobs import explain


@pytest.fixture
def image(tmp_path):
    file = tmp_path / "a shoe.png"
    Image.fromarray(np.arange(16 * 24, dtype=np.uint8).reshape(16, 24)).save(file)
    return file


def is_picture(path):
    with Image.open(path) as picture:
        return picture.format == "PNG" and min(picture.size) > 200


def test_an_image_file_is_drawn_by_layers_and_by_classes(lab, image, tmp_path):
    result = explain.of_files(lab.runs["tinyvgg"].run_id, [image], lab.settings, out=tmp_path, device_name="cpu")
    assert (result.method, result.layer) == ("Grad-CAM", "block_2")
    assert [path.name for path in result.pictures] == ["explain_a_shoe_classes.png", "explain_a_shoe_layers.png"]
    assert all(map(is_picture, result.pictures))
    (one,) = result.images
    assert one.prediction.image == str(image)
    assert one.classes == tuple(name for name, _ in one.prediction.ranking[:2])
    assert result.stored is None


@pytest.mark.slow
def test_mistakes_are_explained_by_the_predicted_and_the_true_class(lab, tmp_path):
    run = lab.runs["tinyvgg"].run_id
    result = explain.of_test_images(
        run, lab.settings, data_dir=lab.folder / "data", wrong=True, out=tmp_path, device_name="cpu"
    )
    assert len(result.images) == explain.N_TEST_IMAGES
    for one in result.images:
        assert one.prediction.truth != one.prediction.best
        assert one.classes == (one.prediction.best, one.prediction.truth)
    shares = [one.prediction.ranking[0][1] for one in result.images]
    assert shares == sorted(shares, reverse=True)
    assert all(map(is_picture, result.pictures))


@pytest.mark.parametrize("name", ["linear", "mlp"])
def test_a_model_without_convolutions_is_explained_by_its_gradient(lab, tmp_path, name):
    run = lab.runs[name].run_id
    result = explain.of_test_images(run, lab.settings, data_dir=lab.folder / "data", out=tmp_path, device_name="cpu")
    assert (result.method, result.layer) == ("gradient", None)
    assert [path.name for path in result.pictures] == ["explain_test_classes.png"]
    assert is_picture(result.pictures[0])


def test_files_of_one_name_get_pictures_of_their_own(lab, image, tmp_path):
    (tmp_path / "more").mkdir()
    other = tmp_path / "more" / image.name
    other.write_bytes(image.read_bytes())
    found = explain.of_files(lab.runs["linear"].run_id, [image, other], lab.settings, out=tmp_path, device_name="cpu")
    names = [path.name for path in found.pictures]
    assert names == ["explain_a_shoe_classes.png", "explain_a_shoe-2_classes.png"]


def test_a_name_cannot_leave_the_folder_or_break_a_path():
    assert explain._stem("../../etc/pass wd\n.png") == "pass_wd_"
    assert explain._stem("日本.png") == "_"
    assert len(explain._stem("x" * 500)) == explain.LONGEST_STEM


def test_a_file_that_cannot_be_read_does_not_stop_the_others(lab, image, tmp_path, cvexp):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG")
    said = cvexp("explain", lab.runs["linear"].run_id, str(broken), str(image), "--out", str(tmp_path), "--json")
    assert said.code == 2
    assert said.stderr.startswith("error: ")
    assert "broken.png" in said.stderr
    assert len(said.document["pictures"]) == len(said.document["images"]) == 1
    assert said.document["method"] == "gradient"


def test_where_no_file_can_be_read_no_method_is_claimed(lab, tmp_path):
    found = explain.of_files(lab.runs["linear"].run_id, [tmp_path / "no.png"], lab.settings, device_name="cpu")
    assert (found.method, found.pictures, found.images) == (None, (), ())
    assert [failure.what for failure in found.failures]


def test_pictures_are_artifacts_of_the_run_only_where_that_is_asked_for(lab, image, tmp_path, monkeypatch):
    stored = []
    monkeypatch.setattr("cvexp.tracking.artifacts.add_file", lambda *given, name: stored.append((given[2].name, name)))
    run = lab.runs["linear"].run_id
    explain.of_files(run, [image], lab.settings, out=tmp_path, device_name="cpu")
    assert stored == []
    result = explain.of_files(run, [image], lab.settings, out=tmp_path, store=True, device_name="cpu")
    assert stored == [("explain_a_shoe_classes.png", "explanations/explain_a_shoe_classes.png")]
    assert result.stored == ("explanations/explain_a_shoe_classes.png",)


def test_what_cannot_be_explained_is_refused_before_anything_is_drawn(lab, image, tmp_path, cvexp):
    with pytest.raises(RunError):
        explain.of_files("nosuch", [image], lab.settings, out=tmp_path)
    with pytest.raises(ConfigError, match="not a folder"):
        explain.of_files(lab.runs["linear"].run_id, [image], lab.settings, out=tmp_path / "none")
    with pytest.raises(WeightsError):
        explain.of_files("missing.pt", [image], lab.settings, out=tmp_path)
    refused = cvexp("explain", "@last", str(image), "--wrong")
    assert refused.code == 2
    assert len(refused.stderr.splitlines()) <= 3
    assert not list(tmp_path.glob("explain*"))


def test_an_exported_file_is_explained_and_has_no_run_to_store_with(lab, image, tmp_path, cvexp):
    file = tmp_path / "m.safetensors"
    assert cvexp("export", lab.runs["linear"].run_id, "--out", str(file), "--format", "safetensors").code == 0
    said = cvexp("explain", str(file), str(image), "--out", str(tmp_path))
    assert said.code == 0, said.stderr
    assert "explain_a_shoe_classes.png" in said.stdout
    refused = cvexp("explain", str(file), str(image), "--out", str(tmp_path), "--store")
    assert refused.code == 2
    assert "name its run instead" in refused.stderr
