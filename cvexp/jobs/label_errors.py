"""Likely label errors of a test split: listed, drawn as a grid, and written as CSV."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cvexp.errors import ConfigError, RunError
from cvexp.label_errors import label_errors
from cvexp.text import inert

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cvexp.data.dataset import Dataset
    from cvexp.image_records import ImageRecords
    from cvexp.label_errors import LabelError
    from cvexp.settings import StoreSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelErrorsFound:
    """Candidates for wrong labels, the likeliest first.

    Attributes:
        candidates: All of them.
        n_shown: How many to list and draw.
        class_names: In label order.
        models: The names of the models that agree.
        picture: Where the grid was drawn, `table` where the CSV was written; None where there is no candidate.
    """

    candidates: tuple[LabelError, ...]
    n_shown: int
    class_names: tuple[str, ...]
    models: tuple[str, ...]
    picture: Path | None
    table: Path | None

    @property
    def shown(self) -> tuple[LabelError, ...]:
        """Those to list and draw."""
        return self.candidates[: self.n_shown]


def records_of_others(selectors: Sequence[str], settings: StoreSettings) -> dict[str, ImageRecords]:
    """The stored records of the test split of runs, by the run's name.

    Raises:
        InputError: There is no such run.
        RunError: It has no records, or damaged ones.
    """
    if not selectors:
        return {}
    from cvexp.tracking.predictions import stored_records
    from cvexp.tracking.queries import find
    from cvexp.tracking.store import open_store

    store = open_store(settings, create=False)
    found = {}
    for selector in selectors:
        run = find(store, selector).run
        records, why = stored_records(store, run, "test")
        if records is None:
            add = settings.command("evaluate", selector, "--store")
            raise RunError(why or f"run {run.name} has no per-image records", f"add them: {add}")
        found[run.name] = records
    return found


def find_errors(models: dict[str, ImageRecords], dataset: Dataset, *, n_shown: int, picture: Path) -> LabelErrorsFound:
    """Rank the candidates of the test split, draw the first ones to `picture`, and write all to a CSV beside it.

    `models` are the records by model name, at least one.

    Raises:
        RunError: The records are of different images.
        InputError: A file cannot be written.
    """
    candidates, names = label_errors(list(models.values())), dataset.class_names
    found = LabelErrorsFound(
        candidates=candidates,
        n_shown=n_shown,
        class_names=names,
        models=tuple(models),
        picture=picture if candidates else None,
        table=picture.with_suffix(".csv") if candidates else None,
    )
    if candidates:
        _draw(found, dataset, picture)
        _write_csv(found, picture.with_suffix(".csv"))
    return found


def _draw(found: LabelErrorsFound, dataset: Dataset, picture: Path) -> None:
    from cvexp.plots.files import save
    from cvexp.plots.grid import image_grid
    from cvexp.plots.style import shortened

    names = [shortened(name) for name in found.class_names]
    images = dataset.test.images.numpy()[[one.image for one in found.shown]]
    titles = [
        f"image {one.image}\nlabel: {names[one.label]}\n→ {names[one.suggested]} ({one.probability:.1%})"
        for one in found.shown
    ]
    by = found.models[0] if len(found.models) == 1 else f"{len(found.models)} models that agree"
    title = f"{dataset.name}: {len(found.shown)} of {len(found.candidates):,} candidates for label errors, by {by}"
    title += "\nthe label, and the prediction with its probability"
    save(image_grid(images, titles, title=title), picture)


def _write_csv(found: LabelErrorsFound, path: Path) -> None:
    try:
        with path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(["test_index", "label", "predicted", "probability", "probability_of_label", "models"])
            for one in found.candidates:
                classes = (inert(found.class_names[k]) for k in (one.label, one.suggested))
                figures = f"{one.probability:.6f}", f"{one.label_probability:.6f}"
                writer.writerow([one.image, *classes, *figures, len(found.models)])
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}", "choose another file with --grid") from error
