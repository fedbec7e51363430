from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest

from cvexp.plots.grid import image_grid


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("n_images", [1, 4, 9, 10])
def test_a_grid_holds_every_image(n_images, channels):
    images = np.zeros((n_images, channels, 8, 8), np.uint8)
    figure = image_grid(images, [str(i) for i in range(n_images)], title="grid")
    assert [axes.get_title() for axes in figure.axes if axes.images] == [str(i) for i in range(n_images)]
    plt.close(figure)
