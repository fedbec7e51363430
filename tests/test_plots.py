from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest

from cvexp import plots
from cvexp.errors import InputError


def matrix(n_classes):
    return np.random.default_rng(n_classes).integers(0, 50, (n_classes, n_classes)) + 100 * np.eye(n_classes, dtype=int)


@pytest.mark.parametrize("n_classes", [2, 3, 10, 25, 100])
def test_a_confusion_matrix_of_any_size_is_labelled_and_fits_its_picture(n_classes, tmp_path):
    names = [f"class {k}" for k in range(n_classes)]
    figure = plots.confusion_matrix(matrix(n_classes), names, title="title")
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == names
    assert [label.get_text() for label in axes.get_yticklabels()] == names
    figures = [text.get_text() for text in axes.texts]
    assert figures in ([], [str(value) for value in matrix(n_classes).reshape(-1)])
    assert bool(figures) == (n_classes <= 40)
    plots.save(figure, tmp_path / "x.png")
    assert max(plt.imread(tmp_path / "x.png").shape) < 3000


def test_shares_are_shown_as_they_are_whatever_they_are_of():
    shares = matrix(3) / matrix(3).sum(axis=0)
    figure = plots.confusion_matrix(shares, "abc", title="title", normalize="pred")
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == [f"{value:.2f}" for value in shares.reshape(-1)]
    assert np.array_equal(figure.axes[0].images[0].get_array(), shares)
    assert "predicted class" in figure.axes[0].get_title()
    plt.close(figure)


def test_long_names_are_shortened_and_never_read_as_formulas():
    assert plots.shortened("x" * 50) == "x" * 23 + "…"
    assert plots.shortened("cash $5$") == r"cash \$5\$"


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("n_images", [1, 4, 9, 10])
def test_a_grid_holds_every_image(n_images, channels):
    images = np.zeros((n_images, channels, 8, 8), np.uint8)
    figure = plots.image_grid(images, [str(i) for i in range(n_images)], title="grid")
    assert [axes.get_title() for axes in figure.axes if axes.images] == [str(i) for i in range(n_images)]
    plt.close(figure)


@pytest.mark.parametrize("name", ["missing/x.png", "x.docx"])
def test_a_picture_that_cannot_be_written_is_named_and_let_go_of(name, tmp_path):
    figure = plots.image_grid(np.zeros((1, 1, 4, 4), np.uint8), ["a"], title="grid")
    with pytest.raises(InputError, match=name):
        plots.save(figure, tmp_path / name)
    assert not plt.get_fignums()


def panel(*groups, title=""):
    names = [f"run {k}" for k in range(len(groups))]
    accuracies, seconds = [0.9 - k / 100 for k in range(len(groups))], [1.0 + k for k in range(len(groups))]
    return plots.Panel(title=title, names=names, accuracies=accuracies, train_seconds=seconds, groups=list(groups))


def test_times_of_other_conditions_get_another_marker():
    alike = plots.comparison([panel("a", "a")])
    mixed = plots.comparison([panel("a", "b")])
    assert len(alike.axes[1].collections) == 1
    assert len(mixed.axes[1].collections) == 2
    assert "within one marker only" in mixed.axes[1].get_xlabel()
    assert {text.get_text() for text in mixed.axes[1].texts} == {"run 0", "run 1"}
    plt.close("all")


def test_each_set_of_test_images_has_a_row_of_its_own():
    figure = plots.comparison([panel("a", title="digits"), panel("a", "b", title="mnist-5k")])
    titles = [axes.get_title() for axes in figure.axes]
    assert [sum(name in title for title in titles) for name in ("digits", "mnist-5k")] == [2, 2]
    assert [len(axes.patches) for axes in figure.axes] == [1, 0, 2, 0]
    plt.close("all")
