from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss, precision_recall_fscore_support
from torch import nn

from cvexp.data.dataset import Split
from cvexp.data.transforms import Transform
from cvexp.inference.evaluate import evaluate
from cvexp.inference.predictor import CPU_BATCH_BYTES, CPU_LAYER_BYTES, images_per_batch
from cvexp.models.registry import build, find_entry

NAMES = ("cat", "dog", "emu", "fox", "gnu")


def split(n_images, shape=(1, 8, 8), n_classes=5):
    generator = torch.Generator().manual_seed(n_images)
    return Split(
        images=torch.randint(0, 256, (n_images, *shape), dtype=torch.uint8, generator=generator),
        labels=torch.randint(0, n_classes, (n_images,), generator=generator),
    )


@pytest.mark.parametrize("batch_size", [1, 7, 64, 500])
def test_figures_are_scikit_learns_whatever_the_last_batch(batch_size):
    data = split(131)
    torch.manual_seed(1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 5))
    found = evaluate(model, data, transform=Transform(), class_names=NAMES, batch_size=batch_size)
    with torch.no_grad():
        probabilities = model(data.images / 255).double().softmax(dim=1).numpy()
    labels, predictions = data.labels.numpy(), probabilities.argmax(axis=1)
    assert found.metrics.loss == pytest.approx(log_loss(labels, probabilities, labels=range(5)), abs=1e-6)
    assert found.metrics.accuracy == accuracy_score(labels, predictions)
    assert np.array_equal(found.confusion, confusion_matrix(labels, predictions, labels=range(5)))
    assert np.array_equal(found.predictions, predictions)
    precision, recall, f1, support = precision_recall_fscore_support(
        labels, predictions, labels=range(5), zero_division=0
    )
    assert [c.precision for c in found.per_class] == pytest.approx(precision)
    assert [c.recall for c in found.per_class] == pytest.approx(recall)
    assert [c.f1 for c in found.per_class] == pytest.approx(f1)
    assert [c.support for c in found.per_class] == list(support)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 8, 8), (3, 37, 53)])
@pytest.mark.parametrize("model", ["linear", "mlp", "tinyvgg"])
def test_every_model_is_evaluated_on_every_shape(model, shape):
    module = build(find_entry(model), image_shape=shape, n_classes=5, hidden_units=4, model_args={})
    found = evaluate(module, split(9, shape), transform=Transform(), class_names=NAMES, batch_size=4)
    assert found.confusion.sum() == 9


@pytest.mark.parametrize(
    ("hidden_units", "bytes_of_an_image", "budget"), [(1, 4 * 64, CPU_BATCH_BYTES), (50, 4 * 50 * 64, CPU_LAYER_BYTES)]
)
def test_batches_hold_what_the_images_and_the_widest_layer_leave_room_for(hidden_units, bytes_of_an_image, budget):
    model = nn.Sequential(nn.Conv2d(1, hidden_units, 3, padding=1), nn.Flatten(), nn.Linear(hidden_units * 64, 5))
    expected = budget // bytes_of_an_image
    assert images_per_batch(model, (1, 8, 8), torch.device("cpu")) == expected
    passes = []
    evaluate(
        model,
        split(2 * expected + 1),
        transform=Transform(),
        class_names=NAMES,
        after_batch=lambda: passes.append(None),
    )
    assert len(passes) == 3


def test_a_pass_draws_one_number_like_a_loader_does():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 5))
    torch.manual_seed(3)
    evaluate(model, split(40), transform=Transform(), class_names=NAMES, batch_size=8)
    after_pass = torch.rand(3)
    torch.manual_seed(3)
    torch.empty((), dtype=torch.int64).random_()
    assert torch.equal(after_pass, torch.rand(3))


def test_gradients_are_not_recorded():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 5))
    evaluate(model, split(8), transform=Transform(), class_names=NAMES)
    assert all(p.grad is None for p in model.parameters())
