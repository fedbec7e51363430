"""The pictures of `cvexp explain`: where the evidence for two classes is, and the maps of the layers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cvexp.plots.class_maps import ClassMaps, class_map_rows
from cvexp.plots.feature_maps import feature_map_rows
from cvexp.plots.files import save

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt
    from torch import Tensor

    from cvexp.inference.attribution import Attribution
    from cvexp.jobs.predict import Prediction
    from cvexp.jobs.source import TrainedModel

GRAD_CAM, GRADIENT = "Grad-CAM", "gradient"
_HOW_TO_READ = {
    GRAD_CAM: (
        "Orange: what raises the class's score (Grad-CAM over {layer}, {size} maps enlarged). Each picture has its own "
        "scale: it says where, not how much."
    ),
    GRADIENT: (
        "This model has no layer with maps, so this is the gradient of the class's score: a brighter pixel raises it "
        "where orange, and lowers it where blue. Each picture has its own scale."
    ),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Explained:
    """One image.

    Attributes:
        prediction: With the image's name and, for test images, its true class.
        classes: The two whose evidence was drawn: the predicted one, and the true one or the runner-up.
    """

    prediction: Prediction
    classes: tuple[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """Images uint8 (N, C, H, W) that go into one picture of classes, and what its name begins with."""

    images: npt.NDArray[np.uint8]
    found: Sequence[Prediction]
    stem: str
    title: str


def _transformed(trained: TrainedModel, images: npt.NDArray[np.uint8]) -> Tensor:
    import torch

    return trained.card.spec.transform(torch.from_numpy(images).to(trained.device.torch))


def draw_classes(trained: TrainedModel, subject: Subject, path: Path) -> tuple[Attribution, list[Explained]]:
    """Draw the evidence for the predicted class, and for the true one or the runner-up."""
    import torch

    from cvexp.inference.attribution import attribute

    names = trained.card.spec.class_names
    explained = [Explained(prediction=one, classes=(one.best, _other(one))) for one in subject.found]
    classes = torch.tensor([[names.index(name) for name in one.classes] for one in explained])
    model = trained.model.eval()
    attribution = attribute(model, _transformed(trained, subject.images), classes.to(trained.device.torch))
    found = [
        ClassMaps(
            image=image,
            name=Path(one.prediction.image).name,
            maps=maps,
            classes=_captions(one),
            truth=one.prediction.truth,
            correct=None if one.prediction.truth is None else one.prediction.truth == one.prediction.best,
        )
        for one, image, maps in zip(explained, subject.images, attribution.maps.numpy(), strict=True)
    ]
    signed = attribution.layer is None
    size = "x".join(map(str, attribution.layer_shape[1:]))
    how = _HOW_TO_READ[GRADIENT if signed else GRAD_CAM].format(layer=attribution.layer, size=size)
    save(class_map_rows(found, title=subject.title, how_to_read=how, signed=signed), path)
    return attribution, explained


def _other(one: Prediction) -> str:
    """The true class of a mistake, else the runner-up; of a single class there is no other."""
    if one.truth is not None and one.truth != one.best:
        return one.truth
    return one.ranking[min(1, len(one.ranking) - 1)][0]


def _captions(one: Explained) -> tuple[tuple[str, str], tuple[str, str]]:
    prediction, (best, other) = one.prediction, one.classes
    role = "true" if other == prediction.truth else "next"
    return ("predicted:", share_of(prediction, best)), (f"{role}:", share_of(prediction, other))


def share_of(one: Prediction, name: str) -> str:
    """A class and its probability in words."""
    return f"{name} {dict(one.ranking)[name]:.1%}"


def draw_layers(trained: TrainedModel, subject: Subject, path: Path) -> Path:
    """Draw the maps of the layers for the subject's first image."""
    from cvexp.inference.feature_maps import feature_maps

    layers = feature_maps(trained.model.eval(), _transformed(trained, subject.images[:1]))
    one = subject.found[0]
    title = f"{trained.name}, layer by layer: {Path(one.image).name}, predicted {share_of(one, one.best)}"
    save(feature_map_rows(layers, subject.images[0], title=title), path)
    return path
