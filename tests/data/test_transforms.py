from __future__ import annotations

import pytest
import torch
from PIL import Image
from torchvision.transforms import Normalize, ToTensor

from cvexp.data.transforms import Transform

MEAN, STD = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)


def test_every_grey_level_is_scaled_as_torchvision_scales_it():
    levels = torch.arange(256, dtype=torch.uint8).reshape(16, 16)
    before = levels.clone()
    ours = Transform()(levels)
    assert ours.dtype == torch.float32
    assert torch.equal(ours, ToTensor()(Image.fromarray(levels.numpy()))[0])
    assert (ours[0, 0], ours[-1, -1]) == (0, 1)
    assert torch.equal(levels, before)


@pytest.mark.parametrize("given", [True, False])
def test_each_channel_is_standardized_as_torchvision_does_it(given):
    images = torch.randint(0, 256, (4, 3, 5, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    memory = torch.empty(images.shape) if given else None
    ours = Transform(mean=MEAN, std=STD)(images, out=memory)
    assert torch.equal(ours, Normalize(MEAN, STD)(images / 255))
    assert (ours is memory) == given


@pytest.mark.parametrize(
    "values",
    [
        {"mean": (0.1,)},
        {"std": (0.1,)},
        {"mean": (0.1,), "std": (0.1, 0.2)},
        {"mean": (0.1,), "std": (0.0,)},
        {"mean": (0.1,), "std": (-1.0,)},
        {"mean": (float("nan"),), "std": (1.0,)},
        {"mean": (0.1,), "std": (float("inf"),)},
    ],
)
def test_values_that_cannot_be_applied_are_refused(values):
    with pytest.raises(ValueError, match="mean and std"):
        Transform(**values)
