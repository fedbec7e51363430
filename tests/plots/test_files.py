from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest

from cvexp.errors import InputError
from cvexp.plots.files import save
from cvexp.plots.grid import image_grid


@pytest.mark.parametrize("name", ["missing/x.png", "x.docx"])
def test_a_picture_that_cannot_be_written_is_named_and_let_go_of(name, tmp_path):
    figure = image_grid(np.zeros((1, 1, 4, 4), np.uint8), ["a"], title="grid")
    with pytest.raises(InputError, match=name):
        save(figure, tmp_path / name)
    assert not plt.get_fignums()
