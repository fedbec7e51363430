"""The training loss against torch's, against a calculation by hand, and in captured steps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import nn
from torch.nn import functional

from cvexp.config import run_config
from cvexp.engine.backends.captured import CapturedSteps
from cvexp.engine.backends.eager import EagerSteps
from cvexp.engine.loss import Loss, balanced_weights, loss_for, n_correct
from cvexp.engine.options import StepOptions
from cvexp.engine.state import TrainState
from cvexp.optim.rules import rule_for

LABELS = torch.tensor([0, 0, 0, 1, 2, 2, 0, 1])
WEIGHTS = torch.tensor([0.5, 2.0, 1.0])


def logits(n_images=8):
    return torch.randn(n_images, 3, generator=torch.Generator().manual_seed(1))


def soft(labels=LABELS):
    """Each image mixed with the one before it."""
    return 0.7 * functional.one_hot(labels, 3).float() + 0.3 * functional.one_hot(labels.roll(1), 3).float()


def test_smoothing_spreads_a_share_of_each_label_over_all_classes():
    log_p = logits().log_softmax(dim=1)
    target = 0.8 * functional.one_hot(LABELS, 3) + 0.2 / 3
    torch.testing.assert_close(Loss(smoothing=0.2)(logits(), LABELS), -(target * log_p).sum(dim=1).mean())


def test_smoothing_serves_labels_that_are_probabilities():
    log_p = logits().log_softmax(dim=1)
    target = 0.8 * soft() + 0.2 / 3
    torch.testing.assert_close(Loss(smoothing=0.2)(logits(), soft()), -(target * log_p).sum(dim=1).mean())


def test_balanced_weights_are_scikit_learns():
    expected = compute_class_weight("balanced", classes=np.arange(3), y=LABELS.numpy())
    assert balanced_weights(LABELS, n_classes=3).tolist() == pytest.approx(expected.tolist())
    assert balanced_weights(LABELS, n_classes=3)[LABELS].mean() == pytest.approx(1)
    assert balanced_weights(LABELS, n_classes=4)[3] == 0


def test_weighted_losses_count_each_class_alike():
    weights = loss_for(run_config({"model": "linear", "class_weights": "balanced"}), LABELS, n_classes=3).weights
    each = functional.cross_entropy(logits(), LABELS, reduction="none")
    by_class = torch.stack([each[k == LABELS].mean() for k in range(3)])
    torch.testing.assert_close(Loss(weights=weights)(logits(), LABELS), by_class.mean())


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("labels", [LABELS, soft()], ids=["classes", "probabilities"])
def test_the_parts_of_a_loss_add_up_to_its_mean(smoothing, weights, labels):
    loss = Loss(smoothing=smoothing, weights=weights)
    parts = [
        loss.part(a, b, divisor=loss.divisor(labels)) for a, b in zip(logits().split(3), labels.split(3), strict=True)
    ]
    torch.testing.assert_close(sum(parts), loss(logits(), labels))


def test_an_image_with_two_labels_is_right_where_the_likelier_one_is_on_top():
    top = logits().argmax(dim=1)
    assert int(n_correct(logits(), top)) == int(n_correct(logits(), soft(top))) == 8
    assert int(n_correct(logits(), soft((top + 1) % 3))) == 0


class Mixed:
    """A source whose labels are probabilities."""

    is_resident, device = True, torch.device("cpu")

    def __init__(self):
        self.images = torch.rand(77, 1, 4, 4, generator=torch.Generator().manual_seed(2))
        self.labels = soft(torch.arange(77) % 3)

    def __len__(self):
        return 77

    def gather(self, indices):
        return self.images[indices], self.labels[indices]

    def chunks(self, order, size, *, start, stop, prefetch):
        del prefetch
        return map(self.gather, torch.split(order[start:stop], size))


class Plain(Mixed):
    def __init__(self):
        super().__init__()
        self.labels = torch.arange(77) % 3


@pytest.mark.parametrize("source", [Plain, Mixed])
@pytest.mark.parametrize(
    "loss", [Loss(), Loss(smoothing=0.1), Loss(weights=WEIGHTS), Loss(smoothing=0.1, weights=WEIGHTS)]
)
def test_every_loss_is_captured_bit_for_bit(source, loss):
    outcomes = []
    for kind in (EagerSteps, CapturedSteps):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
        rule = rule_for(run_config({"model": "linear"}))
        steps = kind(TrainState(model, rule, lr=0.1, options=StepOptions(loss=loss)), source(), batch_size=32)
        losses = torch.zeros(3)
        n_right = [int(steps.run(torch.arange(77), losses, start, 2)) for start in (0, 2, 0)]
        outcomes.append((n_right, [losses, *model.parameters()]))
        if kind is CapturedSteps:
            assert steps.loop == "native"
    assert outcomes[0][0] == outcomes[1][0]
    assert all(torch.equal(a, b) for a, b in zip(outcomes[0][1], outcomes[1][1], strict=True))
