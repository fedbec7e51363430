from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from cvexp.models.stem import fit_stem, input_weights


class Residual(nn.Module):
    """The parts of a ResNet that a stem is made of."""

    def __init__(self, *, bias=False):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 7, stride=2, padding=3, bias=bias)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.head = nn.Conv2d(4, 2, 1)

    def forward(self, images):
        return self.head(self.maxpool(self.conv1(images)))


@pytest.mark.parametrize(
    ("shape", "stem", "side"),
    [((3, 64, 64), "auto", 64), ((3, 65, 64), "auto", 17), ((3, 32, 32), "full", 8), ((3, 80, 80), "small", 80)],
)
def test_a_residual_networks_stem_keeps_the_size_of_small_images(shape, stem, side):
    model = fit_stem(Residual(), shape, stem=stem)
    assert model(torch.zeros(1, *shape)).shape[2] == side
    assert bool(model.adaptations) is (side > 20)


def test_a_network_without_such_a_stem_is_left_as_it_is_unless_one_is_asked_for():
    plain = nn.Sequential(nn.Conv2d(3, 2, 3))
    assert fit_stem(plain, (3, 8, 8), stem="auto").adaptations == ()
    with pytest.raises(ValueError, match="stem=small"):
        fit_stem(plain, (3, 8, 8), stem="small")
    with pytest.raises(ValueError, match="stem=wide is not auto, small or full"):
        fit_stem(plain, (3, 8, 8), stem="wide")


def test_a_grey_image_gives_what_it_gives_as_rgb():
    torch.manual_seed(0)
    model = Residual(bias=True)
    image = torch.rand(2, 1, 16, 16)
    expected = model(image.expand(-1, 3, -1, -1))
    fitted = fit_stem(model, (1, 16, 16), stem="full")
    assert fitted.adaptations == ("its first convolution takes 1 channel instead of 3",)
    torch.testing.assert_close(fitted(image), expected)


@pytest.mark.parametrize("channels", [1, 2, 4, 7])
def test_other_channels_keep_the_size_of_the_outputs(channels):
    weights = torch.rand(5, 3, 3, 3)
    made = input_weights(weights, channels)
    assert made.shape == (5, channels, 3, 3)
    ones = functional.conv2d(torch.ones(1, channels, 3, 3), made).flatten()
    if channels in (1, 6):
        torch.testing.assert_close(ones, weights.sum(dim=(1, 2, 3)))
    assert ones.sum() == pytest.approx(float(weights.sum()), rel=0.5)


@pytest.mark.parametrize("model", [nn.Sequential(nn.Linear(3, 3)), nn.Sequential(nn.Conv2d(4, 2, 3))])
def test_a_network_whose_first_layer_cannot_be_fitted_is_refused(model):
    with pytest.raises(ValueError, match="convolution"):
        fit_stem(model, (1, 8, 8))
