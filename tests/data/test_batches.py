from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from cvexp.data.batches import epoch_order


@pytest.mark.parametrize("n_images", [1, 7, 50, 1000])
def test_two_epochs_come_in_the_very_order_of_torchs_own_loader(n_images):
    reference = DataLoader(TensorDataset(torch.arange(n_images)), batch_size=7, shuffle=True)
    torch.manual_seed(3)
    theirs = [torch.cat([batch for (batch,) in reference])]
    list(DataLoader(TensorDataset(torch.arange(9)), batch_size=8))  # the course's pass over the test images
    theirs.append(torch.cat([batch for (batch,) in reference]))

    torch.manual_seed(3)
    ours = [epoch_order(n_images)]
    torch.empty((), dtype=torch.int64).random_()  # what our own evaluation draws in its place
    ours.append(epoch_order(n_images))

    assert all(torch.equal(mine, expected) for mine, expected in zip(ours, theirs, strict=True))
    assert ours[0].dtype == torch.int64
    assert all(sorted(order.tolist()) == list(range(n_images)) for order in ours)
