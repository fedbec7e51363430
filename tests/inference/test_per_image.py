from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from cvexp.data.dataset import load
from cvexp.data.registry import find_spec
from cvexp.inference.evaluate import score
from cvexp.inference.per_image import image_records


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return load(find_spec("digits"), tmp_path_factory.mktemp("data"), val_split=0.2, split_seed=3, limit=100)


def logits_of(split, seed=0):
    return torch.randn((10, len(split)), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", ["val", "test"])
def test_records_give_the_figures_of_the_evaluation(name, dataset):
    split = dataset.held_out(name)
    logits = logits_of(split)
    found = image_records(logits, dataset, name, split_seed=3, limit=100)
    expected = score(logits, split.labels, class_names=dataset.class_names)
    assert found.correct.mean() == expected.metrics.accuracy
    assert np.array_equal(found.predicted, expected.predictions)
    assert found.log_loss.mean() == pytest.approx(expected.metrics.loss, abs=1e-3)
    assert (found.about.split, found.about.split_seed, found.about.data_digest) == (name, 3, dataset.digest)
    assert found.about.test_set == f"{dataset.digest},limit=100,split_seed=3"


def test_the_order_digest_is_of_the_split(dataset):
    digests = {
        image_records(logits_of(data.held_out(name)), data, name, split_seed=3, limit=100).about.order_digest
        for data in (dataset, replace(dataset, test=dataset.test.take(np.arange(100)[::-1].copy())))
        for name in ("val", "test")
    }
    assert len(digests) == 3


def test_a_limit_that_leaves_nothing_out_is_not_part_of_the_test_set(dataset):
    found = image_records(logits_of(dataset.test), dataset, "test", split_seed=3, limit=5000)
    assert found.about.test_set == dataset.digest
