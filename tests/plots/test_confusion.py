from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest

from cvexp.plots.confusion import confusion_matrix
from cvexp.plots.files import save


def matrix(n_classes):
    return np.random.default_rng(n_classes).integers(0, 50, (n_classes, n_classes)) + 100 * np.eye(n_classes, dtype=int)


@pytest.mark.parametrize("n_classes", [2, 3, 10, 25, pytest.param(100, marks=pytest.mark.slow)])
@pytest.mark.slow
def test_a_confusion_matrix_of_any_size_is_labelled_and_fits_its_picture(n_classes, tmp_path):
    names = [f"class {k}" for k in range(n_classes)]
    figure = confusion_matrix(matrix(n_classes), names, title="title")
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == names
    assert [label.get_text() for label in axes.get_yticklabels()] == names
    figures = [text.get_text() for text in axes.texts]
    assert figures in ([], [str(value) for value in matrix(n_classes).reshape(-1)])
    assert bool(figures) == (n_classes <= 40)
    save(figure, tmp_path / "x.png")
    assert max(plt.imread(tmp_path / "x.png").shape) < 3000


def test_shares_are_shown_as_they_are_whatever_they_are_of():
    shares = matrix(3) / matrix(3).sum(axis=0)
    figure = confusion_matrix(shares, "abc", title="title", normalize="pred")
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == [f"{value:.2f}" for value in shares.reshape(-1)]
    assert np.array_equal(figure.axes[0].images[0].get_array(), shares)
    assert "predicted class" in figure.axes[0].get_title()
    plt.close(figure)
