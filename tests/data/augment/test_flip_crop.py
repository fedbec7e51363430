from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from cvexp.data.augment import geometry
from cvexp.data.augment.policies import FlipCrop


@pytest.mark.parametrize("channels", [1, 3])
def test_a_window_of_the_reflected_image_is_taken_and_then_mirrored(channels):
    given = torch.randint(0, 256, (60, channels, 12, 17), dtype=torch.uint8)
    drawn = FlipCrop().draw(60, given.shape[1:], np.random.default_rng(3))
    found = FlipCrop().apply(given, drawn)
    padded = functional.pad(given.float(), (2, 2, 2, 2), mode="reflect").to(torch.uint8)
    for k, image in enumerate(padded):
        top, left = 2 + int(drawn["rows"][k]), 2 + int(drawn["columns"][k])
        window = image[:, top : top + 12, left : left + 17]
        assert torch.equal(found[k], window.flip(2) if drawn["flips"][k] else window)


@pytest.mark.parametrize(("side", "pixels"), [(1, 0), (3, 0), (8, 1), (28, 4), (32, 4), (224, 28)])
def test_shifts_reach_an_eighth_of_the_side_and_half_of_the_images_are_mirrored(side, pixels):
    drawn = FlipCrop().draw(3000, (1, side, 2 * side), np.random.default_rng(0))
    assert drawn["rows"].unique().tolist() == list(range(-pixels, pixels + 1))
    assert drawn["columns"].abs().max() >= 2 * pixels - 1
    assert 0.45 < float(drawn["flips"].float().mean()) < 0.55


def test_no_shift_and_no_flip_is_the_image():
    given = torch.randint(0, 256, (2, 1, 5, 4), dtype=torch.uint8)
    none = torch.zeros(2, dtype=torch.int64)
    assert torch.equal(geometry.flip_crop(given, rows=none, columns=none, flips=none.bool()), given)
