from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from cvexp.data.augment.mixing import CutMix, Mixup
from cvexp.data.augment.source import MIXINGS, AugmentedSource, augmentation
from cvexp.data.batches import ResidentSource
from cvexp.data.dataset import Split
from cvexp.data.transforms import Transform

N, K = 40, 4
SPLIT = Split(
    images=torch.randint(0, 256, (N, 3, 6, 9), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)),
    labels=torch.arange(N) % K,
)


def mixed(name):
    source = AugmentedSource(ResidentSource(SPLIT, Transform()), augmentation(name), seed=3, n_classes=K)
    order = torch.randperm(N, generator=torch.Generator().manual_seed(1))
    ((images, labels),) = source.chunks(order, N, start=0, stop=N, prefetch=False)
    return order, source.drawn, images, labels


@pytest.mark.parametrize("name", MIXINGS)
def test_labels_have_each_class_by_its_share_and_a_partner_is_met_once(name):
    order, drawn, _, labels = mixed(name)
    assert labels.dtype == torch.float32
    assert labels.shape == (N, K)
    assert sorted(drawn["partner"].tolist()) == list(range(N))
    for position in range(N):
        expected = torch.zeros(K)
        expected[SPLIT.labels[order[position]]] += drawn["share"][position]
        expected[SPLIT.labels[order[drawn["partner"][position]]]] += 1 - drawn["share"][position]
        assert torch.allclose(labels[position], expected, atol=1e-7)


def test_mixup_is_the_weighted_mean_of_both_images():
    order, drawn, images, _ = mixed("mixup")
    floats = SPLIT.images[order].double() / 255
    share = drawn["share"].double()[:, None, None, None]
    expected = share * floats + (1 - share) * floats[drawn["partner"]]
    assert torch.allclose(images.double(), expected, atol=1e-6)


def test_cutmix_pastes_a_rectangle_and_counts_its_pixels():
    order, drawn, images, _ = mixed("cutmix")
    floats = SPLIT.images[order].float() / 255
    sizes = set()
    for k in range(N):
        top, bottom, left, right = (int(drawn[name][k]) for name in ("top", "bottom", "left", "right"))
        expected = floats[k].clone()
        expected[:, top:bottom, left:right] = floats[drawn["partner"][k]][:, top:bottom, left:right]
        assert torch.equal(images[k], expected)
        assert float(drawn["share"][k]) == pytest.approx(1 - (bottom - top) * (right - left) / 54, abs=1e-7)
        sizes.add((bottom - top, right - left))
    assert len(sizes) > 5


def test_cutmix_draws_the_rectangle_of_the_paper():
    """As `torchvision.transforms.v2.CutMix.make_params` computes it from one share and one centre."""
    drawn = CutMix(alpha=1.0).draw(500, (1, 28, 20), np.random.default_rng(9))
    again = np.random.default_rng(9)
    again.permutation(500)
    shares = again.beta(1.0, 1.0, 500)
    centres = [again.integers(28, size=500), again.integers(20, size=500)]
    for k in range(500):
        reach = 0.5 * math.sqrt(1 - shares[k])
        for size, centre, first, last in zip((28, 20), centres, ("top", "left"), ("bottom", "right"), strict=True):
            assert int(drawn[first][k]) == max(centre[k] - int(reach * size), 0)
            assert int(drawn[last][k]) == min(centre[k] + int(reach * size), size)


def test_mixup_with_a_small_alpha_leaves_most_images_nearly_as_they_are():
    share = Mixup(alpha=0.2).draw(5000, (1, 2, 2), np.random.default_rng(0))["share"]
    assert 0.48 < float(share.mean()) < 0.52
    assert float(((share < 0.1) | (share > 0.9)).float().mean()) > 0.5
