from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from cvexp.errors import RunError
from cvexp.image_records import RecordsInfo, from_logits
from cvexp.label_errors import label_errors

ABOUT = RecordsInfo(data_digest="d", test_set="d", split="test", split_seed=42, order_digest="o", n_classes=3)


def records(probabilities, labels, about=ABOUT):
    logits = np.log(np.asarray(probabilities, dtype=np.float64)).T.astype(np.float32)
    return from_logits(logits, np.asarray(labels), logits.argmax(axis=0), about)


SURE, UNSURE, WRONG = (0.9, 0.05, 0.05), (0.6, 0.3, 0.1), (0.02, 0.96, 0.02)
THREE = [SURE, (0.05, 0.9, 0.05), (0.05, 0.05, 0.9)]


def test_a_candidate_is_predicted_as_confidently_as_images_of_that_class_are():
    # Class 1's images have p(1) 0.9 and 0.3 on average 0.6: 0.96 passes; 0.6 of class 0, whose images have
    # (0.9 + 0.02) / 2 = 0.46, passes as well, and ranks after it by p(label).
    found = label_errors([records([*THREE, UNSURE, WRONG], [0, 1, 2, 1, 0])])
    assert [(one.image, one.label, one.suggested) for one in found] == [(4, 0, 1), (3, 1, 0)]
    assert found[0].probability == pytest.approx(0.96, rel=1e-3)
    assert found[0].label_probability == pytest.approx(0.02, rel=1e-2)


def test_an_unsure_mistake_is_no_candidate():
    unsure = (0.4, 0.35, 0.25)  # predicted 0, whose images have 0.9
    assert label_errors([records([*THREE, unsure], [0, 1, 2, 1])]) == ()


def test_models_have_to_agree_on_the_class():
    one = records([*THREE, WRONG, WRONG], [0, 1, 2, 0, 0])
    other = records([*THREE, (0.02, 0.02, 0.96), WRONG], [0, 1, 2, 0, 0])
    assert {found.image for found in label_errors([one])} == {3, 4}
    assert [found.image for found in label_errors([one, other])] == [4]


def test_probabilities_of_several_models_are_averaged():
    one = records([*THREE, (0.04, 0.92, 0.04)], [0, 1, 2, 0])
    other = records([*THREE, (0.01, 0.98, 0.01)], [0, 1, 2, 0])
    (found,) = label_errors([one, other])
    assert found.probability == pytest.approx(0.95, rel=1e-3)
    assert found.label_probability == pytest.approx(0.025, rel=1e-2)


def test_records_of_other_images_are_refused():
    one = records(THREE, [0, 1, 2])
    with pytest.raises(RunError, match="other test images"):
        label_errors([one, replace(one, about=replace(ABOUT, order_digest="p"))])


def test_images_without_a_probability_are_left_out():
    one = records([*THREE, WRONG], [0, 1, 2, 0])
    logs = one.log_probabilities.copy()
    of_label = one.label_log_probabilities.copy()
    logs[1], of_label[1] = np.nan, np.nan
    damaged = replace(one, log_probabilities=logs, label_log_probabilities=of_label)
    assert label_errors([damaged]) == ()  # class 1 has no image left to say how confident is confident enough


def test_labels_that_were_changed_are_found():
    images, truth = load_digits(return_X_y=True)
    model = LogisticRegression(max_iter=200).fit(images[:900] / 16, truth[:900])
    labels = truth[900:].astype(np.int64)
    changed = np.random.default_rng(0).choice(len(labels), 45, replace=False)
    labels[changed] = (labels[changed] + 3) % 10
    probabilities = model.predict_proba(images[900:] / 16)
    found = label_errors([records(probabilities, labels, replace(ABOUT, n_classes=10))])
    first = [one.image for one in found[:45]]
    assert len(set(first) & set(changed)) >= 35  # the others are digits that the model takes for another
