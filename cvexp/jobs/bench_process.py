"""One measurement of `cvexp bench`: in this process, or again and again in new ones."""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
from collections.abc import Mapping  # noqa: TC003 - pydantic reads the annotations at run time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cvexp.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch

    from cvexp.inference.latency.times import BatchTimes, Subject
    from cvexp.jobs.bench_models import Timed

REQUEST, RESULT = "request.json", "result.json"
START = "from cvexp.jobs.bench_process import main; main()"


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What a new process measures; of each model its file, format, specification and images."""

    models: tuple[Mapping[str, str], ...]
    device: str
    batches: tuple[int, ...]
    n_threads: int


def measure(
    subjects: Sequence[Subject], device: torch.device, batches: Sequence[int], *, n_threads: int
) -> tuple[BatchTimes, ...]:
    """Time the models with batches of every size here.

    Raises:
        ConfigError: There is no memory for a batch.
    """
    from cvexp.inference.latency.times import shared_limits, time_models

    limits = shared_limits(len(subjects), len(batches))
    found = []
    for batch in batches:
        try:
            found.append(time_models(subjects, device, batch=batch, n_threads=n_threads, limits=limits))
        except (MemoryError, RuntimeError) as error:
            if not isinstance(error, MemoryError) and "memory" not in str(error).lower():
                raise
            raise ConfigError(f"no memory for a batch of {batch:,} images", "give a smaller --batch") from error
    return tuple(found)


def measure_in_processes(
    models: Sequence[Timed],
    device: torch.device,
    batches: Sequence[int],
    *,
    n_threads: int,
    n_processes: int,
    say: Callable[[str], None],
) -> list[tuple[BatchTimes, ...]]:
    """Time the models in `n_processes` new processes, one after the other; each begins with another of the models.

    Raises:
        CvexpError: A process failed.
    """
    with tempfile.TemporaryDirectory(prefix="cvexp-") as scratch:
        folder = Path(scratch)
        written = [_write(model, folder / str(index), batches) for index, model in enumerate(models)]
        found = []
        for number in range(n_processes):
            say(f"process {number + 1} of {n_processes}")
            turn = number % len(models)
            order = [*range(turn, len(models)), *range(turn)]
            request = Request(
                models=tuple(written[index] for index in order),
                device=str(device),
                batches=tuple(batches),
                n_threads=n_threads,
            )
            (folder / REQUEST).write_text(json.dumps(asdict(request)))
            found.append(tuple(reordered(one, order) for one in _run(folder)))
    return found


def _write(model: Timed, path: Path, batches: Sequence[int]) -> dict[str, str]:
    """Write what another process needs of a model: its images, and its weights unless they are in a file already."""
    import numpy as np

    from cvexp.export.formats import exporter_of
    from cvexp.inference.latency.times import images_needed
    from cvexp.inference.predictor import TorchPredictor

    images = max((images_needed(model.subject.images, batch) for batch in batches), key=len)
    np.save(path.with_suffix(".npy"), images.cpu().numpy())
    file, spec, predictor = model.file, model.spec, model.subject.predictor
    if file is None:
        assert isinstance(predictor, TorchPredictor)  # noqa: S101 - what runs are loaded as
        file = path.with_suffix(".weights")
        spec = replace(spec, weights_sha256=exporter_of(model.format).write(file, predictor.model, spec))
    return {
        "file": str(file.absolute()),
        "format": model.format,
        "spec": spec.to_json(),
        "memory_format": model.memory_format,
        "factory": model.factory or "",
        "images": str(path.with_suffix(".npy")),
    }


def _run(folder: Path) -> tuple[BatchTimes, ...]:
    from pydantic import TypeAdapter

    from cvexp.inference.latency.times import BatchTimes
    from cvexp.jobs.child import output_of

    output_of(START, str(folder), failed="a process that measured failed", hint="see: cvexp bench RUN")
    return TypeAdapter(tuple[BatchTimes, ...]).validate_json((folder / RESULT).read_bytes())


def reordered(times: BatchTimes, order: Sequence[int]) -> BatchTimes:
    """The figures with the models as they were named, from those with model `order[i]` at index i."""
    position = {index: i for i, index in enumerate(order)}
    pairs = itertools.combinations(range(len(order)), 2)
    return replace(
        times,
        models=tuple(times.models[position[index]] for index in range(len(order))),
        ratios=tuple(replace(times.ratio(position[a], position[b]), a=a, b=b) for a, b in pairs),
    )


def main() -> None:
    """What a new process does: read the request from the folder that is its argument, measure, write the result."""
    import numpy as np
    import torch
    from pydantic import TypeAdapter

    from cvexp.export.formats import exporter_of
    from cvexp.inference.latency.times import BatchTimes, Subject
    from cvexp.jobs.bench_models import arranged
    from cvexp.models.spec import ModelSpec, parse_json

    folder = Path(sys.argv[1])
    request = TypeAdapter(Request).validate_json((folder / REQUEST).read_bytes())
    device, subjects = torch.device(request.device), []
    for model in request.models:
        spec = parse_json(ModelSpec, model["spec"], origin=model["file"])
        factory = model["factory"] or None
        read = exporter_of(model["format"]).read
        predictor = read(Path(model["file"]), spec, device=device, trusted_factory=factory)
        images = torch.from_numpy(np.load(model["images"], allow_pickle=False))
        subjects.append(Subject(predictor=arranged(predictor, model["memory_format"]), images=images))
    found = measure(subjects, device, request.batches, n_threads=request.n_threads)
    (folder / RESULT).write_bytes(TypeAdapter(tuple[BatchTimes, ...]).dump_json(found))
