from __future__ import annotations

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def files(tmp_path):
    """One image of every awkward kind, and two files that are none."""
    grey = np.random.default_rng(1).integers(0, 256, (8, 8), dtype=np.uint8)
    kinds = {
        "plain.png": Image.fromarray(grey),
        "photo.jpg": Image.fromarray(np.zeros((300, 400, 3), np.uint8)),
        "deep.png": Image.fromarray(grey.astype(np.uint16) * 257),
        "layered.png": Image.fromarray(grey).convert("RGBA"),
        "palette.png": Image.fromarray(grey).convert("P"),
    }
    for name, image in kinds.items():
        image.save(tmp_path / name)
    (tmp_path / "cut.png").write_bytes((tmp_path / "plain.png").read_bytes()[:40])
    (tmp_path / "text.png").write_text("no image")
    return {path.name: str(path) for path in tmp_path.iterdir()}


def test_files_of_every_kind_are_answered_in_order(files, cvexp, lab):
    names = ("plain.png", "photo.jpg", "deep.png", "layered.png", "palette.png")
    predicted = cvexp("predict", lab.runs["tinyvgg"].run_id, *(files[name] for name in names), "--json")
    assert predicted.code == 0, predicted.stderr
    answers = predicted.document["predictions"]
    assert [answer["image"] for answer in answers] == [files[name] for name in names]
    for answer in answers:
        assert sum(answer["probabilities"]) == pytest.approx(1)
        assert answer["class"] == answer["class_names"][int(np.argmax(answer["logits"]))]
        assert answer["probability"] == max(answer["probabilities"])
    assert answers[1]["notes"] == ["resized from 400x300 to 8x8 pixels"]
    same = [answers[i]["class"] for i in (0, 2, 3)]
    assert len(set(same)) == 1


def test_a_corrupt_file_is_named_and_the_others_are_answered(files, cvexp, lab):
    words = (files["plain.png"], files["cut.png"], files["text.png"], files["deep.png"])
    mixed = cvexp("predict", lab.runs["linear"].run_id, *words, "--json")
    assert mixed.code == 2
    assert [p["image"] for p in mixed.document["predictions"]] == [files["plain.png"], files["deep.png"]]
    assert len(mixed.document["failures"]) == 2
    assert files["cut.png"] in mixed.stderr
    assert files["text.png"] in mixed.stderr
    assert len(mixed.stderr.splitlines()) <= 3


def test_people_are_told_what_was_done_to_their_files(files, cvexp, lab):
    shown = cvexp("predict", lab.runs["linear"].run_id, files["photo.jpg"], files["deep.png"])
    assert "resized from 400x300 to 8x8 pixels" in shown.stderr
    assert "16-bit values" in shown.stderr
    assert "photo.jpg" in shown.stdout


def test_random_test_images_depend_on_the_seed_alone(cvexp, lab, tmp_path):
    def chosen(*words):
        out = str(tmp_path / "grid.png")
        document = cvexp("predict", lab.runs["linear"].run_id, "--out", out, *words, "--json").document
        return [p["image"] for p in document["predictions"]]

    assert chosen() == chosen("--seed", "42")
    assert chosen() != chosen("--seed", "1")
    assert len(set(chosen())) == 9
