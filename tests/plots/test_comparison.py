from __future__ import annotations

import matplotlib.pyplot as plt

from cvexp.plots.comparison import Panel, accuracy_and_time


def panel(*groups, title=""):
    names = [f"run {k}" for k in range(len(groups))]
    accuracies, seconds = [0.9 - k / 100 for k in range(len(groups))], [1.0 + k for k in range(len(groups))]
    return Panel(title=title, names=names, accuracies=accuracies, train_seconds=seconds, groups=list(groups))


def test_times_of_other_conditions_get_another_marker():
    alike = accuracy_and_time([panel("a", "a")])
    mixed = accuracy_and_time([panel("a", "b")])
    assert len(alike.axes[1].collections) == 1
    assert len(mixed.axes[1].collections) == 2
    assert "within one marker only" in mixed.axes[1].get_xlabel()
    assert {text.get_text() for text in mixed.axes[1].texts} == {"run 0", "run 1"}
    plt.close("all")


def test_each_set_of_test_images_has_a_row_of_its_own():
    figure = accuracy_and_time([panel("a", title="digits"), panel("a", "b", title="mnist-5k")])
    titles = [axes.get_title() for axes in figure.axes]
    assert [sum(name in title for title in titles) for name in ("digits", "mnist-5k")] == [2, 2]
    assert [len(axes.patches) for axes in figure.axes] == [1, 0, 2, 0]
    plt.close("all")
