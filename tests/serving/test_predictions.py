"""Images that are sent in any of the accepted forms are answered with the figures of the model."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest

from cvexp.serving.limits import Limits
from cvexp.serving.served import load
from tests.serving.made import CLASSES, SHAPE, ask, form, npy, png, write_model

PIXELS = np.random.default_rng(3).integers(0, 256, SHAPE, dtype=np.uint8)
BODIES = {
    "PNG": ("image/png", png(PIXELS[0])),
    "BMP of any image type": ("image/*", png(PIXELS[0], form="BMP")),
    "form": ("multipart/form-data; boundary=XX", form(("a.png", png(PIXELS[0])))),
    "JSON": ("application/json; charset=utf-8", json.dumps({"images": [PIXELS.tolist()]}).encode()),
    "npy": ("application/x-npy", npy(PIXELS[None])),
    "npy in Fortran order": ("application/x-npy", npy(np.asfortranarray(PIXELS[None]))),
    "npy as bytes": ("application/octet-stream", npy(PIXELS[None])),
    "bytes": ("application/octet-stream", PIXELS.tobytes()),
}


@pytest.mark.parametrize("name", BODIES)
def test_one_image_has_the_same_answer_in_every_form(serving, model_file, name):
    kind, body = BODIES[name]
    answer = serving(lambda service: ask(service, kind=kind, body=body))
    assert answer.status == 200
    (one,) = answer.json["predictions"]
    logits = PIXELS.reshape(1, -1).astype(np.float32) @ model_file[1]
    np.testing.assert_allclose(one["logits"], logits[0], rtol=1e-5)
    exact = np.exp(np.float64(one["logits"]) - max(one["logits"]))
    np.testing.assert_allclose(one["probabilities"], exact / exact.sum(), rtol=1e-14)
    assert one["class"] == CLASSES[int(logits.argmax())]
    assert one["probability"] == max(one["probabilities"])
    assert answer.json["class_names"] == list(CLASSES)


def test_files_of_a_form_are_fitted_named_and_explained(serving):
    body = form(("small.png", png()), ("fällt.jpg", png(size=(70, 30), mode="RGB", form="JPEG")))
    answer = serving(lambda service: ask(service, kind="multipart/form-data; boundary=XX", body=body))
    first, second = answer.json["predictions"]
    assert (first["image"], second["image"]) == ("small.png", "fällt.jpg")
    assert (first["notes"], second["notes"]) == ([], ["resized from 70x30 to 4x6 pixels"])


def test_a_large_image_is_decoded_too(serving):
    answer = serving(lambda service: ask(service, kind="image/png", body=png(size=(700, 500), mode="RGB")))
    assert answer.json["predictions"][0]["notes"] == ["resized from 700x500 to 4x6 pixels"]


def test_requests_at_once_share_forward_passes_and_keep_their_answers(serving, model_file):
    images = np.random.default_rng(5).integers(0, 256, (200, *SHAPE), dtype=np.uint8)
    batches = []

    async def all_at_once(service):
        service._batcher._on_batch = lambda n, _seconds: batches.append(n)
        parts = np.split(images, [1, 2, 5, 6, 100, 101, 150])
        asked = [ask(service, kind="application/octet-stream", body=part.tobytes()) for part in parts]
        return await asyncio.gather(*asked)

    answers = serving(all_at_once)
    logits = [one["logits"] for answer in answers for one in answer.json["predictions"]]
    np.testing.assert_allclose(logits, images.reshape(200, -1).astype(np.float32) @ model_file[1], rtol=1e-4, atol=1e-4)
    assert sum(batches) == 200
    assert max(batches) <= Limits().max_batch
    assert len(batches) <= 10


def test_a_forward_pass_waits_for_more_images_where_it_is_told_to(serving):
    batches = []

    async def one_after_the_other(service):
        service._batcher._on_batch = lambda n, _seconds: batches.append(n)
        body = PIXELS.tobytes()
        first = asyncio.create_task(ask(service, kind="application/octet-stream", body=body))
        await asyncio.sleep(0.02)
        await asyncio.gather(first, ask(service, kind="application/octet-stream", body=body))

    serving(one_after_the_other, limits={"max_wait_ms": 200.0})
    assert batches == [2]


def test_requests_are_answered_by_the_model_that_they_began_with(serving, served, tmp_path):
    write_model(tmp_path / "other.onnx", classes=("a", "b"), shape=(1, 2, 2), run_id="other")
    other = load(tmp_path / "other.onnx", name="other", version="models:/boots/2", n_threads=1)

    async def swap_between(service):
        body = PIXELS.tobytes()
        early = [asyncio.create_task(ask(service, kind="application/octet-stream", body=body)) for _ in range(40)]
        await asyncio.sleep(0)
        service.swap(other)
        late = await ask(service, kind="application/octet-stream", body=bytes(4))
        return await asyncio.gather(*early), late, await ask(service, "/metrics", method="GET")

    early, late, metrics = serving(swap_between, limits={"max_batch": 4})
    assert {(answer.status, answer.json["run_name"]) for answer in early} == {(200, "tiny")}
    assert (late.json["run_name"], late.json["model_version"]) == ("other", "models:/boots/2")
    assert 'cvexp_model_info{name="other",run_id="other",version="models:/boots/2"} 1.0' in metrics.body.decode()
    assert "cvexp_model_swaps_total 1.0" in metrics.body.decode()
    assert served.name == "tiny"


def test_figures_that_are_not_finite_become_null(serving, served, monkeypatch):
    class Broken:
        def run(self, _names, given):
            return [np.full((len(given["images"]), 3), np.nan, np.float32)]

    object.__setattr__(served, "session", whole := served.session)
    try:
        object.__setattr__(served, "session", Broken())
        answer = serving(lambda service: ask(service, kind="application/octet-stream", body=PIXELS.tobytes()))
    finally:
        object.__setattr__(served, "session", whole)
    assert answer.json["predictions"][0]["logits"] == [None] * 3
