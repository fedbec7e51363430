from __future__ import annotations

import pytest
from PIL import Image

from cvexp.data.augment.source import MIXINGS, POLICIES


@pytest.mark.parametrize("name", ["flip-crop", "cutmix", "flip-crop,mixup"])
def test_samples_show_what_training_will_see(name, cvexp, tmp_path, monkeypatch):
    titles = []

    def spied(images, found, **settings):
        titles.extend(found)
        return drawn(images, found, **settings)

    from cvexp.jobs import samples

    drawn = samples.image_grid
    monkeypatch.setattr("cvexp.jobs.samples.image_grid", spied)
    said = cvexp("data", "digits", "--augment", name, "--samples", str(tmp_path / "g.png"))
    assert said.code == 0, said.stderr
    assert f"--augment {name}" in said.stderr.splitlines()[-1]
    with Image.open(tmp_path / "g.png") as picture:
        assert picture.size[0] > 900
    assert len(titles) == 20
    assert titles[0].startswith("as stored")
    assert ("moved by" if name in POLICIES else "%") in titles[1]
    assert {*name.split(",")} <= {*POLICIES, *MIXINGS}


def test_augmentation_is_shown_by_samples_only(cvexp):
    refused = cvexp("data", "digits", "--augment", "trivial")
    assert refused.code == 2
    assert "--samples" in refused.stderr
