"""Every flag that names a picture: it is drawn where the command says, or refused before anything is computed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

pytestmark = pytest.mark.slow

VERBS = {
    "compare": ("compare", "--plot"),
    "confmat": ("confmat", "RUN", "--out"),
    "predict": ("predict", "RUN", "--out"),
    "mistakes": ("predict", "RUN", "--wrong", "--out"),
    "data": ("data", "digits", "--samples"),
    "run": ("run", "plan.yaml", "--plot"),
}
REFUSED = ("x.pgf", "x.ps", "x.eps", "x.raw", "x.rgba", "x.gif", "x.svgz", "x.docx", "x.v2")


def words_of(verb, lab):
    Path("plan.yaml").write_text("runs:\n  - {model: linear, dataset: digits, epochs: 1, device: cpu}\n")
    return tuple(lab.runs["linear"].run_id if word == "RUN" else word for word in VERBS[verb])


@pytest.mark.parametrize("verb", VERBS)
def test_a_picture_without_an_ending_is_a_png_and_is_said_to_be_one(verb, cvexp, lab, tmp_path):
    drawn = cvexp(*words_of(verb, lab), str(tmp_path / "x"))
    assert drawn.code == 0, drawn.stderr
    (said,) = re.findall(r"drawn to ([^\n,]*)", drawn.stderr)
    assert Path(said).read_bytes().startswith(b"\x89PNG")
    assert Path(said).parent == tmp_path


@pytest.mark.parametrize("verb", VERBS)
def test_a_kind_of_picture_that_cannot_be_drawn_is_refused_at_once(verb, cvexp, lab, tmp_path, monkeypatch):
    def opened(*_arguments, **_settings):
        pytest.fail("something was computed first")

    for computing in ("jobs.source._from_run", "data.dataset.load", "jobs.compare.analyse", "jobs.train.run"):
        monkeypatch.setattr(f"cvexp.{computing}", opened)
    for name in REFUSED:
        refused = cvexp(*words_of(verb, lab), str(tmp_path / name))
        assert refused.code == 2, (name, refused.stderr)
        assert name in refused.stderr
        assert ".png" in refused.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", ["png", "PNG", "svg", "pdf", "jpg", "jpeg", "webp"])
def test_a_picture_has_the_kind_that_its_name_says(ending, cvexp, lab, tmp_path):
    out = tmp_path / f"x.{ending}"
    assert cvexp("compare", "--plot", str(out)).code == 0
    if ending.lower() in ("svg", "pdf"):
        assert out.read_bytes().startswith({"svg": b"<?xml", "pdf": b"%PDF"}[ending])
    else:
        with Image.open(out) as picture:
            assert picture.format == {"jpg": "JPEG"}.get(ending, ending.upper())


@pytest.mark.parametrize("verb", VERBS)
def test_a_folder_is_no_place_for_a_picture(verb, cvexp, lab, tmp_path):
    folder = tmp_path / "x.png"
    folder.mkdir()
    refused = cvexp(*words_of(verb, lab), str(folder))
    assert refused.code == 2, refused.stderr
    assert "x.png" in refused.stderr
