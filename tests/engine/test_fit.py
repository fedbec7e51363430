from __future__ import annotations

import time

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from cvexp.config import run_config
from cvexp.data.dataset import Dataset, Split, load
from cvexp.data.registry import find_spec
from cvexp.data.transforms import Transform
from cvexp.device import choose, seed_everything
from cvexp.engine.fit import Fit, Progress
from cvexp.inference.evaluate import evaluate
from cvexp.models.registry import build, find_entry


def prepared(model="linear", **settings):
    config = run_config({"model": model, "dataset": "digits", "device": "cpu", **settings})
    dataset = load(find_spec("digits"), None, val_split=config.val_split)
    seed_everything(config.seed)
    module = build(
        find_entry(model),
        image_shape=dataset.image_shape,
        n_classes=10,
        hidden_units=config.hidden_units,
        model_args={},
    )
    return module, dataset, config


def history(model="linear", **settings):
    module, dataset, config = prepared(model, **settings)
    return [epoch.keyed() for epoch in Fit(module, dataset, config=config, device=choose("cpu"))], module


def losses(figures):
    return [(f["train/loss"], f["test/loss"], f["train/accuracy"], f["test/accuracy"]) for f in figures]


def course_loop(dataset, *, epochs, batch_size, seed, optimizer):
    """The course's loop as its readers write it: a plain loader, a loss read at every step."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.Linear(10, 10))
    train = TensorDataset(dataset.train.images / 255, dataset.train.labels)
    test = TensorDataset(dataset.test.images / 255, dataset.test.labels)
    train_batches = DataLoader(train, batch_size=batch_size, shuffle=True)
    test_batches = DataLoader(test, batch_size=batch_size, shuffle=False)
    step = optimizer(model.parameters())
    torch.manual_seed(seed)
    seen = []
    for _ in range(epochs):
        total = 0.0
        for images, labels in train_batches:
            model.train()
            loss = functional.cross_entropy(model(images), labels)
            step.zero_grad()
            loss.backward()
            step.step()
            total += loss.item() * len(labels)
        model.eval()
        with torch.inference_mode():
            test_total = sum(
                functional.cross_entropy(model(images), labels, reduction="sum").item()
                for images, labels in test_batches
            )
        seen.append((total / len(train), test_total / len(test)))
    return seen


@pytest.mark.parametrize(
    ("name", "optimizer"),
    [
        ("sgd", lambda parameters: torch.optim.SGD(parameters, lr=0.05)),
        ("adam", lambda parameters: torch.optim.Adam(parameters, lr=0.05)),
        ("adamw", lambda parameters: torch.optim.AdamW(parameters, lr=0.05)),
    ],
)
def test_losses_are_those_of_the_course_loop(name, optimizer):
    _, dataset, _ = prepared()
    expected = course_loop(dataset, epochs=3, batch_size=32, seed=5, optimizer=optimizer)
    figures, _ = history(epochs=3, batch_size=32, seed=5, optimizer=name, lr=0.05)
    for seen, (train_loss, test_loss) in zip(figures, expected, strict=True):
        assert seen["train/loss"] == pytest.approx(train_loss, abs=2e-6)
        assert seen["test/loss"] == pytest.approx(test_loss, abs=2e-6)


@pytest.mark.parametrize("model", ["linear", "mlp", "tinyvgg"])
def test_one_seed_gives_one_history(model):
    first, _ = history(model, epochs=2)
    again, _ = history(model, epochs=2)
    other, _ = history(model, epochs=2, seed=43)
    assert losses(first) == losses(again)
    assert losses(first) != losses(other)


def test_what_the_consumer_draws_between_epochs_changes_nothing():
    undisturbed, _ = history(epochs=3)
    module, dataset, config = prepared(epochs=3)
    disturbed = []
    for epoch in Fit(module, dataset, config=config, device=choose("cpu")):
        disturbed.append(epoch.keyed())
        torch.rand(17)
    assert losses(disturbed) == losses(undisturbed)


def test_stopping_early_is_a_break():
    module, dataset, config = prepared(epochs=50)
    for epoch in Fit(module, dataset, config=config, device=choose("cpu")):
        if epoch.epoch == 2:
            break
    assert epoch.epoch == 2


def test_a_short_last_batch_counts_by_its_images():
    module, dataset, config = prepared(epochs=1, batch_size=1000, lr=1e-12)
    start = evaluate(module, dataset.train, transform=Transform(), class_names=dataset.class_names).metrics
    (epoch,) = Fit(module, dataset, config=config, device=choose("cpu"))
    assert len(dataset.train) % 1000
    assert epoch.train.loss == pytest.approx(start.loss, abs=1e-6)
    assert epoch.train.accuracy == start.accuracy
    assert epoch.train.n_images == len(dataset.train)


def test_a_validation_part_is_what_is_watched():
    figures, _ = history(epochs=1, val_split=0.2)
    assert {"val/loss", "val/accuracy"} <= figures[0].keys()
    assert "test/loss" not in figures[0]


def test_every_epoch_carries_the_promised_figures():
    figures, _ = history(epochs=1)
    assert figures[0].keys() == {
        "train/loss",
        "train/accuracy",
        "test/loss",
        "test/accuracy",
        "test/balanced_accuracy",
        "test/macro_f1",
        "time/epoch_seconds",
        "throughput/images_per_second",
    }
    assert figures[0]["time/epoch_seconds"] > 0


def test_the_consumer_is_called_between_steps_and_its_time_is_in_no_figure(monkeypatch):
    monkeypatch.setattr("cvexp.engine.fit.CALL_SECONDS", 0.001)
    told: list[Progress] = []
    module, dataset, config = prepared(epochs=1)
    n_steps = -(-len(dataset.train) // 32)

    def callback(progress):
        told.append(progress)
        time.sleep(0.02)

    (epoch,) = Fit(module, dataset, config=config, device=choose("cpu"), callback=callback)
    assert len(told) > 3
    assert all(0 < p.step <= n_steps == p.n_steps for p in told)
    assert sorted(p.step for p in told) == [p.step for p in told]
    assert epoch.timing.train_seconds + epoch.timing.evaluate_seconds < 0.02 * len(told)


def test_dropout_and_batch_norm_train_and_evaluate_in_their_own_modes():
    _, dataset, config = prepared(epochs=2)
    seed_everything(0)
    module = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 10)
    )
    list(Fit(module, dataset, config=config, device=choose("cpu")))
    assert module[2].num_batches_tracked == 2 * -(-len(dataset.train) // 32)
    first = evaluate(module, dataset.test, transform=Transform(), class_names=dataset.class_names)
    again = evaluate(module, dataset.test, transform=Transform(), class_names=dataset.class_names)
    assert first.metrics == again.metrics
    assert module[2].num_batches_tracked == 2 * -(-len(dataset.train) // 32)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 8, 8), (3, 37, 53)])
def test_tinyvgg_trains_on_images_of_any_shape(shape):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (45, *shape), dtype=torch.uint8, generator=generator)
    split = Split(images=images, labels=torch.arange(45) % 3)
    dataset = Dataset(
        name="noise", class_names=("a", "b", "c"), train=split, val=None, test=split, digest="0" * 16, place="memory"
    )
    seed_everything(1)
    module = build(find_entry("tinyvgg"), image_shape=shape, n_classes=3, hidden_units=10, model_args={})
    before = {name: value.clone() for name, value in module.state_dict().items()}
    config = run_config({"model": "tinyvgg", "epochs": 2, "batch_size": 16, "lr": 0.01})
    figures = list(Fit(module, dataset, config=config, device=choose("cpu")))
    assert figures[1].train.loss != figures[0].train.loss
    assert all(not torch.equal(before[name], value) for name, value in module.state_dict().items())
