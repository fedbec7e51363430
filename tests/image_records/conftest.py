"""Logits of real digits: minus the squared distance to each class's mean image, so that some are wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.datasets import load_digits

from cvexp.image_records import RecordsInfo, from_logits, order_digest


@pytest.fixture(scope="session")
def digits():
    """Logits float32 (10, 1797), labels int64 (1797,), images uint8 (1797, 1, 8, 8)."""
    data, labels = load_digits(return_X_y=True)
    means = np.stack([data[labels == k].mean(axis=0) for k in range(10)])
    logits = -np.square(data[:, None] - means).sum(axis=2) / 100
    return logits.T.astype(np.float32), labels.astype(np.int64), data.astype(np.uint8).reshape(-1, 1, 8, 8)


@pytest.fixture(scope="session")
def about(digits):
    _, labels, images = digits
    return RecordsInfo(
        data_digest="0123456789abcdef",
        test_set="0123456789abcdef",
        split="test",
        split_seed=42,
        order_digest=order_digest(images, labels),
        n_classes=10,
    )


@pytest.fixture(scope="session")
def records(digits, about):
    logits, labels, _ = digits
    return from_logits(logits, labels, logits.argmax(axis=0), about)


@pytest.fixture(scope="session")
def records_of_many_classes(digits, about):
    """The same with 30 classes: each digit at an even, an odd or a square place."""
    logits, labels, _ = digits
    many = np.concatenate([logits, logits - 1.25, logits - 0.75]).astype(np.float32)
    labels = labels + 10 * (np.arange(len(labels)) % 3)
    return from_logits(many, labels, many.argmax(axis=0), replace(about, n_classes=30)), many
