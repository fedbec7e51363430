from __future__ import annotations

import json

import pytest
import torch

from cvexp import checkpoint
from cvexp.config import RunConfig
from cvexp.data.dataset import Dataset, Split
from cvexp.data.fitting import Fitting
from cvexp.data.transforms import Transform
from cvexp.errors import ModelError, WeightsError
from cvexp.export.run_folder import SPEC, STATE_DICT, load_spec, load_weights, save_weights
from cvexp.models.registry import build, find_entry

SHAPE = (3, 9, 7)
CPU = torch.device("cpu")
STANDARDIZED = Transform(mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
FORMS = {"linear": {}, "mlp": {"output_relu": False}, "tinyvgg": {}}


@pytest.fixture
def save(tmp_path):
    """Save a freshly drawn model into the test's folder; the model and its specification come back."""
    split = Split(images=torch.zeros(2, *SHAPE, dtype=torch.uint8), labels=torch.tensor([0, 1]))
    dataset = Dataset(
        name="tiny",
        class_names=("ö", "b", "c"),
        train=split,
        val=None,
        test=split,
        digest="d" * 16,
        place="here",
        transform=STANDARDIZED,
    )

    def saved(name):
        config = RunConfig(model=name, model_args=FORMS[name], hidden_units=6)
        torch.manual_seed(1)
        model = build(find_entry(name), image_shape=SHAPE, n_classes=3, hidden_units=6, model_args=FORMS[name])
        return model, save_weights(model, tmp_path, config=config, dataset=dataset)

    return saved


def altered(folder, **changes):
    document = json.loads((folder / SPEC).read_text(encoding="utf-8"))
    document = {key: value for key, value in (document | changes).items() if value is not ...}
    (folder / SPEC).write_text(json.dumps(document), encoding="utf-8")


@pytest.mark.parametrize("name", FORMS)
def test_a_loaded_model_gives_the_very_same_logits(tmp_path, save, name):
    model, spec = save(name)
    torch.manual_seed(2)
    loaded = load_weights(tmp_path, load_spec(tmp_path), device=CPU)
    images = torch.randint(0, 256, (5, *SHAPE), dtype=torch.uint8)
    assert load_spec(tmp_path) == spec
    with torch.inference_mode():
        assert torch.equal(loaded.logits(images), model(STANDARDIZED(images)))


def test_the_folder_holds_the_weights_and_what_it_takes_to_rebuild_the_model(tmp_path, save):
    save("mlp")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([SPEC, STATE_DICT])
    assert json.loads((tmp_path / SPEC).read_text(encoding="utf-8")) == {
        "model": "mlp",
        "model_args": {"output_relu": False},
        "hidden_units": 6,
        "image_shape": list(SHAPE),
        "class_names": ["ö", "b", "c"],
        "dataset": "tiny",
        "dataset_digest": "d" * 16,
        "weights_sha256": load_spec(tmp_path).weights_sha256,
        "transform": {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]},
        "fitting": {"resize": "squeeze", "interpolation": "bilinear"},
        "schema_version": 3,
    }


BEFORE = {"schema_version": 1, "preprocessing": "uint8 / 255"}
"""What a specification of the version before had in the place of a transform."""


def test_a_specification_of_the_version_before_divides_by_255_and_is_written_as_the_new_version(tmp_path, save):
    save("mlp")
    altered(tmp_path, transform=..., **BEFORE)
    spec = load_spec(tmp_path)
    assert (spec.transform, spec.schema_version) == (Transform(), 3)
    assert "preprocessing" not in json.loads(spec.to_json())


def test_a_specification_of_version_2_squeezes_and_one_that_says_otherwise_is_refused(tmp_path, save):
    save("mlp")
    altered(tmp_path, schema_version=2, fitting=...)
    assert load_spec(tmp_path).fitting == Fitting(resize="squeeze", interpolation="bilinear")
    altered(tmp_path, schema_version=2, fitting={"resize": "crop"})
    with pytest.raises(WeightsError, match="schema_version 2 has no fitting"):
        load_spec(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [BEFORE, {"schema_version": 1}, {"preprocessing": "uint8 / 255"}, {"schema_version": 1, "transform": ...}],
    ids=["both", "version 1 with a transform", "version 2 with preprocessing", "version 1 with neither"],
)
def test_a_specification_that_mixes_two_versions_is_refused(tmp_path, save, changes):
    save("mlp")
    altered(tmp_path, **changes)
    with pytest.raises(WeightsError, match="schema_version 1 has"):
        load_spec(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "tinyvgg", "model_args": {}},
        {"hidden_units": 7},
        {"image_shape": [3, 9, 8]},
        {"class_names": ["a", "b"]},
    ],
    ids=["model", "hidden_units", "image_shape", "class_names"],
)
def test_weights_of_another_architecture_are_refused(tmp_path, save, changes):
    save("mlp")
    altered(tmp_path, **changes)
    with pytest.raises(WeightsError, match=f"does not fit {changes.get('model', 'mlp')}: ") as caught:
        load_weights(tmp_path, load_spec(tmp_path), device=CPU)
    assert str(tmp_path / STATE_DICT) in caught.value.what


@pytest.mark.parametrize("state", [{"1.weight": 3}, {3: torch.ones(1)}, {}], ids=["no tensor", "no name", "nothing"])
def test_a_state_that_is_none_is_refused(tmp_path, save, state):
    save("linear")
    altered(tmp_path, weights_sha256=checkpoint.write(tmp_path / STATE_DICT, checkpoint.serialised(state)))
    with pytest.raises(WeightsError, match="does not fit linear"):
        load_weights(tmp_path, load_spec(tmp_path), device=CPU)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("hidden_units", 0),
        ("hidden_units", "many"),
        ("image_shape", [3, 9]),
        ("image_shape", [3, 9, -7]),
        ("class_names", []),
        ("class_names", [1, 2, 3]),
        ("model_args", [1]),
        ("model_args", {"output_relu": None}),
        ("preprocessing", "mean and std"),
        ("schema_version", 4),
        ("transform", {"mean": [0.1]}),
        ("transform", {"mean": [0.1], "std": [0.2]}),
        ("transform", {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0]}),
        ("transform", {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, "wide"]}),
        ("weights_sha256", None),
    ],
)
def test_a_tampered_specification_is_refused_and_the_field_named(tmp_path, save, field, value):
    save("mlp")
    altered(tmp_path, **{field: value})
    with pytest.raises(WeightsError, match=field) as caught:
        load_spec(tmp_path)
    assert str(tmp_path / SPEC) in caught.value.what


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"model": "mlp"}'])
def test_a_specification_that_is_none_is_refused(tmp_path, content):
    (tmp_path / SPEC).write_bytes(content)
    with pytest.raises(WeightsError) as caught:
        load_spec(tmp_path)
    assert str(tmp_path / SPEC) in caught.value.what


@pytest.mark.parametrize("missing", [SPEC, STATE_DICT])
def test_a_missing_file_is_named(tmp_path, save, missing):
    save("linear")
    (tmp_path / missing).unlink()
    with pytest.raises(WeightsError, match="cannot read") as caught:
        load_weights(tmp_path, load_spec(tmp_path), device=CPU)
    assert str(tmp_path / missing) in caught.value.what


def test_a_digest_recorded_elsewhere_counts_for_more_than_the_folders_own(tmp_path, save):
    model, before = save("linear")
    zeros = {name: torch.zeros_like(value) for name, value in model.state_dict().items()}
    altered(tmp_path, weights_sha256=checkpoint.write(tmp_path / STATE_DICT, checkpoint.serialised(zeros)))
    forged = load_weights(tmp_path, load_spec(tmp_path), device=CPU)
    assert not any(parameter.any() for parameter in forged.model.parameters())
    with pytest.raises(WeightsError, match="damaged or altered"):
        load_weights(tmp_path, load_spec(tmp_path), device=CPU, sha256=before.weights_sha256)


def test_code_that_a_stored_specification_names_is_never_imported(tmp_path, save, monkeypatch):
    save("linear")
    (tmp_path / "sly.py").write_text(
        "import pathlib\n"
        "pathlib.Path(__file__).with_name('ran').touch()\n"
        "from cvexp.models.architectures import linear as model\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    altered(tmp_path, model="sly:model")
    with pytest.raises(ModelError, match="only the command line may name"):
        load_weights(tmp_path, load_spec(tmp_path), device=CPU)
    assert not (tmp_path / "ran").exists()
    load_weights(tmp_path, load_spec(tmp_path), device=CPU, trusted_factory="sly:model")
    assert (tmp_path / "ran").exists(), "the code was live"


def test_a_model_this_place_does_not_know_is_a_model_error(tmp_path, save):
    save("linear")
    altered(tmp_path, model="resnet")
    with pytest.raises(ModelError, match="unknown model"):
        load_weights(tmp_path, load_spec(tmp_path), device=CPU)
