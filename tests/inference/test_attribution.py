"""Grad-CAM against its definition by hand, in models that are built in awkward ways."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from cvexp.engine.backends.captured import CALLED_HOOKS
from cvexp.inference.attribution import attribute

IMAGES = torch.rand(3, 2, 8, 12, generator=torch.Generator().manual_seed(0))
CLASSES = torch.tensor([[0, 1], [2, 0], [1, 1]])


def network(*, inplace=True):
    torch.manual_seed(0)
    head = nn.Linear(5 * 4 * 6, 3)
    body = nn.Sequential(nn.Conv2d(2, 5, 3, padding=1), nn.ReLU(inplace=inplace), nn.MaxPool2d(2), nn.BatchNorm2d(5))
    return nn.Sequential(body, nn.ReLU(inplace=inplace), nn.Flatten(), head).eval()


def by_hand(body, head, images, class_index):
    """The definition, one image and one class at a time."""
    maps = body(images).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(head(maps)[0, class_index], maps)
    cam = sum(gradient[0, k].mean() * maps[0, k] for k in range(maps.shape[1])).relu()
    return functional.interpolate(cam[None, None], images.shape[2:], mode="bilinear")[0, 0].detach()


def hooks_of(model):
    return [hooks for module in model.modules() for name in CALLED_HOOKS for hooks in [vars(module)[name]] if hooks]


@pytest.mark.parametrize("inplace", [True, False])
def test_a_class_map_is_the_maps_weighted_by_their_mean_gradients(inplace):
    model = network(inplace=inplace)
    found = attribute(model, IMAGES, CLASSES)
    assert (found.layer, found.layer_shape) == ("1", (5, 4, 6))
    reference = network(inplace=False)
    for k in range(3):
        for m in range(2):
            expected = by_hand(reference[:2], reference[2:], IMAGES[k : k + 1], int(CLASSES[k, m]))
            torch.testing.assert_close(found.maps[k, m], expected)


def test_the_model_is_left_without_hooks_gradients_or_another_mode():
    model = network()
    for parameter in model[0].parameters():
        parameter.requires_grad_(requires_grad=False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert attribute(model, IMAGES, CLASSES).maps.max() > 0  # frozen parameters do not matter
    assert hooks_of(model) == []
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not IMAGES.requires_grad


def test_hooks_are_removed_when_the_model_fails():
    model = network()
    with pytest.raises(RuntimeError):
        attribute(model, IMAGES[:, :1], CLASSES)
    assert hooks_of(model) == []


def test_a_linear_model_has_the_gradient_of_its_logits():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(2 * 8 * 12, 3))
    found = attribute(model, IMAGES, CLASSES)
    assert found.layer is None
    weights = model[1].weight.detach().view(3, 2, 8, 12).sum(1)
    torch.testing.assert_close(found.maps, weights[CLASSES])


class ChannelsLast(nn.Module):
    """Its last layer's output is (N, h, w, C), and a branch that no logit depends on runs after it."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(2, 7, 2, stride=2)
        self.last = nn.Linear(7, 3)
        self.auxiliary = nn.Conv2d(7, 1, 1)

    def forward(self, images):
        maps = self.stem(images)
        self.auxiliary(maps)
        return self.last(maps.permute(0, 2, 3, 1)).mean((1, 2))


def test_the_last_maps_are_those_of_the_images_proportions_that_logits_depend_on():
    found = attribute(ChannelsLast().eval(), IMAGES, CLASSES)
    assert (found.layer, found.layer_shape) == ("stem", (7, 4, 6))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["resnet18", "mobilenet_v3_small", "convnext_tiny", "efficientnet_b0", "vit_b_16", "swin_t"]
)
def test_torchvisions_models_have_maps(name):
    from torchvision import models

    torch.manual_seed(0)
    size = 224 if name == "vit_b_16" else 96
    model = getattr(models, name)(num_classes=4).eval()
    images = torch.rand(1, 3, size, size)
    found = attribute(model, images, torch.tensor([[1, 2]]))
    assert found.layer
    assert found.maps.shape == (1, 2, size, size)
    with torch.no_grad():
        assert torch.isfinite(model(images)).all()
