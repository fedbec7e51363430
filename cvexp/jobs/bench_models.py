"""The models that `cvexp bench` times: each loaded once, in its memory format, with images of its own dataset."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cvexp.errors import ModelError, RunError
from cvexp.jobs.source import load_trained
from cvexp.text import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from cvexp.inference.latency.times import Subject
    from cvexp.inference.predictor import Predictor
    from cvexp.jobs.source import TrainedModel
    from cvexp.models.spec import ModelSpec
    from cvexp.settings import StoreSettings

MEMORY_FORMATS = ("contiguous", "channels_last")


@dataclass(frozen=True, kw_only=True, slots=True)
class Timed:
    """A model as `cvexp bench` times it.

    Attributes:
        subject: Loaded, in its memory format.
        spec: What it takes to rebuild it.
        format: A key of `cvexp.runs.EXPORT_SUFFIXES`.
        memory_format: `contiguous` or `channels_last`; empty where the file's own program decides.
        factory: The `package.module:factory` that the user typed for it, if it took one.
        file: Where it was exported to; None for a run, whose weights are written anew for another process.
    """

    subject: Subject
    spec: ModelSpec
    format: str
    memory_format: str
    factory: str | None
    file: Path | None


def load(
    selectors: Sequence[str], settings: StoreSettings, device_name: str, trusted_factory: str | None
) -> list[tuple[TrainedModel, str | None]]:
    """The models, each with the factory if it took one; one that is named twice is refused."""
    found: list[tuple[TrainedModel, str | None]] = []
    known: dict[str, str] = {}
    for selector in selectors:
        factory = None
        try:
            trained = load_trained(selector, settings, device_name=device_name)
        except ModelError:
            if trusted_factory is None:
                raise
            factory = trusted_factory
            trained = load_trained(selector, settings, device_name=device_name, trusted_factory=factory)
        key = str(Path(trained.name).resolve()) if trained.run is None else trained.card.run_id
        if key in known:
            both = " and ".join(map(shown, (known[key], selector)))
            raise RunError(f"{both} are the same model, {trained.name}", "name each model once")
        known[key] = selector
        found.append((trained, factory))
    return found


def timed(found: Sequence[tuple[TrainedModel, str | None]], data_dir: Path) -> list[Timed]:
    """The models in their memory formats, each with test images of its own dataset."""
    from cvexp.inference.latency.times import Subject

    images: dict[tuple[object, ...], Tensor] = {}
    models = []
    for trained, factory in found:
        card, memory_format = trained.card, memory_format_of(trained)
        data = (card.spec.dataset, card.spec.image_shape, card.spec.fitting, card.split_seed, card.limit)
        if data not in images:
            images[data] = trained.load_dataset(data_dir).test.images
        subject = Subject(predictor=arranged(trained.predictor, memory_format), images=images[data])
        models.append(
            Timed(
                subject=subject,
                spec=card.spec,
                format=card.format,
                memory_format=memory_format,
                factory=factory,
                file=None if trained.run else Path(trained.name),
            )
        )
    return models


def arranged(predictor: Predictor, memory_format: str) -> Predictor:
    """The predictor with its weights in a memory format, and with freed memory kept, as in training."""
    from cvexp.engine.layout import Layout, apply_layout
    from cvexp.inference.predictor import TorchPredictor

    if isinstance(predictor, TorchPredictor):
        layout = Layout(threads=1, evaluation_threads=1, memory_format=memory_format, policy="")
        predictor.model = apply_layout(predictor.model, layout)
    return predictor


def memory_format_of(trained: TrainedModel) -> str:
    """The run's own on such a device; elsewhere, and for a file, what training there would choose."""
    from cvexp.engine.layout import choose_layout
    from cvexp.inference.predictor import TorchPredictor

    if not isinstance(trained.predictor, TorchPredictor):
        return ""
    tags = trained.run.tags if trained.run is not None else {}
    recorded = tags.get("cvexp.memory_format", "")
    if recorded in MEMORY_FORMATS and tags.get("cvexp.device", "").partition(":")[0] == trained.device.torch.type:
        return recorded
    shape = trained.card.spec.image_shape
    return choose_layout(trained.model, shape, batch_size=1, device=trained.device, n_threads=1).memory_format
