"""Exported files read back by their own runtimes: the same logits, how fast, how much memory."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cvexp.errors import GateError, WeightsError
from cvexp.runs import EXPORT_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt
    from torch import Tensor

    from cvexp.data.split import Split
    from cvexp.export.parity import Parity
    from cvexp.inference.latency.times import BatchTimes, ModelTimes
    from cvexp.inference.predictor import Predictor
    from cvexp.jobs.export_plan import Planned
    from cvexp.jobs.source import TrainedModel

N_THREADS = 1
N_PROBABLE = 500
"""Test images whose probabilities are compared with the softmax of their logits, where a file answers both."""

MEMORY_IMAGES = 64
"""Test images that a new process predicts while its memory is watched."""

START = "from cvexp.jobs.export_proof import main; main()"


@dataclass(frozen=True, kw_only=True, slots=True)
class Proven:
    """A file that was read back.

    Attributes:
        path: Where it lies while it is proven.
        predictor: Runs what is in it.
        parity: Its logits beside the model's, on all test images.
        figures: Loss and accuracy on them, by metric key.
        reason: Why it is not to be shipped; empty where it may be.
    """

    planned: Planned
    path: Path
    n_bytes: int
    sha256: str
    predictor: Predictor
    parity: Parity
    figures: dict[str, float]
    reason: str

    @property
    def holds_weights_only(self) -> bool:
        """Whether it is the run's own module again, so that there is nothing new to time."""
        from cvexp.inference.predictor import TorchPredictor

        return isinstance(self.predictor, TorchPredictor)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What a file takes: see `cvexp.jobs.exported.ExportedFile`."""

    latency: ModelTimes
    load_ms: float
    peak_bytes: int | None


def prove(
    trained: TrainedModel,
    written: Sequence[Planned],
    folder: Path,
    test: Split,
    *,
    tolerance: float | None,
    trusted_factory: str | None,
) -> tuple[list[Proven], float]:
    """Compare what each file in `folder` gives for all test images with what the model gives, and give its accuracy.

    Raises:
        GateError: A file cannot be read back.
    """
    from cvexp.export.card import load_card
    from cvexp.export.parity import compare_logits, why_it_fails, why_probabilities_fail
    from cvexp.inference.evaluate import score
    from cvexp.inference.predictor import Answering

    expected, class_names = trained.predictor.logits(test.images), trained.card.spec.class_names
    proven = []
    for one in written:
        path = folder / one.path.name
        predictor = _read(path, trained, trusted_factory, shown=one.path)
        logits = predictor.logits(test.images)
        parity = compare_logits(expected, logits, test.labels)
        reason = why_it_fails(parity, quantized=one.variant == "int8", tolerance=tolerance)
        if not reason and isinstance(predictor, Answering):
            reason = why_probabilities_fail(logits[:N_PROBABLE], predictor.probabilities(test.images[:N_PROBABLE]))
        proven.append(
            Proven(
                planned=one,
                path=path,
                n_bytes=path.stat().st_size,
                sha256=load_card(path).spec.weights_sha256,
                predictor=predictor,
                parity=parity,
                figures=score(logits.t(), test.labels, class_names=class_names).metrics.keyed("test"),
                reason=reason,
            )
        )
    return proven, float((expected.argmax(dim=1) == test.labels).double().mean())


def _read(path: Path, trained: TrainedModel, trusted_factory: str | None, *, shown: Path) -> Predictor:
    """The predictor of a file, as `cvexp evaluate FILE` has it."""
    from cvexp.export.card import load_card
    from cvexp.export.formats import exporter_of

    try:
        card = load_card(path)
        read = exporter_of(card.format).read
        return read(path, card.spec, device=trained.device.torch, trusted_factory=trusted_factory)
    except WeightsError as error:
        raise GateError(f"{shown} cannot be read back: {error.what}", "nothing was left of it; export again") from error


def measure_costs(
    trained: TrainedModel, proven: Sequence[Proven], images: Tensor, *, trusted_factory: str | None
) -> tuple[BatchTimes, dict[str, Cost]]:
    """Time one image on one thread, the run's own model first and then the files, all in turns; load each file anew.

    Costs are by kind of file.

    Raises:
        CvexpError: A new process cannot run a file.
    """
    from cvexp.inference.latency.times import Subject
    from cvexp.jobs.bench_models import arranged, memory_format_of
    from cvexp.jobs.bench_process import measure

    memory_format = memory_format_of(trained)
    predictors = [trained.predictor, *(one.predictor for one in proven)]
    subjects = [Subject(predictor=arranged(one, memory_format), images=images) for one in predictors]
    (times,) = measure(subjects, trained.device.torch, (1,), n_threads=N_THREADS)
    costs = {}
    for one, latency in zip(proven, times.models[1:], strict=True):
        start = time.perf_counter()
        _read(one.path, trained, trusted_factory, shown=one.planned.path)
        load_ms = 1e3 * (time.perf_counter() - start)
        peak = peak_bytes(one.path, images, trusted_factory=trusted_factory)
        costs[one.planned.kind] = Cost(latency=latency, load_ms=load_ms, peak_bytes=peak)
    return times, costs


def peak_bytes(path: Path, images: Tensor, *, trusted_factory: str | None) -> int | None:
    """The most memory that a new process takes which loads a file and predicts `MEMORY_IMAGES` images.

    That includes all it imports. None where the system does not say.

    Raises:
        CvexpError: The process failed.
    """
    import numpy as np

    from cvexp.jobs.child import output_of

    with tempfile.TemporaryDirectory(prefix="cvexp-") as scratch:
        file = Path(scratch) / "images.npy"
        np.save(file, images[:MEMORY_IMAGES].cpu().numpy())
        words = str(path.absolute()), str(file), trusted_factory or ""
        printed = output_of(START, *words, failed=f"a new process cannot run {path.name}", hint="see: --no-bench")
    found: int | None = json.loads(printed.splitlines()[-1])
    return found


def main() -> None:
    """What a new process does: read the file, predict the images, print the peak of its memory."""
    import numpy as np

    from cvexp.process import resident_peak

    path, images, factory = Path(sys.argv[1]), np.load(sys.argv[2], allow_pickle=False), sys.argv[3] or None
    predict = _predict_with_onnxruntime if path.suffix == EXPORT_SUFFIXES["onnx"] else _predict_with_torch
    predict(path, images, factory)
    sys.stdout.write(f"{json.dumps(resident_peak())}\n")


def _predict_with_torch(path: Path, images: npt.NDArray[np.uint8], factory: str | None) -> None:
    import torch

    from cvexp.export.card import load_card
    from cvexp.export.formats import exporter_of

    card = load_card(path)
    predictor = exporter_of(card.format).read(path, card.spec, device=torch.device("cpu"), trusted_factory=factory)
    predictor.logits(torch.from_numpy(images))


def _predict_with_onnxruntime(path: Path, images: npt.NDArray[np.uint8], _factory: str | None) -> None:
    """Without torch, as where such a file is served."""
    from cvexp.inference.onnx_session import open_session

    session = open_session(path, n_threads=N_THREADS)
    (given,) = session.get_inputs()
    session.run(None, {given.name: images.astype("float32") if given.type == "tensor(float)" else images})
