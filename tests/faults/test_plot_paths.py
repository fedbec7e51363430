"""Where an experiment file may have its comparison drawn: below its own folder, and on no picture but cvexp's."""

from __future__ import annotations

import pytest
from PIL import Image

from cvexp.plots.curves import curves
from cvexp.plots.files import save
from tests.faults.answering import check_refusal

TRAINED = "runs: [{model: linear, dataset: digits, device: cpu, epochs: 1}]"


@pytest.fixture
def folder(tmp_path):
    """A folder with a picture of somebody's, in which an experiment file will lie."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    for place in (folder, tmp_path):
        Image.new("RGB", (8, 8), "red").save(place / "photo.png")
    return folder


def experiment(folder, plot):
    """A file whose only configuration is trained already."""
    (folder / "x.yaml").write_text(f"plot: {plot}\n{TRAINED}")
    return str(folder / "x.yaml")


@pytest.mark.parametrize("plot", ["photo.png", "./photo.png", "photo", "photo.", "photo.svg", "photo.pdf", "photo.jpg"])
def test_a_picture_that_cvexp_did_not_draw_is_not_overwritten(plot, folder, lab, cvexp, monkeypatch):
    monkeypatch.chdir(folder)
    photo = folder / (plot if "." in plot[1:-1] else "photo.png")
    if not photo.exists():
        Image.new("RGB", (8, 8), "red").save(photo, "PNG")
    before = photo.read_bytes()
    refused = cvexp("run", experiment(folder, plot), "--tracking-uri", lab.settings.tracking_uri)
    check_refusal(refused.code, refused.stdout, refused.stderr, photo.name, "--plot")
    assert photo.read_bytes() == before


@pytest.mark.parametrize("plot", ["../photo.png", "ABOVE/photo.png", "up/photo.png", "link.png", "sub/../../photo.png"])
def test_a_picture_outside_the_files_folder_is_not_drawn(plot, folder, lab, cvexp, monkeypatch):
    monkeypatch.chdir(folder)
    above = folder.parent
    (folder / "up").symlink_to(above)
    (folder / "sub").mkdir()
    (folder / "link.png").symlink_to(above / "new.png")
    for name in ("photo.png", "new.png"):
        (above / name).unlink(missing_ok=True)
    file = experiment(folder, plot.replace("ABOVE", str(above)))
    refused = cvexp("run", file, "--tracking-uri", lab.settings.tracking_uri)
    check_refusal(refused.code, refused.stdout, refused.stderr, ".png", "--plot")
    assert not list(above.glob("*.png"))


def test_where_the_command_runs_nothing_is_drawn(folder, lab, cvexp):
    done = cvexp("run", experiment(folder, "fresh.png"))
    assert done.code == 0, done.stderr
    assert not (lab.folder / "fresh.png").exists()
    assert (folder / "fresh.png").exists()


@pytest.mark.parametrize("plot", ["again.png", "again.svg", "again.pdf", "sub/again.png"])
@pytest.mark.slow
def test_what_cvexp_drew_it_draws_anew(plot, folder, lab, cvexp):
    (folder / "sub").mkdir()
    file = experiment(folder, plot)
    for _ in range(2):
        done = cvexp("run", file)
        assert done.code == 0, done.stderr
        drawn = (folder / plot).stat().st_mtime_ns
    save(curves(lab.runs["linear"].history, title="another of cvexp's"), folder / plot)
    assert cvexp("run", file).code == 0
    assert (folder / plot).stat().st_mtime_ns > drawn


def test_a_place_that_was_typed_is_drawn_to_whatever_is_there(folder, lab, cvexp):
    photo = folder.parent / "photo.png"
    done = cvexp("run", experiment(folder, "../photo.png"), "--plot", str(photo))
    assert done.code == 0, done.stderr
    assert Image.open(photo).size != (8, 8)
