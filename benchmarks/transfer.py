"""What a feature cache brings: the epochs of a new head on a frozen backbone, with and without `--cache-features`.

EfficientNet-lite0 with its ImageNet weights, on Fashion-MNIST at 96 pixels. An epoch is its training and the evaluation
after it; the first one through the cache pays for the features of both splits.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from statistics import median

from benchmarks.measure import Row, save
from cvexp.config import run_config
from cvexp.device import threads
from cvexp.settings import data_dir
from cvexp.training.session import prepare
from tests.pretrained_weights import MODEL, write_lite0

EPOCHS = 5
PLAIN, FIRST, LATER = "recomputed", "cached, first epoch", "cached, later epochs"


def run(*, repeats: int, limit: int, name: str) -> None:
    """Measure in turns, print the table and the ratios, and write it to `benchmarks/results/`."""
    found: dict[str, list[float]] = {PLAIN: [], FIRST: [], LATER: []}
    with tempfile.TemporaryDirectory() as folder:
        weights = write_lite0(Path(folder) / "lite0.safetensors")
        for turn in range(repeats):
            print(f"turn {turn + 1}/{repeats}", file=sys.stderr, flush=True)
            measured = {}
            for cached in (False, True) if turn % 2 == 0 else (True, False):  # what comes first meets another machine
                measured[cached] = _epochs(weights, limit, n_epochs=EPOCHS if cached else 1, cached=cached)
            ((plain,), _), ((first, *later), accuracy) = measured[False], measured[True]
            for one, seconds in ((PLAIN, plain), (FIRST, first), (LATER, median(later))):
                found[one].append(seconds)
    rows = [Row(name=one, samples=samples) for one, samples in found.items()]
    print(f"| {limit:,} training and test images | seconds an epoch | smallest to largest |\n|---|---:|---:|")
    for row in rows:
        print(f"| {row.name} | {row.median:.3g} | {min(row.samples):.3g} to {max(row.samples):.3g} |")
    for one, what in ((FIRST, "of a recomputed one"), (LATER, "of a recomputed one")):
        ratio = median(ours / theirs for ours, theirs in zip(found[one], found[PLAIN], strict=True))
        print(f"{one}: {ratio:.3g} times the seconds {what}, or 1/{1 / ratio:,.0f}")
    print(f"test accuracy after {EPOCHS} epochs: {accuracy:.2%}")
    print(f"\nwritten to {save(name, {'transfer, seconds an epoch': rows})}")


def _epochs(weights: Path, limit: int, *, n_epochs: int, cached: bool) -> tuple[list[float], float]:
    """Seconds of each epoch, and the last test accuracy."""
    asked = {"model": MODEL, "weights": str(weights), "freeze": "all-but-head", "cache_features": cached}
    data = {"dataset": "fashion-mnist", "limit": limit, "image_size": 96, "optimizer": "adam", "device": "cpu"}
    prepared = prepare(run_config({**asked, **data, "epochs": n_epochs}), data_dir(None))
    extracting = 0.0 if prepared.cached is None else prepared.cached.seconds - prepared.cached.train_seconds
    with threads(prepared.layout.threads):
        history = list(prepared.fit())
    seconds = [epoch.timing.seconds for epoch in history]
    return [seconds[0] + extracting, *seconds[1:]], history[-1].held_out.metrics.accuracy
