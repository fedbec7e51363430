"""Evaluate a run's stored weights, and check that they still give the figures the run logged."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cvexp.data.registry import find_spec
from cvexp.jobs.source import load_trained
from cvexp.results import Evaluation, Metric

if TYPE_CHECKING:
    from pathlib import Path

    from cvexp.inference.predictor import Predictor
    from cvexp.jobs.source import TrainedModel
    from cvexp.settings import StoreSettings

LOSS_TOLERANCE = 1e-5
"""Nats. Batches of another size, or another count of threads, move the sum's last digits."""

ACCURACY_TOLERANCE = 1e-9


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluateResult:
    """A run's weights, measured again.

    Attributes:
        logged: What the run had logged under the same metric keys.
        matches: Whether the two agree; None where they have no reason to, since the data differ.
        same_device: Whether the run was measured on the same device.
    """

    run_id: str
    name: str
    note: str | None
    dataset: str
    device: str
    device_name: str
    evaluation: Evaluation
    logged: dict[str, float]
    matches: bool | None
    same_device: bool

    @property
    def gate_holds(self) -> bool:
        """False when the same weights on the same device and data give other figures."""
        return self.matches is not False or not self.same_device


def run(
    selector: str,
    settings: StoreSettings,
    *,
    data_dir: Path,
    dataset_name: str | None = None,
    device_name: str = "auto",
    trusted_factory: str | None = None,
) -> EvaluateResult:
    """Rebuild a run's model from its specification and evaluate it on the test split.

    `dataset_name` is another dataset than the run's, of the same shape; the rest is as for `load_trained`.

    Raises:
        InputError: The run, its weights, the dataset or the device cannot be used.
    """
    if dataset_name is not None:
        find_spec(dataset_name)
    trained = load_trained(selector, settings, device_name=device_name, trusted_factory=trusted_factory)
    from cvexp.inference.evaluate import score

    device = trained.device
    dataset = trained.load_dataset(data_dir, dataset_name)
    logits = _as_in_training(trained).logits(dataset.test.images)
    evaluation = score(logits.t(), dataset.test.labels, class_names=dataset.class_names)
    card = trained.card
    before = {key: math.nan if value is None else value for key, value in card.metrics.items()}
    same_data = dataset.digest == card.spec.dataset_digest and (dataset_name is None or card.limit is None)
    logged = {key: before[key] for key in evaluation.metrics.keyed("test") if same_data and key in before}
    return EvaluateResult(
        run_id=card.run_id,
        name=trained.name,
        note=trained.note,
        dataset=dataset.name,
        device=str(device.torch),
        device_name=device.name,
        evaluation=evaluation,
        logged=logged,
        matches=_agree(evaluation, logged),
        same_device=device.name == card.device_name,
    )


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


def _agree(evaluation: Evaluation, logged: dict[str, float]) -> bool | None:
    """Whether the figures equal the logged ones within the tolerances; two that are not finite agree."""
    if not logged:
        return None
    measured = evaluation.metrics.keyed("test")
    tolerances = {Metric.TEST_LOSS.value: LOSS_TOLERANCE, Metric.TEST_ACCURACY.value: ACCURACY_TOLERANCE}
    return all(
        abs(measured[key] - value) <= tolerances[key] if math.isfinite(value) else not math.isfinite(measured[key])
        for key, value in logged.items()
    )
