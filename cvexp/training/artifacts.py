"""The files of a run besides its weights: pictures, tables, JSON."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import numpy as np

from cvexp.plots.confusion import confusion_matrix
from cvexp.plots.curves import curves
from cvexp.plots.files import save
from cvexp.plots.grid import image_grid
from cvexp.plots.style import RIGHT, WRONG, shortened
from cvexp.text import inert

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt
    from torch import Tensor

    from cvexp.results import EpochMetrics, Evaluation, HeldOutName
    from cvexp.training.outputs import Outputs
    from cvexp.training.session import Prepared

CONFUSION_PNG = "confusion_matrix.png"
CONFUSION_JSON = "confusion_matrix.json"
PER_CLASS_CSV = "per_class.csv"
CURVES_PNG = "curves.png"
PREDICTIONS_PNG = "predictions.png"
GRID = 9
GRID_SEED = 42


def write_figures(
    folder: Path,
    evaluation: Evaluation | None,
    prepared: Prepared,
    history: Sequence[EpochMetrics],
    *,
    title: str,
    outputs: Outputs,
    after_each: Callable[[], None] = lambda: None,
) -> None:
    """Write the tables and the pictures that `outputs` ask for; without an evaluation, nothing of the test split."""
    if evaluation is not None:
        class_names = prepared.dataset.class_names
        write_tables(folder, evaluation, class_names)
        if outputs.pictures:
            about = f"{title}: test accuracy {evaluation.metrics.accuracy:.2%}"
            save(confusion_matrix(evaluation.confusion, class_names, title=about), folder / CONFUSION_PNG)
            after_each()
            write_predictions(folder, prepared, title=title)
    if outputs.pictures:
        write_curves(folder, history, title=title)


def write_tables(folder: Path, evaluation: Evaluation, class_names: Sequence[str]) -> None:
    """Write the confusion matrix as JSON, and the per-class table as CSV."""
    matrix = {
        "rows": "true class",
        "columns": "predicted class",
        "class_names": list(class_names),
        "counts": evaluation.confusion.tolist(),
    }
    (folder / CONFUSION_JSON).write_text(json.dumps(matrix, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    with (folder / PER_CLASS_CSV).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["class", "precision", "recall", "f1", "support"])
        for row in evaluation.per_class:
            figures = (f"{figure:.6f}" for figure in (row.precision, row.recall, row.f1))
            writer.writerow([inert(row.name), *figures, row.support])


def write_records(
    folder: Path,
    prepared: Prepared,
    known: Mapping[HeldOutName, Tensor | None],
    names: Sequence[HeldOutName],
    *,
    after_batch: Callable[[], None] | None = None,
) -> None:
    """Write the per-image records of the splits with these names, each as one file.

    `known` are the final weights' logits, (K, N) on any device. A split without any is evaluated again, as it is in a
    run that was resumed after its last epoch; `after_batch` is called then.
    """
    from cvexp.image_records import write_records as write
    from cvexp.inference.per_image import image_records
    from cvexp.inference.predictor import logits_by_class

    dataset, config, device = prepared.dataset, prepared.config, prepared.device.torch
    for name in names:
        logits = known.get(name)
        if logits is None:
            logits = logits_by_class(
                prepared.model,
                dataset.held_out(name).images,
                dataset.transform,
                device=device,
                n_threads=prepared.layout.evaluation_threads,
                after_batch=after_batch,
            )
        records = image_records(logits, dataset, name, split_seed=config.split_seed, limit=config.limit)
        write(folder / f"{name}.parquet", records)


def write_predictions(folder: Path, prepared: Prepared, *, title: str) -> None:
    """Write a 3x3 grid of random test images, each with its predicted class, as a picture."""
    from cvexp.inference.predictor import TorchPredictor

    dataset, names = prepared.dataset, prepared.dataset.class_names
    some = dataset.test.take(random_choice(len(dataset.test), GRID, GRID_SEED))
    predictor = TorchPredictor(prepared.model, dataset.transform, prepared.device.torch)
    guesses = predictor.logits(some.images).argmax(dim=1).tolist()
    answers = [(names[guess], names[truth]) for guess, truth in zip(guesses, some.labels.tolist(), strict=True)]
    title = f"{title}: random test images"
    draw_grid(some.images.cpu().numpy(), answers, title=title, out=folder / PREDICTIONS_PNG)


def random_choice(n_images: int, n_chosen: int, seed: int) -> npt.NDArray[np.int64]:
    """Indices of `n_chosen` different images, at the most as many as there are."""
    return np.random.default_rng(seed).choice(n_images, min(n_chosen, n_images), replace=False)


def draw_grid(images: npt.NDArray[np.uint8], answers: Sequence[tuple[str, str]], *, title: str, out: Path) -> None:
    """Draw images titled `prediction | truth`, right ones in green with a tick, wrong ones in red with a cross.

    `images` are uint8 (N, C, H, W), C 1 or 3; `answers` are N pairs of predicted and true class. An InputError says
    that `out` cannot be written.
    """
    marks = [("✓", RIGHT) if guess == truth else ("✗", WRONG) for guess, truth in answers]
    titles = [f"{shortened(a)} | {shortened(b)} {tick}" for (a, b), (tick, _) in zip(answers, marks, strict=True)]
    title = f"{title}\nprediction | truth"
    save(image_grid(images, titles, title=title, colors=[color for _, color in marks]), out)


def write_curves(folder: Path, history: Sequence[EpochMetrics], *, title: str) -> None:
    """Write loss and accuracy over epochs as a picture."""
    save(curves(history, title=title), folder / CURVES_PNG)
