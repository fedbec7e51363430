"""Predict the classes of the user's own images, or of test images: random ones, or the most confident mistakes."""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from cvexp.errors import ConfigError, DatasetError
from cvexp.jobs.source import load_trained
from cvexp.plots.files import check_path
from cvexp.text import inert

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    from cvexp.jobs.source import TrainedModel
    from cvexp.settings import StoreSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """A model's outputs for one image.

    Attributes:
        image: The file's path, or the index in the test split.
        logits: One per class, in the order of `class_names`; `probabilities` are their softmax.
        truth: The true class, where it is known.
        notes: What was done to the file that may surprise.
    """

    image: str
    logits: tuple[float, ...]
    probabilities: tuple[float, ...]
    class_names: tuple[str, ...]
    truth: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def ranking(self) -> list[tuple[str, float]]:
        """Classes and their probabilities, the likeliest first."""
        order = np.argsort(-np.asarray(self.logits), kind="stable")
        return [(self.class_names[k], self.probabilities[k]) for k in order]

    @property
    def best(self) -> str:
        """The likeliest class."""
        return self.ranking[0][0]


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictResult:
    """Predictions of one model.

    Attributes:
        predictions: In the order asked for; for mistakes, the most confident first.
        failures: Files that could not be read, each with its error.
        picture: Where a grid was drawn; `table` is where a CSV was written.
        n_images: How many test images were predicted, if any.
    """

    name: str
    run_id: str
    predictions: tuple[Prediction, ...]
    failures: tuple[DatasetError, ...] = ()
    picture: Path | None = None
    table: Path | None = None
    n_images: int | None = None
    note: str | None = None


def of_files(
    selector: str,
    files: Sequence[Path],
    settings: StoreSettings,
    *,
    device_name: str = "auto",
    trusted_factory: str | None = None,
) -> PredictResult:
    """Predict the classes of image files, all in one batch; a file that cannot be read does not stop the others.

    Raises:
        InputError: The run, its weights or the device cannot be used.
    """
    trained = load_trained(selector, settings, device_name=device_name, trusted_factory=trusted_factory)
    from cvexp.data.images import read_image

    images, read, failures = [], [], []
    for file in files:
        try:
            image, notes = read_image(file, trained.card.spec.image_shape, trained.card.spec.fitting)
        except DatasetError as error:
            failures.append(error)
        else:
            images.append(image)
            read.append((str(file), notes))
    found = _predictions(trained, np.stack(images)) if images else []
    named = [replace(one, image=name, notes=notes) for one, (name, notes) in zip(found, read, strict=True)]
    return PredictResult(
        name=trained.name,
        run_id=trained.card.run_id,
        predictions=tuple(named),
        failures=tuple(failures),
        note=trained.note,
    )


def of_test_images(
    selector: str,
    settings: StoreSettings,
    *,
    data_dir: Path,
    wrong: bool,
    out: Path,
    seed: int = 42,
    device_name: str = "auto",
    trusted_factory: str | None = None,
) -> PredictResult:
    """Predict test images and draw a grid of them to `out`, each titled with prediction and truth.

    They are random images, which `seed` chooses; or, with `wrong`, the most confident mistakes, and a CSV beside the
    picture lists all mistakes.

    Raises:
        InputError: The run, its weights, the dataset, the device or the output cannot be used.
    """
    out = check_path(out)
    trained = load_trained(selector, settings, device_name=device_name, trusted_factory=trusted_factory)
    from cvexp.training.artifacts import GRID, draw_grid, random_choice

    dataset = trained.load_dataset(data_dir)
    images, labels = dataset.test.images.numpy(), dataset.test.labels.numpy()
    found = _predictions(trained, images)
    if wrong:
        mistakes = [i for i, one in enumerate(found) if np.argmax(one.logits) != labels[i]]
        if not mistakes:
            raise ConfigError(f"{trained.name} makes no mistake on {len(labels):,} test images", "leave --wrong out")
        confidences = np.max([found[i].probabilities for i in mistakes], axis=1)
        chosen = [mistakes[k] for k in np.argsort(-confidences, kind="stable")]
    else:
        chosen = random_choice(len(labels), GRID, seed).tolist()
    predictions = [replace(found[i], truth=dataset.class_names[labels[i]]) for i in chosen]
    shown = predictions[:GRID]
    kind = "most confident mistakes" if wrong else "random test images"
    title = f"{trained.name} on {dataset.name}: {len(shown)} {kind}"
    draw_grid(images[chosen[:GRID]], [(p.best, str(p.truth)) for p in shown], title=title, out=out)
    return PredictResult(
        name=trained.name,
        run_id=trained.card.run_id,
        predictions=tuple(predictions if wrong else shown),
        picture=out,
        table=_write_csv(out.with_suffix(".csv"), predictions) if wrong else None,
        n_images=len(labels),
        note=trained.note,
    )


def _predictions(trained: TrainedModel, images: npt.NDArray[np.uint8]) -> list[Prediction]:
    """Predictions for images uint8 (N, C, H, W), named by their index."""
    import torch

    logits = trained.predictor.logits(torch.from_numpy(images))
    rows = zip(logits.tolist(), logits.double().softmax(dim=1).tolist(), strict=True)
    names = trained.card.spec.class_names
    return [
        Prediction(image=str(i), logits=tuple(row), probabilities=tuple(probabilities), class_names=names)
        for i, (row, probabilities) in enumerate(rows)
    ]


def _write_csv(path: Path, predictions: Sequence[Prediction]) -> Path:
    """Every mistake: index in the test split, truth, prediction and its probability, probability of the truth."""
    try:
        with path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(["test_index", "truth", "prediction", "probability", "probability_of_truth"])
            for p in predictions:
                (best, probability), of = p.ranking[0], dict(p.ranking)
                truth = p.truth or ""
                writer.writerow([p.image, inert(truth), inert(best), f"{probability:.6f}", f"{of[truth]:.6f}"])
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}", "choose another file with --out") from error
    return path
