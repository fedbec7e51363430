"""What a model card says of a run and of the files it was exported to: gathered here, written beside the files."""

from __future__ import annotations

import contextlib
import shlex
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from cvexp import files
from cvexp.calibration import Calibration, calibration, wilson
from cvexp.comparison.bench import bench_conditions
from cvexp.errors import ConfigError, InputError
from cvexp.jobs.confused_pairs import ConfusedPair, most_confused
from cvexp.jobs.recipe_seeds import OverSeeds, over_seeds, repeats_of
from cvexp.metrics import class_means, confusion_counts, per_class
from cvexp.runs import versions_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from cvexp.export.card import ModelCard
    from cvexp.image_records import ImageRecords
    from cvexp.jobs.exported import ExportedFile, ExportResult
    from cvexp.results import ClassMetrics
    from cvexp.runs import RunSummary
    from cvexp.settings import StoreSettings
    from cvexp.tracking.store import Store

NAME = "MODEL_CARD.md"
ID_DIGITS = 8
MARK = "<!-- cvexp run {} -->"
"""Says in a card whose it is: another run's card, or one by somebody else, is left alone."""

LARGEST_CARD = 2**20
"""Bytes of a card that is read to see whose it is."""

MOST_CARDS = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class CardFile:
    """A file of the model, and how it compares with the run's own model on the test images; None where not known.

    Attributes:
        name: Of the file, without its folder.
        kind: Its format and variant, such as `onnx` or `onnx-int8`.
        latency_ms: Of one image, median.
    """

    name: str
    kind: str
    n_bytes: int
    sha256: str
    max_logit_difference: float | None = None
    top1_agreement: float | None = None
    accuracy: float | None = None
    latency_ms: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What the run's model says of its test images, from its per-image records.

    Attributes:
        low: Of the accuracy's 95% interval over new images (Wilson); `high` likewise.
        loss: Cross-entropy, nats per image.
        brier: Mean over images, summed over classes.
        balanced_accuracy: Mean recall of the classes.
        macro_f1: Mean F1 of the classes.
        calibration: None where logits are not finite.
        pairs: The most confused ones.
    """

    n_images: int
    accuracy: float
    low: float
    high: float
    loss: float
    brier: float
    per_class: tuple[ClassMetrics, ...]
    balanced_accuracy: float
    macro_f1: float
    calibration: Calibration | None
    pairs: tuple[ConfusedPair, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelFacts:
    """Everything that a model card says.

    Attributes:
        card: Of one of the files: how to rebuild the model, the settings and figures of its run.
        files: All of the run's in the folder.
        command: What trains it again; empty where the settings cannot be read.
        n_train: Training images; None where that is not known.
        measured: None where the run has no per-image records.
        unmeasured: Why, in words.
        seeds: Of its recipe; None for a single run.
        latency: Where latencies were measured, in words; empty where they were not.
        bench_busy: Whether they were measured while it had other work.
        busy: Why training times are not to be ranked; empty otherwise.
        versions: Of the packages it was trained with.
    """

    card: ModelCard
    files: tuple[CardFile, ...]
    command: str = ""
    n_train: int | None = None
    measured: Measured | None = None
    unmeasured: str = ""
    seeds: OverSeeds | None = None
    latency: str = ""
    bench_busy: bool = False
    busy: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)


def write_card(result: ExportResult, settings: StoreSettings, *, text: Callable[[ModelFacts], str]) -> Path | None:
    """Write the card of an export beside its files, and say where; None where no file was kept.

    It is `MODEL_CARD.md`, or has the run's id in its name where that is another run's card, or somebody's own.

    Raises:
        ConfigError: It cannot be written.
    """
    from cvexp.export.card import load_card

    kept = [(one, one.path) for one in result.files if one.kept and one.path is not None]
    if not kept:
        return None
    card, folder = load_card(kept[0][1]), kept[0][1].parent
    exported = [_file(one, path) for one, path in kept]
    facts = gather(card, [*exported, *_earlier(folder, card, {one.name for one in exported})], settings)
    if any(one.latency_ms is not None for one in exported):
        words = f"{result.device_name}, {result.threads} thread{'' if result.threads == 1 else 's'}"
        facts = replace(facts, latency=words, bench_busy=result.busy)
    path = folder / NAME
    if not _is_own(path, card.run_id):
        path = path.with_stem(f"{path.stem}-{card.run_id[:ID_DIGITS]}")
    try:
        files.write_atomically(path, text(facts).encode())
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}", "choose another folder with --out") from error
    return path


def gather(card: ModelCard, exported: Sequence[CardFile], settings: StoreSettings) -> ModelFacts:
    """What is known of the run behind exported files; of a run that the store does not have, what its card says."""
    from cvexp.tracking.queries import find
    from cvexp.tracking.store import open_store

    facts = ModelFacts(card=card, files=tuple(exported), command=_command(card.settings))
    try:
        store = open_store(settings, create=False)
        run = find(store, card.run_id).run
    except InputError as error:
        return replace(facts, unmeasured=f"its run could not be read ({error.what})")
    return _of_run(facts, store, run)


def _of_run(facts: ModelFacts, store: Store, run: RunSummary) -> ModelFacts:
    from cvexp.tracking.predictions import stored_records

    class_names = facts.card.spec.class_names
    records, why = stored_records(store, run, "test")
    measured = None if records is None else measured_on(records, class_names)
    bench, n_train = bench_conditions(run), run.conditions.get("train_images")
    return replace(
        facts,
        n_train=n_train if isinstance(n_train, int) else None,
        measured=measured,
        unmeasured="" if measured else why or "the run has no per-image records of these classes",
        seeds=over_seeds(repeats_of(store, run), n_classes=len(class_names)),
        latency="" if bench is None else bench.words,
        bench_busy=bench is not None and bool(bench.busy),
        busy=run.busy,
        versions=versions_of(run.tags),
    )


def measured_on(records: ImageRecords, class_names: Sequence[str]) -> Measured | None:
    """The figures of per-image records; None for those of another number of classes."""
    if records.about.n_classes != len(class_names) or not len(records):
        return None
    counts = confusion_counts(records.labels, records.predicted, n_classes=len(class_names))
    accuracy, confidence = float(records.correct.mean()), records.confidence
    low, high = wilson(accuracy, len(records))
    by_class = per_class(counts, class_names)
    balanced_accuracy, macro_f1 = class_means(counts, by_class)
    return Measured(
        n_images=len(records),
        accuracy=accuracy,
        low=low,
        high=high,
        loss=float(records.log_loss.mean()),
        brier=float(records.brier.mean()),
        per_class=by_class,
        balanced_accuracy=balanced_accuracy,
        macro_f1=macro_f1,
        calibration=calibration(confidence, records.correct) if np.isfinite(confidence).all() else None,
        pairs=most_confused(counts, class_names),
    )


def _file(one: ExportedFile, path: Path) -> CardFile:
    return CardFile(
        name=path.name,
        kind=one.kind,
        n_bytes=one.n_bytes,
        sha256=one.sha256,
        max_logit_difference=one.max_logit_difference,
        top1_agreement=one.top1_agreement,
        accuracy=one.accuracy,
        latency_ms=None if one.latency is None else one.latency.p50.value,
    )


def _earlier(folder: Path, own: ModelCard, known: set[str]) -> list[CardFile]:
    """Files of the run that were exported to the folder before, by the cards beside them."""
    from cvexp.export.card import load_card

    found = []
    for beside in sorted(folder.glob("*.json"))[:MOST_CARDS]:
        path = beside.with_suffix("")
        with contextlib.suppress(InputError, OSError):
            if path.name in known or not path.is_file() or beside.stat().st_size > LARGEST_CARD:
                continue
            card = load_card(path)
            if card.run_id == own.run_id:
                kind = "-".join(filter(None, (card.format, card.quantized or ("raw" if card.raw else ""))))
                size, digest = path.stat().st_size, card.spec.weights_sha256
                found.append(CardFile(name=path.name, kind=kind, n_bytes=size, sha256=digest))
    return found


def _is_own(path: Path, run_id: str) -> bool:
    """Whether a card is not there yet, or is this run's."""
    try:
        content = path.read_bytes() if path.stat().st_size <= LARGEST_CARD else b""
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return MARK.format(run_id).encode() in content


def _command(settings: Mapping[str, str]) -> str:
    from cvexp.config.stored import config_of, typed_words

    try:
        return shlex.join(["cvexp", "train", *typed_words(config_of(settings))])
    except InputError:  # of a later version, or not cvexp's
        return ""
