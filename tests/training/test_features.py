from __future__ import annotations

import pytest
import torch
from torch import nn

from cvexp.config import run_config
from cvexp.data.dataset import load
from cvexp.data.progress import told_to
from cvexp.data.registry import find_spec
from cvexp.data.transforms import Transform
from cvexp.device import choose, seed_everything
from cvexp.engine.fit import Fit
from cvexp.errors import ConfigError
from cvexp.inference.evaluate import evaluate
from cvexp.inference.predictor import images_per_batch, logits_by_class
from cvexp.models.freeze import freeze
from cvexp.training.features import LastFeatures, cache_features

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


def test_cached_features_are_those_of_an_evaluation_to_the_bit_and_in_training_of_a_steps_batches():
    model, dataset = prepared()
    cached = cache_features(model, dataset, config(batch_size=48), CPU)
    assert cached.dataset.train.images.shape == (300, 108, 1, 1)
    found = []
    of_evaluation = images_per_batch(model, SHAPE, torch.device("cpu"))
    model.head.register_forward_pre_hook(lambda _, inputs: found.append(inputs[0].clone()))
    for split, features, size in (
        (dataset.train, cached.dataset.train, 48),
        (dataset.test, cached.dataset.test, of_evaluation),
    ):
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


@pytest.fixture
def seen(monkeypatch):
    """How many images went through the backbone, split by split."""
    counts = []

    def counted(model, images, *rest, **how):
        counts.append(len(images))
        return logits_by_class(model, images, *rest, **how)

    monkeypatch.setattr("cvexp.training.features.logits_by_class", counted)
    return counts


def test_runs_with_the_same_frozen_weights_share_their_features_and_train_heads_of_their_own(seen):
    features = LastFeatures()
    model, dataset = prepared()
    first = features(model, dataset, config(), CPU)
    other, dataset = prepared()
    nn.init.zeros_(other.head.weight)
    second = features(other, dataset, config(seed=7, epochs=9, lr=0.5), CPU)
    assert seen == [300, 300]
    assert second.dataset.train.images is first.dataset.train.images
    assert second.head.head is other.head
    assert (first.own_seconds, second.own_seconds) == (first.train_seconds, 0)
    assert second.seconds == first.seconds
    assert "earlier run" in str(second)
    assert (first.condition, second.condition) == ("cached", "cached by an earlier run")


@pytest.mark.parametrize("what", ["weights", "statistics", "images", "precision", "batches"])
def test_features_are_computed_anew_where_they_would_be_others(what, seen):
    features = LastFeatures()
    model, dataset = prepared()
    features(model, dataset, config(), CPU)
    model, dataset = prepared(val_split=0.2 if what == "images" else 0)
    with torch.no_grad():
        if what == "weights":
            model.backbone[0].weight[0, 0, 0, 0] += 1
        if what == "statistics":
            model.backbone[1].running_var[3] *= 2
    changed = {"images": {"val_split": 0.2}, "precision": {"precision": "bf16"}, "batches": {"batch_size": 8}}.get(
        what, {}
    )
    found = features(model, dataset, config(**changed), CPU)
    assert len(seen) == 4
    assert not found.is_shared


def test_features_are_not_kept_beside_a_run_without_them(seen):
    features = LastFeatures()
    model, dataset = prepared()
    features(model, dataset, config(), CPU)
    assert features(model, dataset, config(cache_features=False), CPU) is None
    features(model, dataset, config(), CPU)
    assert len(seen) == 4


def test_how_far_the_features_are_is_told():
    told = []
    model, dataset = prepared()
    with told_to(lambda *state: told.append(state)):
        cache_features(model, dataset, config(), CPU)
    assert told[0][0] == "computing features"
    assert told[-1] == ("computing features", 300, 300)


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
