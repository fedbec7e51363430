"""Each operation against torchvision's own for one image, at every level of both spaces, for grey and RGB."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from cvexp.data.augment import policies
from cvexp.data.augment.policies import N_LEVELS, OPERATIONS, RANDAUGMENT, SIGNED, TRIVIAL, WARPS

SPACES = {"trivial": TRIVIAL, "randaugment": RANDAUGMENT}
ROUNDED = {"saturation": 5e-3, "sharpness": 1e-3}
"""Shares of values that may differ by one level: those that are whole numbers but for the rounding of floats."""


def images(channels):
    """A smooth picture, noise, and the same with few dark levels; neither square nor of an even height."""
    generator = torch.Generator().manual_seed(channels)
    coarse = torch.rand(1, channels, 4, 5, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=(21, 26), mode="bilinear") * 255
    noise = torch.randint(0, 256, (1, channels, 21, 26), generator=generator)
    return torch.cat([smooth, noise, noise // 16 + 7]).to(torch.uint8)


def theirs(name, image, magnitude):
    from torchvision.transforms.v2 import functional as F  # noqa: N812 - as its users import it

    shear = math.degrees(math.atan(magnitude))
    still = {"angle": 0.0, "translate": [0, 0], "scale": 1.0, "shear": [0.0, 0.0]}
    return {
        "identity": lambda: image,
        "shear x": lambda: F.affine(image, **{**still, "shear": [shear, 0.0]}, center=[0, 0]),
        "shear y": lambda: F.affine(image, **{**still, "shear": [0.0, shear]}, center=[0, 0]),
        "translate x": lambda: F.affine(image, **{**still, "translate": [int(magnitude), 0]}),
        "translate y": lambda: F.affine(image, **{**still, "translate": [0, int(magnitude)]}),
        "rotate": lambda: F.rotate(image, magnitude),
        "brightness": lambda: F.adjust_brightness(image, 1 + magnitude),
        "contrast": lambda: F.adjust_contrast(image, 1 + magnitude),
        "posterize": lambda: F.posterize(image, int(magnitude)),
        "solarize": lambda: F.solarize(image, 255 * magnitude),
        "autocontrast": lambda: F.autocontrast(image),
        "equalize": lambda: F.equalize(image),
        "saturation": lambda: F.adjust_saturation(image, 1 + magnitude),
        "sharpness": lambda: F.adjust_sharpness(image, 1 + magnitude),
    }[name]()


def ties(name, magnitudes, height, width):
    """Pixels (M, H, W) that lie half way between two: which is the nearest is decided by the rounding of floats."""
    a, b, c, d, e, f = WARPS[name](magnitudes, height, width)[:, :, None, None].unbind(1)
    y = (torch.arange(height) - (height - 1) / 2)[:, None]
    x = torch.arange(width) - (width - 1) / 2
    sources = a * x + b * y + c + (width - 1) / 2, d * x + e * y + f + (height - 1) / 2
    near = [((source % 1 - 0.5).abs() < 1e-4) for source in sources]
    return near[0] | near[1]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_torchvisions_at_every_level(name, space, channels):
    for image in images(channels):
        levels = SPACES[space].magnitudes(image.shape)[OPERATIONS.index(name)]
        magnitudes = torch.from_numpy(levels).repeat(2 if name in SIGNED else 1)
        magnitudes[N_LEVELS:] *= -1
        expected = torch.stack([theirs(name, image, one) for one in magnitudes.tolist()])
        which = torch.full((len(magnitudes),), OPERATIONS.index(name))
        found = policies.applied(image.expand(len(which), -1, -1, -1), which, magnitudes)
        assert found.dtype == torch.uint8
        difference = (found.int() - expected.int()).abs()
        if name in WARPS:
            difference = difference.masked_fill(ties(name, magnitudes, *image.shape[1:])[:, None], 0)
        share = float((difference > 0).float().mean())
        assert int(difference.max()) <= (name in ROUNDED), (share, int(difference.max()))
        assert share <= ROUNDED.get(name, 0)


@pytest.mark.parametrize(
    ("space", "theirs"), [("trivial", "TrivialAugmentWide"), ("randaugment", "RandAugment")], ids=SPACES
)
def test_magnitudes_are_torchvisions(space, theirs):
    from torchvision.transforms import v2

    names = {
        "ShearX": "shear x", "ShearY": "shear y", "TranslateX": "translate x", "TranslateY": "translate y",
        "Color": "saturation", "AutoContrast": "autocontrast",
    }  # fmt: skip
    height, width = 40, 64
    found = SPACES[space].magnitudes((3, height, width))
    operations = getattr(v2, theirs)._AUGMENTATION_SPACE
    assert len(operations) == len(OPERATIONS)
    for name, (magnitudes, signed) in operations.items():
        ours = names.get(name, name.lower())
        expected = magnitudes(N_LEVELS, height, width)
        if expected is not None:
            assert found[OPERATIONS.index(ours)].tolist() == expected.double().tolist()
        assert signed == (ours in SIGNED)


def test_translations_are_never_longer_than_the_image():
    assert TRIVIAL.magnitudes((1, 8, 28))[OPERATIONS.index("translate x")].max() == 28
    assert TRIVIAL.magnitudes((1, 8, 28))[OPERATIONS.index("translate y")].max() == 8


@pytest.mark.parametrize("space", SPACES)
def test_an_image_comes_out_the_same_in_a_batch_of_any_size(space):
    policy = SPACES[space]
    given = images(3).repeat(30, 1, 1, 1)
    drawn = policy.draw(len(given), given.shape[1:], np.random.default_rng(5))
    together = policy.apply(given, drawn)
    for size in (1, 3, 64):
        starts = range(0, len(given), size)
        parts = [
            policy.apply(given[k : k + size], {name: values[k : k + size] for name, values in drawn.items()})
            for k in starts
        ]
        assert torch.equal(torch.cat(parts), together)


def test_every_operation_is_drawn_about_as_often_at_all_its_levels_and_signs():
    drawn = TRIVIAL.draw(14 * 3100, (1, 28, 28), np.random.default_rng(0))
    counts = torch.bincount(drawn["operations"][:, 0], minlength=len(OPERATIONS))
    assert len(counts) == 14
    assert counts.min() > 2900
    assert counts.max() < 3300
    turned = drawn["magnitudes"][drawn["operations"] == OPERATIONS.index("rotate")]
    assert len(turned.unique()) == 2 * N_LEVELS - 1
    assert abs(float(turned.sign().mean())) < 0.06


def test_randaugment_applies_two_operations_at_one_level():
    given = images(3)
    drawn = RANDAUGMENT.draw(3, given.shape[1:], np.random.default_rng(1))
    assert drawn["operations"].shape == (3, 2)
    once = policies.applied(given, drawn["operations"][:, 0], drawn["magnitudes"][:, 0])
    twice = policies.applied(once, drawn["operations"][:, 1], drawn["magnitudes"][:, 1])
    assert torch.equal(RANDAUGMENT.apply(given, drawn), twice)
    assert set(drawn["magnitudes"].abs().flatten().tolist()) <= set(RANDAUGMENT.magnitudes((3, 21, 26))[:, 9].tolist())
