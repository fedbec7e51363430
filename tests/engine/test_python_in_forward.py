"""Models whose `forward` is steered by Python: trained with `auto` as eagerly, and resumed to the same bits."""

from __future__ import annotations

import io
import itertools
import random

import numpy as np
import pytest
import torch
from torch import nn

from cvexp.config import run_config
from cvexp.data.dataset import Dataset, Split
from cvexp.device import GeneratorStates, choose, seed_everything
from cvexp.engine.fit import Fit, choose_step
from cvexp.engine.layout import apply_layout, choose_layout

SHAPE = (1, 8, 8)


def noise(n_images, seed=1, shape=SHAPE):
    generator = torch.Generator().manual_seed(seed)
    return Split(
        images=torch.randint(0, 256, (n_images, *shape), dtype=torch.uint8, generator=generator),
        labels=torch.randint(0, 3, (n_images,), generator=generator),
    )


def data_of(shape=SHAPE, n=150):
    names, test = ("a", "b", "c"), noise(40, 2, shape)
    train = noise(n, 1, shape)
    return Dataset(name="noise", class_names=names, train=train, val=None, test=test, digest="0", place="-")


class Steered(nn.Module):
    """A linear layer whose logits are scaled by `self.factor()`, Python code that each subclass has."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 3)

    def forward(self, images):
        return self.layer(images.flatten(1)) * self.factor()


class Counter(Steered):
    n = 0

    def factor(self):
        self.n += 1
        return 1.0 if self.n <= 12 else 0.1


class CountsInAList(Steered):
    def __init__(self):
        super().__init__()
        self.calls = []

    def factor(self):
        self.calls.append(len(self.calls))
        return 1.0 if len(self.calls) <= 12 else 0.1


class Schedule:
    def __init__(self):
        self.n = 0

    def step(self):
        self.n += 1
        return 1.0 if self.n <= 12 else 0.1


class HoldsASchedule(Steered):
    def __init__(self):
        super().__init__()
        self.schedule = Schedule()

    def factor(self):
        return self.schedule.step()


class CountsOnItsClass(Steered):
    n = 0

    def factor(self):
        CountsOnItsClass.n += 1
        return 1.0 if CountsOnItsClass.n <= 12 else 0.1


N_CALLS = 0


class CountsInItsFile(Steered):
    def factor(self):
        global N_CALLS  # noqa: PLW0603 - what is tested
        N_CALLS += 1
        return 1.0 if N_CALLS <= 12 else 0.1


class CountsEpochs(Steered):
    """Steered by how often training mode was entered."""

    n = 0

    def train(self, mode=True):  # noqa: FBT002 - torch's signature
        self.n += mode
        return super().train(mode)

    def factor(self):
        return 1.0 if self.n <= 2 else 0.1


class DrawsFromRandom(Steered):
    def factor(self):
        return 1.0 if random.random() < 0.9 else 0.1


class DrawsFromNumpy(Steered):
    def factor(self):
        return 1.0 if np.random.rand() < 0.9 else 0.1  # noqa: NPY002 - the generator that user code draws from


class HoldsAGenerator(Steered):
    def __init__(self):
        super().__init__()
        self.generator = np.random.default_rng(3)

    def factor(self):
        return 1.0 if self.generator.random() < 0.9 else 0.1


class SeedsTorch(Steered):
    def factor(self):
        torch.manual_seed(4)
        return torch.rand(3)


class DrawsFromTorch(Steered):
    def factor(self):
        return 0.5 + torch.rand(3)


PYTHON = [
    Counter,
    CountsInAList,
    HoldsASchedule,
    CountsOnItsClass,
    CountsInItsFile,
    CountsEpochs,
    DrawsFromRandom,
    DrawsFromNumpy,
    HoldsAGenerator,
    SeedsTorch,
]


def made(kind):
    global N_CALLS  # noqa: PLW0603 - each training counts from 0
    N_CALLS = CountsOnItsClass.n = 0
    seed_everything(42)
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002 - the generator that user code draws from
    return kind()


def configured(step="auto", **settings):
    return run_config({"model": "linear", "epochs": 4, "batch_size": 32, "lr": 0.1, "step": step, **settings})


def step_losses(model, step, data=None):
    history = list(Fit(model, data or data_of(), config=configured(step), device=choose("cpu")))
    return [loss for epoch in history for loss in epoch.step_losses.tolist()]


@pytest.mark.parametrize("kind", [*PYTHON, DrawsFromTorch])
def test_auto_trains_what_python_steers_as_eager_steps_do(kind):
    expected = step_losses(made(kind), "eager")
    assert step_losses(made(kind), "auto") == expected


@pytest.mark.parametrize("kind", PYTHON)
def test_what_python_steers_is_trained_eagerly_and_the_reason_says_so(kind):
    chosen = choose_step(made(kind), data_of(n=150), configured())
    assert (chosen.runner.name, chosen.reason.partition(":")[0]) == ("eager", "not captured")


def test_the_reason_names_the_attribute_or_the_generator():
    reasons = {kind: choose_step(made(kind), data_of(n=150), configured()).reason for kind in PYTHON}
    assert "Counter.n" in reasons[Counter]
    assert "HoldsASchedule.schedule" in reasons[HoldsASchedule]
    assert "N_CALLS" in reasons[CountsInItsFile]
    assert "Python's random" in reasons[DrawsFromRandom]
    assert "numpy" in reasons[DrawsFromNumpy]


def test_draws_from_torch_itself_are_captured():
    assert choose_step(made(DrawsFromTorch), data_of(n=150), configured()).runner.name == "captured"


class Remembers(Steered):
    """Keeps what it last saw, as models do for visualisation, and is not steered by it."""

    def __init__(self):
        super().__init__()
        self.seen, self.sizes = None, {"batch": 0}

    def factor(self):
        return 1.0

    def forward(self, images):
        self.seen, self.sizes["batch"] = images, len(images)
        return super().forward(images)


@pytest.mark.parametrize("kind", [*PYTHON, Remembers])
def test_choosing_a_runner_leaves_no_trace_in_the_model_or_the_generators(kind):
    model = made(kind)
    attributes = repr({key: value for key, value in vars(model).items() if key not in ("_modules", "generator")})
    schedule = vars(model.schedule).copy() if kind is HoldsASchedule else None
    own = model.generator.bit_generator.state if kind is HoldsAGenerator else None
    weights = [tensor.clone() for tensor in model.state_dict().values()]
    drawn = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # noqa: NPY002
    choose_step(model, data_of(n=150), configured())
    assert repr({k: v for k, v in vars(model).items() if k not in ("_modules", "generator")}) == attributes
    assert (CountsOnItsClass.n, N_CALLS) == (0, 0)
    assert schedule is None or vars(model.schedule) == schedule
    assert own is None or model.generator.bit_generator.state == own
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), weights, strict=True))
    assert all(parameter.grad is None for parameter in model.parameters())
    assert random.getstate() == drawn[0]
    assert np.random.get_state()[1].tolist() == drawn[1]  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), drawn[2])


def test_a_model_that_only_remembers_what_it_saw_is_captured():
    assert choose_step(made(Remembers), data_of(n=160), configured()).runner.name == "captured"


class EndsInOnePixel(nn.Module):
    """Convolutions down to maps of 1x1, as a resnet has them on small images."""

    def __init__(self):
        super().__init__()
        widths = (3, 8, 16, 16, 32)
        self.features = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(a, b, 3, stride=2, padding=1, bias=False),
                    nn.BatchNorm2d(b),
                    nn.ReLU(),
                    nn.Conv2d(b, b, 3, padding=1, bias=False),
                    nn.BatchNorm2d(b),
                    nn.ReLU(),
                )
                for a, b in itertools.pairwise(widths)
            )
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(widths[-1], 3)

    def forward(self, images):
        return self.head(self.pool(self.features(images)).flatten(1))


def resnet18():
    from torchvision.models import resnet18 as build

    return build(num_classes=3)


@pytest.mark.parametrize("kind", [EndsInOnePixel, pytest.param(resnet18, marks=pytest.mark.slow)])
def test_channels_last_networks_that_end_in_one_pixel_train_as_eagerly(kind):
    shape = (3, 16, 16) if kind is EndsInOnePixel else (3, 32, 32)
    data = data_of(shape)
    found = []
    for step in ("eager", "auto"):
        model = made(kind)
        layout = choose_layout(model, shape, batch_size=32, device=choose("cpu"), n_threads=1)
        assert layout.memory_format == "channels_last"
        found.append(step_losses(apply_layout(model, layout), step, data))
    assert found[0] == found[1]


def stored(state):
    """What a file gives back."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return torch.load(io.BytesIO(buffer.getvalue()), weights_only=True)


class DrawsFromAll(Steered):
    def factor(self):
        return 0.5 + random.random() + random.gauss(1, 0.1) + np.random.rand() + np.random.randn()  # noqa: NPY002


@pytest.mark.parametrize("leave_at", [1, 2, 7, 9])
def test_what_draws_from_python_and_numpy_is_resumed_to_the_same_bits(monkeypatch, leave_at):
    monkeypatch.setattr("cvexp.engine.fit.CALL_SECONDS", 1e-6)  # one step a call

    class Left(Exception):  # noqa: N818 - what the test raises to leave a training
        pass

    pauses = iter(range(1, 1000))

    def callback(_progress):
        if next(pauses) == leave_at:
            raise Left

    def fit_of(callback=None):
        return Fit(made(DrawsFromAll), data_of(), config=configured(), device=choose("cpu"), callback=callback)

    expected = [epoch.step_losses.tolist() for epoch in fit_of()]
    fit, history = fit_of(callback), []
    with pytest.raises(Left):  # noqa: PT012 - what was yielded before it is part of the test
        for epoch in fit:
            history.append(epoch.step_losses.tolist())  # noqa: PERF401 - what was yielded before the end stays
    state = stored(fit.state())
    random.random()
    np.random.rand()  # noqa: NPY002
    fit = fit_of()
    fit.load_state(state)
    assert [*history, *(epoch.step_losses.tolist() for epoch in fit)] == expected


def test_one_seed_gives_one_training_of_what_draws_from_python_and_numpy():
    found = []
    for other in (1, 2):
        model = made(DrawsFromAll)
        random.seed(other)
        np.random.seed(other)  # noqa: NPY002
        found.append(step_losses(model, "auto"))
    assert found[0] == found[1]


def test_a_state_without_python_s_generators_still_loads():
    fit = Fit(made(DrawsFromTorch), data_of(), config=configured(), device=choose("cpu"))
    next(iter(fit))
    state = fit.state()
    for name in ("generators", "epoch_start"):
        state[name] = {"cpu": state[name]["cpu"], "device": None}
    fit.load_state(stored(state))
    assert len(list(fit)) == 3


def test_restored_generators_of_python_and_numpy_draw_again_what_followed():
    def draws():
        return [random.random(), random.gauss(), np.random.rand(), np.random.randn()]  # noqa: NPY002

    seed_everything(5)
    draws()
    states = stored(GeneratorStates.capture(torch.device("cpu")).to_plain())
    following = draws()
    seed_everything(9)
    GeneratorStates.from_plain(states).restore(torch.device("cpu"))
    assert draws() == following
