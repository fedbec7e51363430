from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest
import torch
from torch import nn

from cvexp.errors import ModelError
from cvexp.models import registry
from cvexp.models.registry import ENTRY_POINTS, ModelEntry, build, complete_arguments, entries, find_entry

SHAPE = (1, 6, 5)
CODE = """
from torch import nn

def tower(image_shape, n_classes, *, hidden_units, depth=2, drop=0.1, gate=True, act="relu", extra=None):
    made = nn.Sequential(nn.Flatten(), nn.LazyLinear(n_classes))
    made.asked = dict(
        image_shape=image_shape, hidden_units=hidden_units, depth=depth, drop=drop, gate=gate, act=act, extra=extra
    )
    return made

def strict(image_shape, n_classes, *, hidden_units, depth):
    return nn.Linear(depth, n_classes)

def picky(image_shape, n_classes, *, hidden_units):
    raise ValueError("only square images")

number = 3
"""


@pytest.fixture
def module(tmp_path, monkeypatch, request):
    """A module of the user's own, importable under a name that no other test uses."""
    name = f"own_models_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    return name


def made(entry, hidden_units=3, **model_args):
    return build(entry, image_shape=SHAPE, n_classes=4, hidden_units=hidden_units, model_args=model_args)


@pytest.mark.parametrize(("typed", "meant"), [("tinyvg", "tinyvgg"), ("TinyVGG", "tinyvgg"), ("lineer", "linear")])
def test_an_unknown_model_gets_the_nearest_name(typed, meant):
    with pytest.raises(ModelError, match=f"unknown model: '{typed}'") as caught:
        find_entry(typed)
    hint, libraries = caught.value.hints
    assert "torchvision:NAME" in libraries
    assert "linear, mlp, tinyvgg" in hint
    assert hint.startswith(f"did you mean '{meant}'?") is (typed != "TinyVGG")


@pytest.mark.parametrize("name", ["linear", "mlp", "tinyvgg"])
def test_a_registered_model_is_found_whether_or_not_paths_are_allowed(name):
    assert find_entry(name) is find_entry(name, allow_path=True) is entries()[name]
    assert find_entry(name).is_builtin


@pytest.mark.parametrize(
    ("name", "given", "complaint"),
    [
        ("mlp", {"output_rleu": False}, "unknown argument of mlp: 'output_rleu'"),
        ("mlp", {"hidden_units": 3}, "unknown argument of mlp: 'hidden_units'"),
        ("linear", {"output_relu": False}, "unknown argument of linear: 'output_relu'"),
        ("mlp", {"output_relu": 0}, "mlp: output_relu=0 should be of type bool"),
        ("mlp", {"output_relu": "false"}, "mlp: output_relu='false' should be of type bool"),
    ],
)
def test_a_wrong_argument_of_a_model_is_refused(name, given, complaint):
    with pytest.raises(ModelError) as caught:
        complete_arguments(name, find_entry(name).load(), given)
    assert caught.value.what == complaint


@pytest.mark.parametrize(
    ("name", "given", "hint"),
    [
        ("mlp", {"output_rleu": False}, "did you mean 'output_relu'? valid: output_relu"),
        ("linear", {"x": 1}, "linear takes none besides --hidden-units"),
        ("mlp", {"output_relu": 1}, "for example: --model-arg output_relu=true"),
    ],
)
def test_a_wrong_argument_is_told_what_to_type(name, given, hint):
    with pytest.raises(ModelError) as caught:
        made(find_entry(name), **given)
    assert caught.value.hints == (hint,)


def test_a_path_is_followed_only_when_it_is_allowed(module):
    path = f"{module}:tower"
    with pytest.raises(ModelError, match="only the command line may name") as caught:
        find_entry(path)
    assert caught.value.hints == (f"if you trust it, add: --model {path}",)
    entry = find_entry(path, allow_path=True)
    assert (entry.name, entry.is_builtin) == (path, False)


def test_a_factory_of_the_users_own_gets_shape_classes_and_arguments(module):
    model = made(find_entry(f"{module}:tower", allow_path=True), hidden_units=7, depth=5, act="gelu")
    assert model.asked == {
        "image_shape": SHAPE,
        "hidden_units": 7,
        "depth": 5,
        "drop": 0.1,
        "gate": True,
        "act": "gelu",
        "extra": None,
    }
    assert model(torch.zeros(2, *SHAPE)).shape == (2, 4)


@pytest.mark.parametrize(
    ("given", "completed"),
    [
        ({}, {}),
        ({"drop": 1}, {"drop": 1}),
        ({"depth": 9, "gate": False}, {"depth": 9, "gate": False}),
        ({"extra": "anything"}, {"extra": "anything"}),
    ],
)
def test_arguments_not_given_are_completed_by_their_defaults(module, given, completed):
    factory = find_entry(f"{module}:tower", allow_path=True).load()
    defaults = {"depth": 2, "drop": 0.1, "gate": True, "act": "relu"}
    assert complete_arguments("tower", factory, given) == {**defaults, **completed}


@pytest.mark.parametrize(
    ("argument", "value", "kind"),
    [("depth", True, "int"), ("depth", 2.5, "int"), ("drop", False, "float"), ("act", 3, "str"), ("gate", 1, "bool")],
)
def test_a_value_of_another_type_than_the_default_is_refused(module, argument, value, kind):
    with pytest.raises(ModelError, match=f"{argument}={value!r} should be of type {kind}"):
        made(find_entry(f"{module}:tower", allow_path=True), **{argument: value})


def test_an_argument_without_a_default_must_be_given_and_may_be_anything(module):
    entry = find_entry(f"{module}:strict", allow_path=True)
    assert made(entry, depth=5).in_features == 5
    with pytest.raises(ModelError, match=r"cannot be built .*depth"):
        made(entry)


def test_what_a_factory_objects_to_is_passed_on_with_the_shape(module):
    with pytest.raises(ModelError, match=r"picky cannot be built for 1x6x5 images: only square images"):
        made(find_entry(f"{module}:picky", allow_path=True))


@pytest.mark.parametrize("attribute", ["absent", "number"])
def test_a_path_that_leads_to_no_factory_is_refused(module, attribute):
    with pytest.raises(ModelError, match=f"{module}:{attribute}"):
        find_entry(f"{module}:{attribute}", allow_path=True).load()


@pytest.mark.parametrize("path", ["no_such_module_here:model", "torch..nn:Linear"])
def test_a_module_that_is_not_there_is_refused(path):
    with pytest.raises(ModelError, match="cannot be imported"):
        find_entry(path, allow_path=True).load()


@pytest.mark.parametrize("name", ["a:b:c", "os.path", "../x:model", "a b:c", ":model", "a:", "1a:b"])
def test_what_is_neither_name_nor_path_is_an_unknown_model(name):
    with pytest.raises(ModelError, match="unknown model"):
        find_entry(name, allow_path=True)


def test_a_plug_ins_model_is_listed_last_suggested_and_built(module, monkeypatch):
    points = [EntryPoint("tower", f"{module}:tower", ENTRY_POINTS), EntryPoint("mlp", f"{module}:tower", ENTRY_POINTS)]
    monkeypatch.setattr(registry, "entry_points", lambda *, group: points if group == ENTRY_POINTS else [])
    assert list(entries()) == ["linear", "mlp", "tinyvgg", "tower"]
    assert entries()["mlp"].is_builtin, "a plug-in cannot take a built-in name"
    assert find_entry("tower") == ModelEntry(name="tower", summary="plug-in", factory=f"{module}:tower")
    with pytest.raises(ModelError) as caught:
        find_entry("towr")
    assert caught.value.hints[0].startswith("did you mean 'tower'?")
    assert isinstance(made(find_entry("tower"), depth=1), nn.Sequential)


@pytest.mark.parametrize(
    ("code", "complaint"),
    [
        ("def net(", "cannot be imported"),
        ("1 / 0", "cannot be imported"),
        ("def net(*_, **__): raise KeyError('depth')", "cannot be built"),
        ("def net(*_, hidden_units): return 3", "returned no torch module but int"),
    ],
)
def test_whatever_a_users_factory_does_wrong_is_a_model_error(code, complaint, tmp_path, monkeypatch):
    name = f"wrong_{abs(hash(code))}"
    (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    entry = find_entry(f"{name}:net", allow_path=True)
    with pytest.raises(ModelError, match=complaint):
        build(entry, image_shape=SHAPE, n_classes=2, hidden_units=1, model_args={})
