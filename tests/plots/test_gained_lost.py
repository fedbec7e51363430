from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest

from cvexp.plots.gained_lost import SHOWN, ChangedImages, gained_and_lost


def changed(n, *, gained, channels=1):
    right, wrong = ["coat"] * n, ["a class with a name that is longer than its image is wide"] * n
    images = np.zeros((n, channels, 8, 8), np.uint8)
    a, b = (wrong, right) if gained else (right, wrong)
    return ChangedImages(images=images, truth=right, predicted_a=a, predicted_b=b, n=40 if n == SHOWN else n)


@pytest.mark.parametrize(("n_gained", "n_lost", "channels"), [(SHOWN, 5, 1), (1, 0, 3), (0, 0, 1)])
def test_each_image_has_its_truth_and_both_predictions_and_nothing_overlaps(n_gained, n_lost, channels):
    gained = changed(n_gained, gained=True, channels=channels)
    figure = gained_and_lost(gained, changed(n_lost, gained=False), names=("old", "new"), n_images=100, title="digits")
    assert len(figure.axes) == n_gained + n_lost
    said = [text.get_text() for text in figure.texts]
    assert "A: old    B: new" in said
    assert any(line.startswith("Gained: right in B, wrong in A") for line in said)
    assert any(line.startswith(f"Lost: right in A, wrong in B: {n_lost} of 100") for line in said)
    assert any(f"40 of 100 test images, {SHOWN} shown" in line for line in said) == (n_gained == SHOWN)
    marks = ["✗ A", "✓ B"] if n_gained else []
    assert [text.get_text()[:3] for text in figure.axes[0].texts[1:]] == marks if n_gained else not figure.axes
    boxes = [text.get_window_extent() for text in figure.findobj(plt.Text) if text.get_text()]
    for k, box in enumerate(boxes):
        assert figure.bbox.padded(1).contains(*box.max)
        assert not any(box.padded(-1).overlaps(other.padded(-1)) for other in boxes[k + 1 :])
    plt.close(figure)
