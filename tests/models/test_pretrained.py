from __future__ import annotations

import pytest
import torch
from torch import nn

from cvexp.data.transforms import Transform
from cvexp.errors import WeightsError
from cvexp.models.pretrained import Preprocessing, put, unwrapped

K = 3


def network(n_classes=K, *, channels=3, width=4):
    return nn.Sequential(
        nn.Conv2d(channels, width, 3),
        nn.BatchNorm2d(width),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(width, n_classes),
    )


def filled(model, state):
    return put(state, model, head="4", source="w.pt", name="net", hint="name another")


def test_weights_are_put_into_a_model_and_a_head_of_other_classes_stays_new():
    theirs, ours = network(10).state_dict(), network()
    nn.init.constant_(ours[4].weight, 3.0)
    said = filled(ours, theirs)
    assert said == "w.pt: 7 of 9 tensors; 4.weight, 4.bias new (10 classes there, 3 here)"
    assert torch.equal(ours[0].weight, theirs["0.weight"])
    assert 0 < ours[4].weight.abs().max() <= 0.5  # torch draws from 1 / sqrt(4) on both sides of zero


def test_a_head_that_fits_is_taken_too():
    theirs, ours = network().state_dict(), network()
    assert filled(ours, theirs) == "w.pt: 9 of 9 tensors"
    assert torch.equal(ours[4].weight, theirs["4.weight"])


@pytest.mark.parametrize("left_out", [("4.weight", "4.bias"), ("1.num_batches_tracked",)])
def test_weights_without_a_head_or_without_counters_of_batches_fit(left_out):
    theirs = {name: tensor for name, tensor in network().state_dict().items() if name not in left_out}
    said = filled(network(), theirs)
    assert said.startswith(f"w.pt: {len(theirs)} of 9 tensors")
    assert ("new" in said) is ("4.weight" in left_out)


def test_weights_for_rgb_are_summed_for_grey_images():
    theirs, ours = network().state_dict(), network(channels=1)
    filled(ours, theirs)
    torch.testing.assert_close(ours[0].weight, theirs["0.weight"].sum(dim=1, keepdim=True))


def test_half_precision_is_taken_over_as_the_models_own():
    theirs = {
        name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in network().state_dict().items()
    }
    ours = network()
    filled(ours, theirs)
    assert ours[0].weight.dtype is torch.float32
    assert torch.equal(ours[0].weight, theirs["0.weight"].float())


@pytest.mark.parametrize(
    ("theirs", "counts", "example"),
    [
        (
            network(width=5).state_dict(),
            "6 of its 9 tensors are missing or of another shape, 0 are",
            "0.weight has shape (5, 3, 3, 3) there, and (4, 3, 3, 3) here",
        ),
        (
            {"conv1.weight": torch.zeros(1)},
            "6 of its 9 tensors are missing or of another shape, 1 are",
            "0.weight is not there",
        ),
        (
            {**network().state_dict(), "5.weight\n": torch.zeros(1)},
            "0 of its 9 tensors are missing or of another shape, 1 are",
            "'5.weight\\n' is no tensor of the model",
        ),
    ],
)
def test_weights_of_another_architecture_are_refused_and_counted_and_nothing_is_changed(theirs, counts, example):
    ours = network()
    before = {name: tensor.clone() for name, tensor in ours.state_dict().items()}
    with pytest.raises(WeightsError, match=r"w\.pt holds weights of another architecture than net") as refused:
        filled(ours, theirs)
    assert counts in refused.value.what
    assert refused.value.hints == (example, "name another")
    assert all(torch.equal(tensor, before[name]) for name, tensor in ours.state_dict().items())


def test_a_training_programs_file_is_unwrapped():
    state = {"0.weight": torch.zeros(2)}
    assert unwrapped({"epoch": 3, "state_dict": state}).keys() == state.keys()
    assert unwrapped({"model": {**state, "note": "text"}}).keys() == state.keys()


def test_a_transform_has_the_weights_mean_for_each_channel_or_their_average():
    known = Preprocessing(mean=(0.2, 0.4, 0.6), std=(0.1, 0.2, 0.3), interpolation="bicubic", image_size=224)
    assert known.transform(3) == Transform(mean=known.mean, std=known.std)
    grey = known.transform(1)
    assert grey.mean == pytest.approx((0.4,))
    assert grey.std == pytest.approx((0.2,))
    assert Preprocessing(mean=None, std=None).transform(1) == Transform()
