"""Pictures of training images: as they are stored, and as augmentation changes them from epoch to epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cvexp.plots.files import save
from cvexp.plots.grid import image_grid
from cvexp.plots.style import shortened

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from cvexp.data.augment.source import AugmentedSource
    from cvexp.data.dataset import Dataset

N_SAMPLES = 16
SAMPLE_SEED = 42
N_AUGMENTED, N_EPOCHS = 4, 4
"""Images that are shown augmented, and in how many epochs."""

CELL_INCHES = (1.8, 2.3)
"""Of a cell whose title has LEAST_LINES lines, each of LINE_INCHES."""

LEAST_LINES, LINE_INCHES = 3, 0.17
LEAST_SHARE = 0.0005
"""Of a label: less is 0.0%."""


def draw_samples(dataset: Dataset, path: Path, *, augment: str = "none") -> None:
    """Draw random training images, titled with their classes; with `augment`, each as several epochs would have it.

    Raises:
        InputError: The picture cannot be written.
    """
    from cvexp.training.artifacts import random_choice

    if augment != "none":
        _draw_augmented(dataset, path, augment=augment)
        return
    chosen = dataset.train.take(random_choice(len(dataset.train), N_SAMPLES, SAMPLE_SEED))
    figure = image_grid(
        chosen.images.numpy(),
        [shortened(dataset.class_names[k]) for k in chosen.labels.tolist()],
        title=f"{dataset.name}: {len(chosen)} of {len(dataset.train):,} training images",
    )
    save(figure, path)


def _draw_augmented(dataset: Dataset, path: Path, *, augment: str) -> None:
    """A row for each image: as it is stored, then as epochs have it, titled with what was done."""
    import torch

    from cvexp.data.augment.source import AugmentedSource, augmentation
    from cvexp.data.batches import ResidentSource
    from cvexp.data.transforms import Transform
    from cvexp.training.artifacts import random_choice

    plain = ResidentSource(dataset.train, Transform())
    source = AugmentedSource(plain, augmentation(augment), seed=SAMPLE_SEED, n_classes=dataset.n_classes)
    order = torch.from_numpy(random_choice(len(dataset.train), len(dataset.train), SAMPLE_SEED))
    n = min(N_AUGMENTED, len(order))
    images, labels = plain.gather(order[:n])
    columns = [(images, [["as stored:", shortened(dataset.class_names[k])] for k in labels.tolist()])]
    for epoch in range(1, N_EPOCHS + 1):
        source.start_epoch(epoch)
        ((images, labels),) = source.chunks(order, n, start=0, stop=n, prefetch=False)
        columns.append((images, [[f"epoch {epoch}:", *_done(dataset, source, labels, k)] for k in range(n)]))
    cells = [(images[k], titles[k]) for k in range(n) for images, titles in columns]
    n_lines = max(LEAST_LINES, *(len(lines) for _, lines in cells))
    width, height = CELL_INCHES
    pixels = np.rint(np.stack([image.numpy() for image, _ in cells]) * 255).astype(np.uint8)
    title = f"{dataset.name} with --augment {augment}: what training may see"
    figure = image_grid(
        pixels,
        ["\n".join([*lines, *[""] * n_lines][:n_lines]) for _, lines in cells],
        title=title,
        n_columns=len(columns),
        cell_inches=(width, height + LINE_INCHES * (n_lines - LEAST_LINES)),
    )
    save(figure, path)


def _done(dataset: Dataset, source: AugmentedSource, labels: Tensor, k: int) -> list[str]:
    """What was done to the epoch's image number `k`, in lines; of a mixed one, its label."""
    if not labels.is_floating_point():
        return source.described(k)
    shares = sorted(zip(labels[k].tolist(), dataset.class_names, strict=True), reverse=True)
    return [f"{share:.1%} {shortened(name)}" for share, name in shares[:2] if share >= LEAST_SHARE]
