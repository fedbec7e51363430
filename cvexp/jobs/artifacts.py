"""The files a run leaves behind: pictures, tables, JSON."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

from cvexp import plots

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cvexp.results import EpochMetrics, Evaluation

CONFUSION_PNG = "confusion_matrix.png"
CONFUSION_JSON = "confusion_matrix.json"
PER_CLASS_CSV = "per_class.csv"
CURVES_PNG = "curves.png"


def write_evaluation(folder: Path, evaluation: Evaluation, class_names: Sequence[str], *, title: str) -> None:
    """Write the confusion matrix as a picture and as JSON, and the per-class table as CSV."""
    figure = plots.confusion_matrix(evaluation.confusion, class_names, title=title)
    plots.save(figure, folder / CONFUSION_PNG)
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
            writer.writerow([row.name, f"{row.precision:.6f}", f"{row.recall:.6f}", f"{row.f1:.6f}", row.support])


def write_curves(folder: Path, history: Sequence[EpochMetrics], *, title: str) -> None:
    """Write loss and accuracy over epochs as a picture."""
    plots.save(plots.curves(history, title=title), folder / CURVES_PNG)
