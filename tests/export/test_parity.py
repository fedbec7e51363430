"""What counts as the same answers, and what as a broken file."""

from __future__ import annotations

import math

import pytest
import torch

from cvexp.errors import GateError
from cvexp.export.parity import compare_logits, why_it_fails, why_probabilities_fail
from cvexp.stats import agresti_min

N, K = 400, 10


@pytest.fixture
def model():
    """Logits like those of a trained model, and labels of which it gets most right."""
    seeded = torch.Generator().manual_seed(0)
    labels = torch.randint(K, (N,), generator=seeded)
    logits = 3 * torch.randn(N, K, generator=seeded)
    logits[torch.arange(N), labels] += 4
    return logits, labels


def test_the_same_logits_pass_bit_for_bit(model):
    logits, labels = model
    found = compare_logits(logits, logits.clone(), labels)
    assert (found.identical, found.max_logit_difference, found.top1_agreement) == (True, 0.0, 1.0)
    assert found.accuracy == pytest.approx(float((logits.argmax(1) == labels).double().mean()))
    assert found.accuracy_interval == agresti_min(0, 0, N)
    assert why_it_fails(found, quantized=False) == ""


def test_rounding_of_float32_passes_and_that_of_bfloat16_does_not(model):
    logits, labels = model
    rounded = compare_logits(logits, logits * (1 + 1e-6), labels)
    assert not rounded.identical
    assert 0 < rounded.max_logit_difference < 1e-4
    assert why_it_fails(rounded, quantized=False) == ""
    coarse = compare_logits(logits, logits.bfloat16().float(), labels)
    assert "differ by up to" in why_it_fails(coarse, quantized=False) or "another class" in why_it_fails(
        coarse, quantized=False
    )
    assert why_it_fails(coarse, quantized=False, tolerance=0.02) == ""


def test_a_tie_is_counted_and_no_failure():
    expected = torch.tensor([[1.0, 1.0 + 4e-6], [3.0, 1.0], [1.0, 2.0]])
    found = expected.clone()
    found[0] = torch.tensor([1.0 + 4e-6, 1.0])
    swapped = compare_logits(expected, found, torch.tensor([1, 0, 1]))
    assert (swapped.n_ties, swapped.n_disagreements, swapped.top1_agreement) == (1, 0, 1.0)
    assert swapped.accuracy_difference == pytest.approx(-1 / 3)
    assert why_it_fails(swapped, quantized=False) == ""


def test_another_class_fails_unless_the_tolerance_allows_it(model):
    logits, labels = model
    other = logits.clone()
    other[0] = logits[0].roll(1)
    found = compare_logits(logits, other, labels)
    assert found.n_disagreements == 1
    assert why_it_fails(found, quantized=False) == "it gives 1 of 400 test images another class"
    assert why_it_fails(found, quantized=False, tolerance=0.0025) == ""
    assert "and 0.2% are allowed" in why_it_fails(found, quantized=False, tolerance=0.002)


@pytest.mark.parametrize(("quantized", "tolerance"), [(False, None), (False, 0.05), (True, None)])
def test_probabilities_in_the_place_of_logits_fail_though_the_classes_are_the_same(model, quantized, tolerance):
    logits, labels = model
    found = compare_logits(logits, logits.softmax(dim=1), labels)
    assert found.top1_agreement == 1
    assert why_it_fails(found, quantized=quantized, tolerance=tolerance)


def test_int8_may_lose_half_a_point_and_no_more(model):
    logits, labels = model
    right = (logits.argmax(1) == labels).nonzero()[:, 0]
    two, three = logits.clone(), logits.clone()
    two[right[:2]] = logits[right[:2]].roll(1, dims=1)
    three[right[:3]] = logits[right[:3]].roll(1, dims=1)
    found = compare_logits(logits, two, labels)
    assert found.accuracy_difference == pytest.approx(-0.005)
    assert found.accuracy_interval == agresti_min(0, 2, N)
    assert why_it_fails(found, quantized=True) == ""
    worse = compare_logits(logits, three, labels)
    assert why_it_fails(worse, quantized=True) == "it loses 0.75 points of accuracy, and 0.5 are allowed"
    assert why_it_fails(worse, quantized=True, tolerance=0.01) == ""


def test_numbers_that_are_none_have_to_be_none_in_the_same_places(model):
    logits, labels = model
    odd = logits.clone()
    odd[0, 0], odd[1, 1] = math.nan, math.inf
    same = compare_logits(odd, odd.clone(), labels)
    assert (same.identical, same.max_logit_difference) == (True, 0.0)
    assert why_it_fails(same, quantized=False) == ""
    for one in (compare_logits(logits, odd, labels), compare_logits(odd, logits, labels)):
        assert one.max_logit_difference == math.inf
        assert why_it_fails(one, quantized=False)
        assert why_it_fails(one, quantized=True)


def test_probabilities_are_the_softmax_of_the_logits(model):
    logits, _ = model
    assert why_probabilities_fail(logits, logits.softmax(dim=1)) == ""
    assert "not the softmax of its logits" in why_probabilities_fail(logits, logits)
    assert "not the softmax of its logits" in why_probabilities_fail(logits, (logits * math.nan))
    assert "every logit" in why_probabilities_fail(logits, logits.softmax(dim=1)[:, :9])


def test_another_number_of_classes_is_refused(model):
    logits, labels = model
    with pytest.raises(GateError, match="400 x 9 logits, and its model 400 x 10"):
        compare_logits(logits, logits[:, :9], labels)
