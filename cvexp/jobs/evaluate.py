"""Evaluate a run's stored weights, and check that they still give the figures the run logged."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cvexp.calibration import Calibration, calibration
from cvexp.data.named import check_known
from cvexp.errors import ConfigError
from cvexp.jobs.label_errors import LabelErrorsFound, find_errors, records_of_others
from cvexp.jobs.logged import agree
from cvexp.jobs.source import load_trained
from cvexp.plots.files import check_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from cvexp.data.dataset import Dataset
    from cvexp.image_records import ImageRecords
    from cvexp.inference.predictor import Predictor
    from cvexp.jobs.source import TrainedModel
    from cvexp.results import Evaluation, HeldOutName
    from cvexp.settings import StoreSettings

TOP = (3, 5)
"""The k of top-k accuracy, each reported where it is at most half the number of classes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluateResult:
    """A run's weights, measured again.

    Attributes:
        top_k: Top-k accuracy by k.
        brier: The mean Brier score, summed over classes.
        calibration: Of the predicted class's probability; None where the logits are not finite.
        logged: What the run had logged under the same metric keys.
        matches: Whether the two agree; None where they have no reason to, since the data differ.
        same_device: Whether the run was measured on the same device.
        reliability: Where the reliability diagram was drawn, if anywhere.
        label_errors: The likely ones, if they were asked for.
        stored: The splits whose per-image records were added to the run; None where nothing was to be, or could be.
    """

    run_id: str
    name: str
    note: str | None
    dataset: str
    device: str
    device_name: str
    evaluation: Evaluation
    top_k: dict[int, float]
    brier: float
    calibration: Calibration | None
    logged: dict[str, float]
    matches: bool | None
    same_device: bool
    reliability: Path | None = None
    label_errors: LabelErrorsFound | None = None
    stored: tuple[HeldOutName, ...] | None = None

    @property
    def gate_holds(self) -> bool:
        """False when the same weights on the same device and data give other figures."""
        return self.matches is not False or not self.same_device


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What to write besides the figures.

    Attributes:
        reliability: Where to draw the reliability diagram; None for nowhere.
        n_label_errors: How many likely label errors to list and draw; None leaves them out.
        label_errors: Where to draw them; a CSV of all is written beside it.
        others: Runs that have to agree on a label error, by their stored records.
        store: Whether to add the per-image records that the run lacks to it.
    """

    reliability: Path | None = None
    n_label_errors: int | None = None
    label_errors: Path = Path("label_errors.png")
    others: Sequence[str] = ()
    store: bool = False

    def checked(self) -> Wanted:
        """With the paths that are written to; InputError if one cannot be, ConfigError if `others` have no use."""
        if self.others and self.n_label_errors is None:
            raise ConfigError("--with names runs for --label-errors", "for example: --label-errors 20 --with RUN")
        return replace(
            self,
            reliability=None if self.reliability is None else check_path(self.reliability),
            label_errors=self.label_errors if self.n_label_errors is None else check_path(self.label_errors),
        )


def run(
    selector: str,
    settings: StoreSettings,
    *,
    data_dir: Path,
    dataset_name: str | None = None,
    device_name: str = "auto",
    trusted_factory: str | None = None,
    wanted: Wanted | None = None,
) -> EvaluateResult:
    """Rebuild a run's model from its specification and evaluate it on the test split.

    `dataset_name` is another dataset than the run's, of the same shape; the rest is as for `load_trained`. The run is
    left as it is, unless its records are `wanted` stored and its figures are those it logged; a run that was trained
    without the test images then gets its figures on them.

    Raises:
        InputError: The run, its weights, the dataset, the device or an output cannot be used.
        GateError: Records are to be stored, and the figures on the validation split are not those the run logged.
    """
    wanted = (wanted or Wanted()).checked()
    if dataset_name is not None:
        check_known(dataset_name, data_dir)
    trained = load_trained(selector, settings, device_name=device_name, trusted_factory=trusted_factory)
    from cvexp.inference.per_image import image_records
    from cvexp.jobs.add_records import add_missing, add_untested, check_storable, val_split

    if wanted.store:
        check_storable(trained, dataset_name=dataset_name)
    others = records_of_others(wanted.others, settings)
    fraction = val_split(trained) if wanted.store else 0.0
    dataset = trained.load_dataset(data_dir, dataset_name, val_split=fraction)
    predictor, card = _as_in_training(trained), trained.card
    logits = predictor.logits(dataset.test.images).t()
    limit = None if dataset_name else card.limit
    records = image_records(logits, dataset, "test", split_seed=card.split_seed, limit=limit)
    result = _measured(trained, dataset, logits, records, dataset_name=dataset_name)
    if wanted.reliability is not None:
        result = replace(result, reliability=_draw_reliability(result, records, wanted.reliability))
    if wanted.n_label_errors is not None:
        models = {trained.name: records, **others}
        found = find_errors(models, dataset, n_shown=wanted.n_label_errors, picture=wanted.label_errors)
        result = replace(result, label_errors=found)
    if wanted.store and (result.matches or _is_untested(trained, dataset)):
        result = replace(result, stored=add_missing(trained, predictor, dataset, records))
        add_untested(trained, result.evaluation.metrics.keyed("test"))
    return result


def _measured(
    trained: TrainedModel, dataset: Dataset, logits: Tensor, records: ImageRecords, *, dataset_name: str | None
) -> EvaluateResult:
    """The figures of `logits`, float32 (K, N), on the test split, beside those that the run logged."""
    from cvexp.inference.evaluate import score
    from cvexp.metrics import top_k_accuracy

    card, device, by_class = trained.card, trained.device, logits.numpy()
    evaluation = score(logits, dataset.test.labels, class_names=dataset.class_names)
    measured = evaluation.metrics.keyed("test")
    before = {key: math.nan if value is None else value for key, value in card.metrics.items()}
    same_data = dataset.digest == card.spec.dataset_digest and (dataset_name is None or card.limit is None)
    logged = {key: before[key] for key in measured if same_data and key in before}
    confidence = records.confidence
    return EvaluateResult(
        run_id=card.run_id,
        name=trained.name,
        note=trained.note,
        dataset=dataset.name,
        device=str(device.torch),
        device_name=device.name,
        evaluation=evaluation,
        top_k={k: top_k_accuracy(by_class, records.labels, k) for k in TOP if 2 * k <= dataset.n_classes},
        brier=float(records.brier.mean()),
        calibration=calibration(confidence, records.correct) if np.isfinite(confidence).all() else None,
        logged=logged,
        matches=agree(measured, logged),
        same_device=device.name == card.device_name,
    )


def _is_untested(trained: TrainedModel, dataset: Dataset) -> bool:
    """Whether the run was trained on these data, and not measured on their test images."""
    figures, digest = trained.card.metrics, trained.card.spec.dataset_digest
    return dataset.digest == digest and not any(key.startswith("test/") for key in figures)


def _draw_reliability(result: EvaluateResult, records: ImageRecords, path: Path) -> Path:
    from cvexp.plots.files import save
    from cvexp.plots.reliability import reliability_diagram

    found, metrics = result.calibration, result.evaluation.metrics
    if found is None:
        raise ConfigError(f"{result.name} has logits that are not finite: no reliability diagram", "train again")
    title = f"{result.name} on {result.dataset}: {metrics.n_images:,} test images, accuracy {metrics.accuracy:.2%}"
    figures = {"brier": result.brier, "log_loss": metrics.loss}
    save(reliability_diagram(found, records.confidence, title=title, **figures), path)
    return path


def _as_in_training(trained: TrainedModel) -> Predictor:
    """The predictor with the threads and memory format that training evaluates with, so that sums come out equal."""
    from cvexp.engine.layout import apply_layout, choose_layout
    from cvexp.inference.predictor import TorchPredictor

    if not isinstance(trained.predictor, TorchPredictor):
        return trained.predictor
    layout = choose_layout(
        trained.model, trained.card.spec.image_shape, batch_size=1, device=trained.device, n_threads=None
    )
    model = apply_layout(trained.model, layout)
    return TorchPredictor(model, trained.card.spec.transform, trained.device.torch, n_threads=layout.evaluation_threads)
