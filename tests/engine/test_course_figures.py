"""The course's published losses, on the whole of Fashion-MNIST, through the command line."""

from __future__ import annotations

import pytest

PUBLISHED = {
    ("linear",): ([0.59039, 0.47633, 0.45503], 0.8341),
    ("mlp",): ([1.09199, 0.78101, 0.67027], 0.7500),
    ("mlp", "--model-arg", "output_relu=false"): ([0.64607, 0.48094, 0.44689], None),
}


@pytest.mark.full
@pytest.mark.parametrize("words", PUBLISHED, ids="-".join)
def test_training_gives_the_published_losses(words, cvexp, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    losses, accuracy = PUBLISHED[words]
    trained = cvexp("train", *words, "--device", "cpu", "--json")
    assert trained.code == 0, trained.stderr
    assert [epoch["train/loss"] for epoch in trained.document["history"]] == pytest.approx(losses, abs=1.5e-5)
    if accuracy is not None:
        assert trained.document["metrics"]["test/accuracy"] == accuracy
