"""Evaluate a run's stored weights, and check that they still give the figures the run logged."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cvexp.data.registry import find_spec
from cvexp.errors import DatasetError
from cvexp.results import Evaluation, Metric

if TYPE_CHECKING:
    from cvexp.data.dataset import Dataset
    from cvexp.models.spec import ModelSpec
    from cvexp.results import RunSummary
    from cvexp.settings import StoreSettings

LOSS_TOLERANCE = 1e-5
"""Nats. Batches of another size, or another count of threads, move the sum's last digits."""

ACCURACY_TOLERANCE = 1e-9


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluateResult:
    """A run's weights, measured again.

    Attributes:
        run: Which run.
        note: What to know about how it was chosen.
        dataset: What it was evaluated on.
        device: Where.
        evaluation: The figures.
        logged: What the run had logged under the same keys.
        matches: Whether the two agree; None where they have no reason to, since the data differ.
        same_device: Whether the run was measured on the same device.
    """

    run: RunSummary
    note: str | None
    dataset: str
    class_names: tuple[str, ...]
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

    Args:
        selector: Which run; see tracking.find.
        settings: Where the runs are.
        data_dir: Where datasets are looked for first.
        dataset_name: Another dataset than the run's, of the same shape.
        device_name: Where to evaluate.
        trusted_factory: `package.module:factory` of a model that is not in the registry.

    Raises:
        InputError: The run, its weights, the dataset or the device cannot be used.
    """
    if dataset_name is not None:
        find_spec(dataset_name)
    from cvexp.tracking.find import artifact_folder, find
    from cvexp.tracking.store import open_store

    store = open_store(settings, create=False)
    selection = find(store, selector)
    chosen = selection.run
    from cvexp.data.dataset import load
    from cvexp.device import choose
    from cvexp.engine.evaluate import evaluate
    from cvexp.export import load_spec, load_weights

    device = choose(device_name)
    with tempfile.TemporaryDirectory(prefix="cvexp-") as scratch:
        folder = artifact_folder(store, chosen, "weights", Path(scratch))
        spec = load_spec(folder)
        model = load_weights(
            folder, spec, sha256=chosen.tags.get("cvexp.weights_sha256"), trusted_factory=trusted_factory
        )
    limit = chosen.params.get("limit", "none")
    dataset = load(
        find_spec(dataset_name or spec.dataset),
        data_dir,
        split_seed=int(chosen.params.get("split_seed", "42")),
        limit=None if dataset_name or limit == "none" else int(limit),
    )
    check_fit(spec, dataset)
    evaluation = evaluate(model.to(device.torch), dataset.test.to(device.torch), class_names=dataset.class_names)
    same_data = dataset.digest == spec.dataset_digest
    logged = {
        key: chosen.metrics[key] for key in evaluation.metrics.keyed("test") if same_data and key in chosen.metrics
    }
    return EvaluateResult(
        run=chosen,
        note=selection.note,
        dataset=dataset.name,
        class_names=dataset.class_names,
        device=str(device.torch),
        device_name=device.name,
        evaluation=evaluation,
        logged=logged,
        matches=_agree(evaluation, logged),
        same_device=device.name == chosen.tags.get("cvexp.device_name"),
    )


def check_fit(spec: ModelSpec, dataset: Dataset) -> None:
    """Refuse data whose images or classes the model was not built for.

    Raises:
        DatasetError: They differ in shape or in number.
    """
    if dataset.image_shape != tuple(spec.image_shape) or dataset.n_classes != len(spec.class_names):
        theirs = f"{'x'.join(map(str, dataset.image_shape))} images in {dataset.n_classes} classes"
        ours = f"{'x'.join(map(str, spec.image_shape))} in {len(spec.class_names)}"
        raise DatasetError(
            f"{dataset.name} has {theirs}, and this model takes {ours}", f"evaluate it on {spec.dataset}"
        )


def _agree(evaluation: Evaluation, logged: dict[str, float]) -> bool | None:
    if not logged:
        return None
    measured = evaluation.metrics.keyed("test")
    tolerances = {Metric.TEST_LOSS.value: LOSS_TOLERANCE, Metric.TEST_ACCURACY.value: ACCURACY_TOLERANCE}
    return all(abs(measured[key] - value) <= tolerances[key] for key, value in logged.items())
