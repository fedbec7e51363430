from __future__ import annotations

import pytest
import torch
from torch import nn

from cvexp.data.transforms import Transform
from cvexp.inference.predictor import TorchPredictor, images_per_batch

CPU = torch.device("cpu")
TRANSFORM = Transform(mean=(0.25,), std=(0.5,))


def images_of(n_images):
    generator = torch.Generator().manual_seed(n_images)
    return torch.randint(0, 256, (n_images, 1, 8, 8), dtype=torch.uint8, generator=generator)


class Recording(nn.Module):
    """A linear model that notes the size of each batch, and whether it trains or records gradients."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 5)
        self.calls = []

    def forward(self, x):
        self.calls.append((len(x), self.training, torch.is_inference_mode_enabled()))
        return self.linear(x.flatten(1))


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setattr("cvexp.inference.predictor.images_per_batch", lambda *_: 7)


@pytest.mark.parametrize("n_images", [1, 7, 20])
def test_logits_are_those_of_the_transformed_images_whatever_the_batches(n_images, small_batches):
    model, images = Recording(), images_of(n_images)
    logits = TorchPredictor(model, TRANSFORM, CPU).logits(images)
    assert (logits.dtype, logits.shape, logits.is_contiguous()) == (torch.float32, (n_images, 5), True)
    sizes, training, inference = zip(*model.calls, strict=True)
    assert sum(sizes) == n_images
    assert max(sizes) <= 7
    assert not any(training)
    assert all(inference)
    with torch.inference_mode():
        assert torch.allclose(logits, model(TRANSFORM(images)), atol=1e-6)


def test_images_stay_as_they_are_and_no_random_number_is_drawn():
    images = images_of(9)
    before, state = images.clone(), torch.get_rng_state()
    predictor = TorchPredictor(nn.Sequential(nn.Flatten(), nn.Linear(64, 5)), TRANSFORM, CPU)
    torch.set_rng_state(state)
    predictor.logits(images)
    assert torch.equal(images, before)
    assert torch.equal(torch.get_rng_state(), state)


def test_an_image_beyond_every_budget_is_predicted_alone():
    huge = nn.Conv2d(1, 6 * 2**20, 1)
    assert images_per_batch(huge, (1, 1, 1), CPU) == 1
