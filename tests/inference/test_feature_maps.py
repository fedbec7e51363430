from __future__ import annotations

import numpy as np
import torch
from torch import nn

from cvexp.inference.feature_maps import MOST_LAYERS, MOST_MAPS, feature_maps

IMAGE = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))


def test_layers_come_in_order_and_show_what_each_does_to_the_same_maps():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Flatten())
    convolved, rectified, pooled = feature_maps(model.eval(), IMAGE)
    assert [layer.kind for layer in (convolved, rectified, pooled)] == ["convolution", "activation", "pooling"]
    assert [layer.name for layer in (convolved, rectified, pooled)] == ["0", "1", "2"]
    assert convolved.maps.min() < 0  # the in-place ReLU did not overwrite what was shown
    np.testing.assert_array_equal(rectified.maps, convolved.maps.clip(0))
    np.testing.assert_array_equal(pooled.maps, rectified.maps.reshape(4, 8, 2, 8, 2).max((2, 4)))
    np.testing.assert_allclose(convolved.maps, model[0](IMAGE)[0].detach(), rtol=1e-6)


def test_of_many_maps_those_that_vary_most_are_shown_and_stay_in_their_columns():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 40, 3), nn.Dropout(), nn.Sigmoid(), nn.Conv2d(40, 3, 3)).eval()
    wide, sigmoid, last = feature_maps(model, IMAGE)  # dropout does nothing here
    assert wide.shown == sigmoid.shown
    assert (len(wide.shown), wide.n_maps) == (MOST_MAPS, 40)
    spread = sigmoid_of(model).std((1, 2), ddof=1)
    assert set(wide.shown) == set(np.argsort(-spread)[:MOST_MAPS].tolist())
    assert last.shown == (0, 1, 2)


def sigmoid_of(model):
    return model[:3](IMAGE)[0].detach().numpy()


def test_a_deep_network_shows_its_first_layers_and_the_end_of_each_stage():
    def stage(channels):
        return nn.Sequential(*[nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.GELU()) for _ in range(5)])

    model = nn.Sequential(nn.Conv2d(1, 2, 1), stage(2), nn.AvgPool2d(2), stage(2), nn.MaxPool2d(2), stage(2)).eval()
    found = feature_maps(model, IMAGE)
    assert [layer.name for layer in found] == ["0", "1.0.1", "1", "2", "3", "5"]
    assert [layer.kind for layer in found] == ["convolution", "activation", "stage", "pooling", "stage", "stage"]
    assert len(found) <= MOST_LAYERS


def test_a_model_without_maps_has_none():
    assert feature_maps(nn.Sequential(nn.Flatten(), nn.Linear(256, 3)), IMAGE) == []
