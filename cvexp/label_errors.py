"""Images that are probably labelled wrongly, from what one or several models said of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cvexp.image_records import check_same_images

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cvexp.image_records import ImageRecords


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelError:
    """An image whose label is probably wrong.

    Attributes:
        image: Its index in the split.
        label: The class it has, as an index.
        suggested: The class that every model predicts instead.
        probability: Of `suggested`, mean over the models.
        label_probability: Of `label`, likewise.
    """

    image: int
    label: int
    suggested: int
    probability: float
    label_probability: float


def label_errors(runs: Sequence[ImageRecords]) -> tuple[LabelError, ...]:
    """Candidates for wrong labels, the likeliest first: those whose label has the lowest probability.

    Confident learning (Northcutt, Jiang and Chuang, 2021) with self-confidence as the rank: an image is a candidate if
    it is predicted to be of another class at least as confidently as images of that class are on average. The paper
    counts, of all classes that pass this threshold, the likeliest; here that has to be the predicted class. The models
    must not have been trained on these images. Several models, such as the seeds of a recipe, have to agree on the
    class, and their probabilities are averaged: a mistake that only one of them makes says little about the label.

    Args:
        runs: At least one, of the same images. Rows that are NaN are no candidates.

    Raises:
        RunError: The records are of different images.
    """
    first, *others = runs
    for other in others:
        check_same_images(first, other)
    labels, suggested, n_classes = first.labels, first.predicted, first.about.n_classes
    agreed = np.logical_and.reduce([run.predicted == suggested for run in runs])
    confidence = np.mean([run.confidence for run in runs], axis=0)
    of_label = np.mean([np.exp(-run.log_loss) for run in runs], axis=0)
    known = np.isfinite(of_label)
    sums = np.bincount(labels[known], of_label[known], minlength=n_classes)
    counts = np.bincount(labels[known], minlength=n_classes)
    thresholds = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
    found = np.flatnonzero(agreed & (suggested != labels) & (confidence >= thresholds[suggested]))
    ranked = found[np.lexsort((-confidence[found], of_label[found]))]
    return tuple(
        LabelError(
            image=int(i),
            label=int(labels[i]),
            suggested=int(suggested[i]),
            probability=float(confidence[i]),
            label_probability=float(of_label[i]),
        )
        for i in ranked
    )
