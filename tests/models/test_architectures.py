from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from cvexp import checkpoint
from cvexp.errors import ModelError
from cvexp.models.registry import build, entries, find_entry

K = 10
FASHION = (1, 28, 28)
SHAPES = [FASHION, (3, 32, 32), (1, 8, 8), (3, 37, 53), (1, 5, 4)]

every_model = pytest.mark.parametrize("name", sorted(entries()))
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))


def built(name, shape=FASHION, *, seed=42, n_classes=K, hidden_units=10, **model_args):
    torch.manual_seed(seed)
    return build(
        find_entry(name), image_shape=shape, n_classes=n_classes, hidden_units=hidden_units, model_args=model_args
    )


def batch(shape, n=16):
    draw = torch.Generator().manual_seed(1)
    return torch.rand(n, *shape, generator=draw), torch.randint(0, K, (n,), generator=draw)


def test_the_course_models_are_registered():
    assert {"linear", "mlp", "tinyvgg"} <= set(entries())


@every_model
@every_shape
@pytest.mark.parametrize("n_classes", [2, 10])
def test_every_model_gives_one_finite_logit_per_class(name, shape, n_classes):
    images, _ = batch(shape, n=3)
    logits = built(name, shape, n_classes=n_classes)(images)
    assert logits.shape == (3, n_classes)
    assert logits.dtype == torch.float32
    assert logits.isfinite().all()


@every_model
@every_shape
def test_every_parameter_gets_a_gradient(name, shape):
    model = built(name, shape)
    images, labels = batch(shape)
    functional.cross_entropy(model(images), labels).backward()
    gradients = {key: parameter.grad for key, parameter in model.named_parameters()}
    assert gradients
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients.values())
    assert [key for key, gradient in gradients.items() if not gradient.any()] == []


@every_model
@every_shape
def test_one_step_moves_every_parameter_and_lowers_the_loss(name, shape):
    model = built(name, shape)
    images, labels = batch(shape)
    before = {key: parameter.detach().clone() for key, parameter in model.named_parameters()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    loss = functional.cross_entropy(model(images), labels)
    loss.backward()
    optimizer.step()
    assert [key for key, parameter in model.named_parameters() if torch.equal(parameter, before[key])] == []
    assert functional.cross_entropy(model(images), labels) < loss


@every_model
@every_shape
def test_saved_and_loaded_a_model_gives_identical_logits(tmp_path, name, shape):
    model = built(name, shape, seed=1)
    digest = checkpoint.write(tmp_path / "weights.pt", checkpoint.serialised(model.state_dict()))
    other = built(name, shape, seed=2)
    images, _ = batch(shape)
    assert not torch.equal(other(images), model(images))
    other.load_state_dict(checkpoint.load(tmp_path / "weights.pt", sha256=digest))
    assert torch.equal(other(images), model(images))


@every_model
def test_an_image_is_judged_by_itself_alone(name):
    model = built(name).eval()
    images, _ = batch(FASHION, n=5)
    one_by_one = torch.cat([model(image[None]) for image in images])
    torch.testing.assert_close(model(images), one_by_one)


@pytest.mark.parametrize("shape", [(1, 3, 3), (1, 3, 10), (3, 10, 3), (1, 1, 1)])
def test_tinyvgg_refuses_images_it_cannot_halve_twice(shape):
    with pytest.raises(ModelError, match="at least 4x4") as caught:
        built("tinyvgg", shape)
    assert f"{shape[1]}x{shape[2]}" in caught.value.what


def test_tinyvgg_takes_the_smallest_image_it_can_halve_twice():
    assert built("tinyvgg", (1, 4, 4))(torch.zeros(2, 1, 4, 4)).shape == (2, K)


@pytest.mark.parametrize(("name", "n_parameters"), [("linear", 7960), ("mlp", 7960), ("tinyvgg", 7740)])
def test_the_course_models_have_the_courses_size(name, n_parameters):
    assert sum(parameter.numel() for parameter in built(name).parameters()) == n_parameters


def block(channels):
    return [
        nn.Conv2d(channels, 10, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(10, 10, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
    ]


COURSE = {
    "linear": lambda: [nn.Flatten(), nn.Linear(784, 10), nn.Linear(10, 10)],
    "mlp": lambda: [nn.Flatten(), nn.Linear(784, 10), nn.ReLU(), nn.Linear(10, 10), nn.ReLU()],
    "tinyvgg": lambda: [*block(1), *block(10), nn.Flatten(), nn.Linear(10 * 7 * 7, 10)],
}


@pytest.mark.parametrize("name", COURSE)
def test_one_seed_gives_the_courses_initial_weights_and_logits(name):
    torch.manual_seed(42)
    course = nn.Sequential(*COURSE[name]())
    model = built(name, seed=42)
    for ours, theirs in zip(model.parameters(), course.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    images, _ = batch(FASHION)
    assert torch.equal(model(images), course(images))


def test_the_mlps_last_relu_can_be_left_out_and_the_weights_stay():
    clipped, free = built("mlp"), built("mlp", output_relu=False)
    images, _ = batch(FASHION)
    logits = free(images)
    assert (logits < 0).any()
    assert torch.equal(clipped(images), logits.relu())


@every_model
def test_hidden_units_widen_a_model(name):
    narrow, wide = (sum(p.numel() for p in built(name, hidden_units=n).parameters()) for n in (4, 8))
    assert narrow < wide
