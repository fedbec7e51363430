"""Models of torchvision and timm: built for the images and classes, trained for a step, or refused in three lines."""

from __future__ import annotations

import sys

import pytest
import torch
from torch.nn import functional

from cvexp.config.model import names_code
from cvexp.errors import ModelError
from cvexp.models import timm
from cvexp.models.freeze import head_of
from cvexp.models.registry import build, complete_arguments, find_entry
from cvexp.models.summary import check_output

K = 3


def built(name, shape, n_classes=K, hidden_units=10, **model_args):
    torch.manual_seed(1)
    entry = find_entry(name)
    model = build(entry, image_shape=shape, n_classes=n_classes, hidden_units=hidden_units, model_args=model_args)
    check_output(model, name=name, image_shape=shape, n_classes=n_classes)
    return model


def step(model, shape):
    images = torch.rand(2, *shape, generator=torch.Generator().manual_seed(2))
    before = {name: parameter.detach().clone() for name, parameter in model.train().named_parameters()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    logits = model(images)
    assert logits.shape == (2, K)
    functional.cross_entropy(logits, torch.tensor([0, 2])).backward()
    optimizer.step()
    head = f"{head_of(model, K)}.weight"
    assert not torch.equal(dict(model.named_parameters())[head], before[head])


GREY, SMALL, USUAL = (1, 28, 28), (3, 64, 64), (3, 224, 224)
TORCHVISION = {
    "resnet18": (GREY, SMALL, USUAL),
    "efficientnet_b0": (GREY, SMALL, USUAL),
    "mobilenet_v3_small": (GREY, SMALL, USUAL),
    "convnext_tiny": (SMALL, USUAL),
    "vit_b_16": (SMALL, USUAL),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "shape"),
    [(name, shape) for name, shapes in TORCHVISION.items() for shape in shapes],
    ids=lambda value: value if isinstance(value, str) else "x".join(map(str, value)),
)
def test_a_network_of_torchvision_is_trained_for_a_step(name, shape):
    step(built(f"torchvision:{name}", shape), shape)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "shape"), [("tf_efficientnet_lite0", GREY), ("resnet10t", GREY), ("vit_tiny_patch16_224", SMALL)]
)
def test_a_network_of_timm_is_trained_for_a_step(name, shape):
    pytest.importorskip("timm")
    step(built(f"timm:{name}", shape), shape)


def test_a_small_network_is_fitted_to_grey_images_and_its_classes():
    model = built("torchvision:squeezenet1_1", (1, 40, 40))
    step(model, (1, 40, 40))
    assert model.adaptations == ("its first convolution takes 1 channel instead of 3",)


@pytest.mark.slow
def test_a_residual_network_gets_a_stem_for_small_images_unless_it_is_to_stay_as_published():
    small, full = built("torchvision:resnet18", GREY), built("torchvision:resnet18", GREY, stem="full")
    assert (small.conv1.kernel_size, full.conv1.kernel_size) == ((3, 3), (7, 7))
    assert "stem=full" in small.adaptations[0]
    assert len(full.adaptations) == 1
    assert built("torchvision:resnet18", (3, 65, 65)).adaptations == ()


REFUSED = {
    ("torchvision:resnet81", GREY): "torchvision has no classifier called 'resnet81'",
    ("torchvision:fasterrcnn_resnet50_fpn", GREY): "torchvision has no classifier",
    ("torchvision:vit_b_16", GREY): "cannot be built for 1x28x28 images",
    ("torchvision:vit_b_16", (3, 64, 32)): "it takes square images only",
    ("torchvision:alexnet", GREY): "cannot take 1x28x28 images",
    ("torchvision:convnext_tiny", GREY): "cannot take 1x28x28 images",
    ("torchvision:", GREY): "torchvision has no classifier called ''",
}


@pytest.mark.parametrize(("asked", "complaint"), REFUSED.items(), ids=[name for name, _ in REFUSED])
def test_what_cannot_be_built_is_refused_in_three_lines_with_the_reason(asked, complaint):
    with pytest.raises(ModelError) as refused:
        built(*asked)
    assert complaint in refused.value.what
    assert 2 <= len(refused.value.lines()) <= 3


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("torchvision:resnet81", "torchvision:resnet18"), ("torchvision:efficient_b0", "efficientnet_b0")],
)
def test_a_mistyped_name_of_a_library_gets_the_nearest_ones(typed, meant):
    with pytest.raises(ModelError) as refused:
        find_entry(typed).load()
    assert meant in refused.value.hints[0]


def test_widths_cannot_be_set():
    with pytest.raises(ModelError, match="leave --hidden-units out"):
        built("torchvision:squeezenet1_1", SMALL, hidden_units=20)
    with pytest.raises(ModelError, match="unknown argument of torchvision:alexnet: 'stem'"):
        complete_arguments("torchvision:alexnet", find_entry("torchvision:alexnet").load(), {"stem": "small"})


def test_timm_is_asked_for_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ModelError, match="timm is not installed") as refused:
        find_entry("timm:resnet18").load()
    assert refused.value.hints == ("pip install cvexp[timm]",)


@pytest.mark.parametrize("name", ["no_such_network", "resnet18.no_such_tag", "../x", ""])
def test_timm_is_asked_for_names_that_it_has(name):
    pytest.importorskip("timm")
    with pytest.raises(ModelError, match="timm"):
        timm.factory(name)


def test_a_librarys_model_is_no_code_of_the_user():
    assert [names_code(name) for name in ("timm:a", "torchvision:b", "tinyvgg", "package.module:c")] == [
        False,
        False,
        False,
        True,
    ]
    assert not find_entry("torchvision:resnet18").is_builtin


def test_the_preprocessing_is_that_of_the_published_weights():
    family = find_entry("torchvision:resnet18").family
    known = family.preprocessing("resnet18")
    assert known.mean == pytest.approx((0.485, 0.456, 0.406))
    assert (known.interpolation, known.image_size) == ("bilinear", 224)
    pytest.importorskip("timm")
    lite0 = timm.preprocessing("tf_efficientnet_lite0")
    assert (lite0.mean, lite0.std, lite0.interpolation) == ((0.5,) * 3, (0.5,) * 3, "bicubic")


@pytest.mark.parametrize("name", ["torchvision:resnet18", "timm:resnet18"])
def test_weights_that_cannot_be_downloaded_are_an_error_with_what_to_type(name, monkeypatch, tmp_path):
    from cvexp.errors import WeightsError

    def offline(*_args, **_keywords):
        raise OSError("Name or service not known")

    pytest.importorskip("timm")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.load_state_dict_from_url", offline)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    monkeypatch.setattr("timm.create_model", offline)
    entry = find_entry(name)
    with pytest.raises(WeightsError, match=r"of resnet18 cannot be downloaded: Name or service not known") as refused:
        entry.family.default_state("resnet18")
    assert refused.value.hints == ("name a file that is here: --weights FILE",)
