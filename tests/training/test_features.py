from __future__ import annotations

import pytest
import torch
from torch import nn

from cvexp.config import run_config
from cvexp.data.dataset import load
from cvexp.data.registry import find_spec
from cvexp.data.transforms import Transform
from cvexp.device import choose, seed_everything
from cvexp.engine.fit import Fit
from cvexp.errors import ConfigError
from cvexp.inference.evaluate import evaluate
from cvexp.inference.predictor import images_per_batch, logits_by_class
from cvexp.models.freeze import freeze
from cvexp.training.features import cache_features

SHAPE, K = (1, 8, 8), 10
CPU = choose("cpu")


class Net(nn.Module):
    """A backbone with batch normalisation whose statistics are not the data's, and a head."""

    def __init__(self, *, dropout=0.0, hidden=False, softmax=False):
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(1, 12, 3), nn.BatchNorm2d(12), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(dropout)
        )
        self.backbone[1].running_mean.uniform_(-1, 1)
        self.hidden = nn.Linear(108, 108) if hidden else nn.Identity()
        self.head = nn.Linear(108, K)
        self.end = nn.Softmax(dim=1) if softmax else nn.Identity()

    def forward(self, images):
        return self.end(self.head(self.hidden(self.backbone(images))))


def config(what="all-but-head", **settings):
    asked = {
        "model": "linear",
        "dataset": "digits",
        "device": "cpu",
        "freeze": what,
        "cache_features": True,
        "lr": 0.01,
    }
    return run_config({**asked, **settings})


def prepared(what="all-but-head", *, val_split=0.0, **options):
    seed_everything(3)
    model = Net(**options)
    freeze(model, what, n_classes=K)
    dataset = load(find_spec("digits"), None, limit=300, val_split=val_split)
    return model, dataset


def test_cached_features_are_those_of_an_evaluation_to_the_bit():
    model, dataset = prepared()
    cached = cache_features(model, dataset, config(), CPU)
    assert cached.dataset.train.images.shape == (300, 108, 1, 1)
    found = []
    size = images_per_batch(model, SHAPE, torch.device("cpu"))
    model.head.register_forward_pre_hook(lambda _, inputs: found.append(inputs[0].clone()))
    for split, features in ((dataset.train, cached.dataset.train), (dataset.test, cached.dataset.test)):
        found.clear()
        logits_by_class(model, split.images, dataset.transform, device=torch.device("cpu"), batch_size=size)
        assert torch.equal(torch.cat(found), features.images[:, :, 0, 0])
        assert torch.equal(split.labels, features.labels)
        assert not features.images.is_inference()


def test_a_head_trained_on_cached_features_is_the_models_and_learns_what_it_learns_without_a_cache():
    plain, dataset = prepared()
    expected = list(Fit(plain, dataset, config=config(), device=CPU))
    model, dataset = prepared()
    cached = cache_features(model, dataset, config(), CPU)
    history = list(Fit(cached.head, cached.dataset, config=config(), device=CPU, seconds_before=cached.train_seconds))
    for ours, theirs in zip(history, expected, strict=True):
        assert ours.train.loss == pytest.approx(theirs.train.loss, rel=1e-5)
        assert ours.held_out.metrics.loss == pytest.approx(theirs.held_out.metrics.loss, rel=1e-5)
        assert ours.train.accuracy == theirs.train.accuracy
    torch.testing.assert_close(model.state_dict(), plain.state_dict())
    whole = evaluate(model, dataset.test, transform=Transform(), class_names=dataset.class_names)
    assert whole.metrics.loss == pytest.approx(history[-1].held_out.metrics.loss, rel=1e-6)
    assert history[0].timing.train_seconds > cached.train_seconds


def test_the_test_split_is_not_looked_at_where_there_is_a_validation_split():
    model, dataset = prepared(val_split=0.2)
    cached = cache_features(model, dataset, config(), CPU)
    assert cached.dataset.val.images.shape[1] == 108
    assert cached.dataset.test is dataset.test


def test_training_on_cached_features_goes_on_from_a_state_to_the_same_bits():
    def fit():
        model, dataset = prepared()
        cached = cache_features(model, dataset, config(epochs=3), CPU)
        return model, Fit(cached.head, cached.dataset, config=config(epochs=3), device=CPU)

    model, whole = fit()
    history = list(whole)
    _, left = fit()
    next(iter(left))
    resumed_model, resumed = fit()
    resumed.load_state(left.state())
    later = list(resumed)
    assert [e.step_losses.tolist() for e in later] == [e.step_losses.tolist() for e in history[1:]]
    assert all(
        torch.equal(a, b) for a, b in zip(model.state_dict().values(), resumed_model.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize(
    ("what", "options", "complaint"),
    [
        ("1", {"hidden": True}, "--freeze 1 leaves hidden.weight to be trained"),
        ("all-but-head", {"softmax": True}, "not the outputs of its head alone"),
    ],
)
def test_features_are_not_cached_where_the_head_is_not_all_that_is_left(what, options, complaint):
    model, dataset = prepared(what, **options)
    with pytest.raises(ConfigError, match=complaint):
        cache_features(model, dataset, config(what), CPU)


class Restless(Net):
    """Draws in front of its head whatever mode its parts are in."""

    def forward(self, images):
        return self.head(nn.functional.dropout(self.backbone(images), 0.5, self.training))


def test_features_are_not_cached_where_they_differ_in_training():
    seed_everything(3)
    model = Restless()
    freeze(model, "all-but-head", n_classes=K)
    with pytest.raises(ConfigError, match="in training mode the inputs of the head differ"):
        cache_features(model, load(find_spec("digits"), None, limit=50), config(), CPU)


def test_dropout_of_a_frozen_part_is_off_and_does_not_stop_the_cache():
    model, dataset = prepared(dropout=0.5)
    assert cache_features(model, dataset, config(), CPU) is not None


def test_augmentation_declines_the_cache():
    model, dataset = prepared()
    with pytest.raises(ConfigError, match="with --augment flip-crop the images differ"):
        cache_features(model, dataset, config(augment="flip-crop"), CPU)


@pytest.mark.parametrize("name", ["auto", "eager", "captured"])
def test_every_way_to_run_steps_trains_the_head_alike(name):
    model, dataset = prepared()
    cached = cache_features(model, dataset, config(), CPU)
    (epoch,) = Fit(cached.head, cached.dataset, config=config(epochs=1, step=name), device=CPU)
    again, dataset = prepared()
    cached = cache_features(again, dataset, config(), CPU)
    (expected,) = Fit(cached.head, cached.dataset, config=config(epochs=1, step="eager"), device=CPU)
    assert epoch.step_losses.tolist() == expected.step_losses.tolist()
