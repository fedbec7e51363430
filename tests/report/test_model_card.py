"""A model card says what was measured, what was not, and how to call the model; Hugging Face can read its header."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import yaml
from markdown_it import MarkdownIt

from cvexp.data.fitting import Fitting
from cvexp.data.transforms import Transform
from cvexp.export.card import ModelCard
from cvexp.jobs.model_card import CardFile, ModelFacts, measured_on
from cvexp.jobs.recipe_seeds import over_seeds
from cvexp.models.spec import ModelSpec
from cvexp.report.model_card import text
from tests.comparison.made import records_of, repeats_of

CLASSES = tuple(f"class {k}" for k in range(10))
HOSTILE = "a|b`c\n---\nlicense: mit\n# <script>alert(1)</script> [x](http://x) {{"


def facts_of(*, dataset="digits", class_names=CLASSES, name="linear-123456", shape=(1, 8, 8), **more):
    spec = ModelSpec(
        model="linear",
        model_args={},
        hidden_units=10,
        image_shape=shape,
        class_names=class_names,
        dataset=dataset,
        dataset_digest="d" * 16,
        weights_sha256="f" * 64,
        transform=more.pop("transform", Transform()),
        fitting=more.pop("fitting", Fitting()),
    )
    settings = {"model": "linear", "dataset": dataset, "epochs": "7", "seed": "42", "val_split": "0"}
    card = ModelCard(spec=spec, format="onnx", run_id="ab" * 16, run_name=name, device_name="a CPU", settings=settings)
    correct = np.arange(1000) % 10 < 8
    file = CardFile(name="linear.onnx", kind="onnx", n_bytes=4321, sha256="f" * 64, top1_agreement=1.0, accuracy=0.8)
    found = {
        "files": (file,),
        "command": "cvexp train linear --dataset digits --epochs 7",
        "measured": measured_on(records_of(correct, n_classes=len(class_names)), class_names),
    }
    return ModelFacts(card=card, **(found | more))


def header_of(card):
    return yaml.safe_load(card.split("---\n")[1])


def rendered(card):
    return MarkdownIt("commonmark").enable("table").render(card.split("---\n", 2)[2])


def test_the_header_is_what_hugging_face_reads():
    found = header_of(text(facts_of()))
    assert found["library_name"] == "onnx"
    assert found["pipeline_tag"] == "image-classification"
    assert found["tags"] == ["image-classification", "cvexp", "linear", "onnx"]
    assert "license" not in found
    (result,) = found["model-index"][0]["results"]
    assert result["dataset"] == {"name": "digits", "type": "digits", "split": "test", "revision": "d" * 16}
    assert {one["type"]: one["value"] for one in result["metrics"]}["accuracy"] == 0.8


def test_hugging_faces_own_reader_takes_it():
    hub = pytest.importorskip("huggingface_hub")
    card = hub.ModelCard(text(facts_of()))
    assert {one.metric_type: one.metric_value for one in card.data.eval_results}["accuracy"] == 0.8


def test_where_classes_differ_in_size_the_figures_over_classes_are_named():
    correct = np.arange(13) > 0  # of ten classes, the first three have two images
    facts = facts_of(measured=measured_on(records_of(correct), CLASSES))
    card = text(facts)
    assert "| balanced accuracy | 95.00%, the mean recall of the classes |" in card
    assert "- Classes differ in size" in card
    metrics = {one["type"]: one["value"] for one in header_of(card)["model-index"][0]["results"][0]["metrics"]}
    assert metrics["balanced_accuracy"] == 0.95
    assert metrics["f1"] == pytest.approx((8 + 2 / 3 + 0.8) / 10, abs=1e-6)
    assert "balanced accuracy" not in text(facts_of())


def test_the_figures_have_their_intervals_and_every_class_its_row():
    card = text(facts_of())
    assert "| accuracy | 80.00% (95%: 77.41% to 82.36%; these weights, new images) |" in card
    assert card.count("| class ") == len(CLASSES) + 1
    assert "| class 9 | 0.000 | 0.000 | 0.000 | 100 |" in card
    assert "- class 8 taken for class 9: 100 images, 100.0% of the class" in card
    assert re.search(r"\| expected calibration error \| [\d.]+% \(95%", card)


def test_what_was_not_measured_is_said():
    card = text(facts_of(measured=None, unmeasured="the run has no per-image records"))
    assert "Not measured image by image: the run has no per-image records." in card
    assert "Its latency was not measured." in card
    assert "One run: how much another seed" in card
    assert "model-index" not in card


@pytest.mark.parametrize(
    ("accuracies", "said"),
    [
        ([0.8, 0.81, 0.82], "81.00% (95%: 78.52% to 83.48%), 3 seeds"),
        ([0.8, 0.81, 0.1], "1 of 3 seeds of this recipe collapsed to chance level."),
    ],
)
def test_seeds_of_the_recipe_are_counted_and_collapsed_ones_named(accuracies, said):
    card = text(facts_of(seeds=over_seeds(repeats_of(1, accuracies), n_classes=10)))
    assert said in card
    assert "Seeds of this recipe that were trained: 0, 1, 2." in card


@pytest.mark.parametrize("where", ["name", "dataset", "class_names", "command", "files", "unmeasured"])
def test_text_from_data_forms_neither_markup_nor_yaml(where):
    file = CardFile(name=HOSTILE, kind="onnx", n_bytes=1, sha256="f" * 64)
    values = {"class_names": (HOSTILE, *CLASSES[1:]), "files": (file,), "unmeasured": HOSTILE}
    more = {"measured": None} if where == "unmeasured" else {}
    card = text(facts_of(**{where: values.get(where, HOSTILE)}, **more))
    assert set(header_of(card)) <= set(header_of(text(facts_of())))
    html = rendered(card)
    assert "<script>" not in html
    assert 'href="' not in html
    tables = re.findall(r"<table>.*?</table>", html, re.DOTALL)
    for table in tables:
        rows = [row.count("<td") + row.count("<th") for row in re.findall(r"<tr>.*?</tr>", table, re.DOTALL)]
        assert len(set(rows)) == 1
    headings = re.findall(r"<h2>(.*?)</h2>", html)
    assert headings == ["Data", "Recipe", "Figures", "Limits", "How to call it", "Files"]


def test_how_images_are_made_is_said_with_its_numbers():
    card = text(
        facts_of(
            shape=(3, 24, 32),
            transform=Transform(mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6)),
            fitting=Fitting(resize="pad", interpolation="bicubic"),
        )
    )
    assert "24 x 32, RGB" in card
    assert "less the mean (0.1, 0.2, 0.3) and divided by the standard deviation (0.4, 0.5, 0.6)" in card
    assert "ImageOps.pad(image, (32, 24), Image.Resampling.BICUBIC)" in card
    assert ".transpose(2, 0, 1)[None]" in card


def test_a_folder_of_own_images_is_named_without_its_path():
    found = header_of(text(facts_of(dataset="/home/someone/pets")))
    assert found["datasets"] == ["pets"]
    assert "someone" not in str(found)


def test_the_python_of_every_card_compiles():
    weights = CardFile(name="it's.pt", kind="state-dict", n_bytes=1, sha256="f" * 64)
    facts = facts_of(class_names=(HOSTILE, *CLASSES[1:]))
    card = text(replace(facts, files=(*facts.files, weights)))
    blocks = re.findall(r"```python\n(.*?)\n```", card, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        compile(block, "card", "exec")
