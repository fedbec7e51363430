from __future__ import annotations

import torch

from cvexp.data.sampling import balanced_order

LABELS = torch.tensor([3] * 900 + [0] * 90 + [2] * 10)


def test_every_class_is_drawn_as_often_whatever_its_size():
    order = balanced_order(LABELS, seed=1, epoch=1)
    assert order.dtype == torch.int64
    assert len(order) == 1000
    counts = torch.bincount(LABELS[order], minlength=4)
    assert counts[1] == 0
    assert (counts[[0, 2, 3]] - 1000 / 3).abs().max() < 60  # four standard deviations
    assert set(order[LABELS[order] == 2].tolist()) == set(range(990, 1000))


def test_seed_and_epoch_decide_the_draw():
    draws = {(seed, epoch): balanced_order(LABELS, seed=seed, epoch=epoch) for seed in (1, 2) for epoch in (1, 2)}
    torch.rand(5)
    assert torch.equal(balanced_order(LABELS, seed=2, epoch=1), draws[2, 1])
    assert len({tuple(order.tolist()) for order in draws.values()}) == 4
