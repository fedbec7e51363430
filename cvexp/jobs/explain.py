"""What a model sees in images: the maps of its layers, and where it finds the evidence for two classes."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cvexp.errors import ConfigError
from cvexp.jobs.add_records import check_storable
from cvexp.jobs.explain_pictures import GRAD_CAM, GRADIENT, Explained, Subject, draw_classes, draw_layers, share_of
from cvexp.jobs.predict import predictions, random_or_wrong, read_files
from cvexp.jobs.source import load_trained
from cvexp.plots.files import check_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cvexp.errors import DatasetError
    from cvexp.jobs.source import TrainedModel
    from cvexp.settings import StoreSettings

FOLDER = "explanations"
"""Among the artifacts of a run."""

N_TEST_IMAGES = 6
LONGEST_STEM = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class ExplainResult:
    """What was drawn.

    Attributes:
        method: GRAD_CAM, or GRADIENT for a model without a layer that has maps; None where no image could be read.
        layer: Whose maps Grad-CAM weighted; None for the gradient.
        images: In the order asked for; mistakes the most confident first.
        pictures: Every file that was written.
        failures: Image files that could not be read, each with its error.
        stored: What the pictures are called in the run; None where they were not to be stored.
    """

    name: str
    run_id: str
    method: str | None
    layer: str | None
    images: tuple[Explained, ...]
    pictures: tuple[Path, ...]
    failures: tuple[DatasetError, ...] = ()
    stored: tuple[str, ...] | None = None
    note: str | None = None


def of_files(
    selector: str,
    files: Sequence[Path],
    settings: StoreSettings,
    *,
    out: Path = Path(),
    store: bool = False,
    device_name: str = "auto",
    trusted_factory: str | None = None,
) -> ExplainResult:
    """Draw, for each image file, the maps of the layers and the evidence for its two likeliest classes.

    A file that cannot be read does not stop the others. The rest is as for `of_test_images`.
    """
    trained = _load(selector, settings, out, device_name, trusted_factory, store=store)
    read, failures = read_files(files, trained)
    images = np.stack([image for image, _, _ in read]) if read else np.empty(0, np.uint8)
    found = predictions(trained, images) if read else []
    subjects = []
    taken: set[str] = set()
    for k, (_, name, notes) in enumerate(read):
        stem = _free(_stem(name), taken)
        one = replace(found[k], image=name, notes=notes)
        title = f"{trained.name}: {Path(name).name} is {share_of(one, one.best)}"
        subjects.append(Subject(images=images[k : k + 1], found=[one], stem=stem, title=title))
    return replace(_explained(trained, subjects, out, store=store), failures=tuple(failures))


def of_test_images(
    selector: str,
    settings: StoreSettings,
    *,
    data_dir: Path,
    wrong: bool = False,
    seed: int = 42,
    out: Path = Path(),
    store: bool = False,
    device_name: str = "auto",
    trusted_factory: str | None = None,
) -> ExplainResult:
    """Draw the evidence for the predicted and the true class in some test images, and the first one's maps.

    They are random images, which `seed` chooses, or, with `wrong`, the most confident mistakes. Pictures are written to
    the folder `out`; with `store` they are added to the run's artifacts too.

    Raises:
        InputError: The run, its weights, the dataset, the device or the folder cannot be used.
    """
    trained = _load(selector, settings, out, device_name, trusted_factory, store=store)
    dataset = trained.load_dataset(data_dir)
    images = dataset.test.images.numpy()
    found = predictions(trained, images)
    chosen = random_or_wrong(trained, found, dataset, wrong=wrong, n_random=N_TEST_IMAGES, seed=seed)[:N_TEST_IMAGES]
    shown = [
        replace(found[k], image=f"test image {k}", truth=dataset.class_names[dataset.test.labels[k]]) for k in chosen
    ]
    kind = "most confident mistakes" if wrong else "random test images"
    title = f"{trained.name} on {dataset.name}: {len(shown)} {kind}"
    subject = Subject(images=images[chosen], found=shown, stem="wrong" if wrong else "test", title=title)
    return _explained(trained, [subject], out, store=store)


def _load(
    selector: str, settings: StoreSettings, out: Path, device_name: str, trusted_factory: str | None, *, store: bool
) -> TrainedModel:
    """The model, once it is sure that a module can be had and that the pictures have a place."""
    if not out.is_dir():
        raise ConfigError(f"--out {out}: not a folder", "name a folder that exists")
    check_path(out / "explain.png")
    trained = load_trained(selector, settings, device_name=device_name, trusted_factory=trusted_factory)
    if store:
        check_storable(trained, dataset_name=None)
    _ = trained.model  # refuses an exported program
    return trained


def _explained(trained: TrainedModel, subjects: Sequence[Subject], out: Path, *, store: bool) -> ExplainResult:
    images: list[Explained] = []
    pictures: list[Path] = []
    method = layer = None
    for subject in subjects:
        attribution, explained = draw_classes(trained, subject, path := out / f"explain_{subject.stem}_classes.png")
        layer = attribution.layer
        method = GRADIENT if layer is None else GRAD_CAM
        images += explained
        pictures.append(path)
        if layer is not None:
            pictures.append(draw_layers(trained, subject, out / f"explain_{subject.stem}_layers.png"))
    return ExplainResult(
        name=trained.name,
        run_id=trained.card.run_id,
        method=method,
        layer=layer,
        images=tuple(images),
        pictures=tuple(pictures),
        stored=_store(trained, pictures) if store else None,
        note=trained.note,
    )


def _store(trained: TrainedModel, pictures: Sequence[Path]) -> tuple[str, ...]:
    from cvexp.tracking.artifacts import add_file, located

    run, store = trained.run, trained.store
    assert run is not None  # noqa: S101 - see check_storable
    assert store is not None  # noqa: S101
    names = tuple(f"{FOLDER}/{picture.name}" for picture in pictures)
    for picture, name in zip(pictures, names, strict=True):
        add_file(store, located(store, run), picture, name=name)
    return names


def _stem(name: str) -> str:
    """A file's name without its suffix, of characters that every file system has."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", Path(name).stem)[:LONGEST_STEM] or "image"


def _free(stem: str, taken: set[str]) -> str:
    """`stem`, numbered where another image has it already."""
    free = next(one for k in range(1, len(taken) + 2) if (one := stem if k == 1 else f"{stem}-{k}") not in taken)
    taken.add(free)
    return free
