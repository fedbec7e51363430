"""Image files: decoding, first and second start, epochs beside ImageFolder, and a set larger than the memory allowed.

The files are JPEGs of 512x384 pixels: articles of Fashion-MNIST, enlarged, before parts of two photographs, so that
they take as long to decode as photographs do.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec as is_installed
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.measure import Row, save, table

if TYPE_CHECKING:
    from collections.abc import Callable

WIDTH, HEIGHT = 512, 384
SIDES = (64, 224)
N_IMAGES = 10_000
EPOCHS = 3
BATCH = 32
LIMIT_TIMES = 4
"""How many times the memory allowed the larger set takes."""


def run(*, models: list[str], repeats: int, threads: int, limit: int | None, name: str, memory_mib: int) -> None:
    """Measure, print the tables, and write them to `benchmarks/results/`.

    Args:
        models: Whose epochs are timed at the smaller side.
        repeats: Turns.
        threads: CPU threads torch may use where it trains.
        limit: Training images; by default N_IMAGES.
        name: Of the file.
        memory_mib: What a process may take for the larger set, which is LIMIT_TIMES as large; 0 leaves that out.
    """
    n_images, tables, notes = limit or N_IMAGES, {}, {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "images"
        print(f"writing {n_images:,} JPEGs", file=sys.stderr)
        write_images(folder, n_images, n_images // 5)
        decoding: dict[str, Row] = {}
        starts = {
            f"{which} start, {side} px": Row(name=f"{which} start, {side} px", samples=[])
            for side in SIDES
            for which in ("first", "second")
        }
        epochs: dict[str, dict[str, Row]] = {model: {} for model in models}
        for turn in range(repeats):
            print(f"turn {turn + 1}/{repeats}", file=sys.stderr, flush=True)
            cache = str(Path(scratch) / f"cache-{turn}")
            for what, per_second in child("decode", folder=str(folder)).items():
                decoding.setdefault(what, Row(name=what, samples=[])).samples.append(per_second)
            for side in SIDES:
                for which in ("first", "second"):
                    took = child("start", folder=str(folder), side=side, cache=cache)["seconds"]
                    starts[f"{which} start, {side} px"].samples.append(took)
            for model in models:
                for who in ("cvexp", "ImageFolder", *(["fastai"] if is_installed("fastai") else [])):
                    answer = child(
                        "epochs", who=who, folder=str(folder), side=SIDES[0], model=model, threads=threads, cache=cache
                    )
                    row = epochs[model].setdefault(who, Row(name=who, samples=[]))
                    row.samples.append(float(np.median(answer["seconds"][1:])))
                    notes[f"{model}, {who}"] = answer
        print(f"\nreading and decoding on one core\n\n{_plain(list(decoding.values()), 'images/s')}")
        print(f"\nuntil {n_images * 6 // 5:,} images are ready\n\n{_plain(list(starts.values()), 's')}")
        shares = {
            side: starts[f"second start, {side} px"].median / starts[f"first start, {side} px"].median for side in SIDES
        }
        print(
            "\n" + ", ".join(f"second start at {side} px: {share:.1%} of the first" for side, share in shares.items())
        )
        for model, rows in epochs.items():
            times = table(list(rows.values()), baseline="ImageFolder")
            print(f"\n{model}: an epoch of {n_images:,} images at {SIDES[0]} px\n\n{times}")
        tables = {
            "decoding, images/s on one core": list(decoding.values()),
            "starts, s": list(starts.values()),
            **{f"{model}, epoch, s": list(rows.values()) for model, rows in epochs.items()},
        }
        if memory_mib:
            notes["larger than memory"] = larger_than_memory(Path(scratch), memory_mib)
    print(f"\nwritten to {save(name, tables, notes=notes)}")


def _plain(rows: list[Row], unit: str) -> str:
    lines = [f"| | median, {unit} | smallest to largest |", "|---|---:|---:|"]
    lines += [
        f"| {row.name} | {row.median:,.3g} | {min(row.samples):,.3g} to {max(row.samples):,.3g} |" for row in rows
    ]
    return "\n".join(lines)


def write_images(folder: Path, n_train: int, n_test: int) -> None:
    """Write `train/CLASS/*.jpg` and `test/CLASS/*.jpg`; articles repeat, before other backgrounds."""
    from PIL import Image
    from sklearn.datasets import load_sample_images

    from cvexp.data.dataset import load
    from cvexp.data.registry import find_spec

    dataset, draw = load(find_spec("fashion-mnist"), folder.parent), np.random.default_rng(0)
    photos = [Image.fromarray(one).resize((1280, 854)) for one in load_sample_images().images]
    for split, count in (("train", n_train), ("test", n_test)):
        part = getattr(dataset, split)
        for k in range(count):
            article = Image.fromarray(part.images[k % len(part), 0].numpy()).resize(
                (WIDTH, HEIGHT), Image.Resampling.BICUBIC
            )
            left, top = draw.integers(0, 1280 - WIDTH), draw.integers(0, 854 - HEIGHT)
            background = photos[k % 2].crop((left, top, left + WIDTH, top + HEIGHT))
            name = dataset.class_names[int(part.labels[k % len(part)])].replace("/", "-")
            target = folder / split / name
            target.mkdir(parents=True, exist_ok=True)
            Image.blend(background, article.convert("RGB"), 0.6).save(target / f"{k:06}.jpg", quality=90)


def larger_than_memory(scratch: Path, memory_mib: int) -> dict[str, Any]:
    """Train on a set LIMIT_TIMES as large as a process may be, and on the same set from memory: losses are equal."""
    side = SIDES[1]
    n_images = LIMIT_TIMES * memory_mib * 2**20 // (3 * side * side)
    folder, cache = scratch / "larger", str(scratch / "larger-cache")
    print(f"writing {n_images:,} JPEGs", file=sys.stderr)
    write_images(folder, n_images, 100)
    asked = {"folder": str(folder), "side": side, "cache": cache}
    child("start", **asked, memory_mib=memory_mib)
    mapped = child("losses", **asked, memory_mib=memory_mib)
    resident = child("losses", **asked, in_memory=True)
    same = mapped["losses"] == resident["losses"]
    size = f"{n_images * 3 * side * side / 2**20:,.0f} MiB"
    print(
        f"\n{n_images:,} images at {side} px, {size}, with {memory_mib:,} MiB allowed "
        f"({mapped['limited_by']}): losses {'equal' if same else 'DIFFERENT'} to those from memory; "
        f"an epoch {mapped['seconds']:.1f} s, from memory {resident['seconds']:.1f} s"
    )
    if not same:
        raise SystemExit("training from a mapped file gives other losses than from memory")
    return {"images": n_images, "memory_mib": memory_mib, "mapped": mapped, "resident": resident}


def child(what: str, *, memory_mib: int = 0, **asked: Any) -> dict[str, Any]:
    """One measurement in a process of its own, which may take `memory_mib` if that is not 0."""
    words = [sys.executable, "-m", "benchmarks.folders", what, json.dumps(asked)]
    threads = str(asked.get("threads", 2))
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    if "cache" in asked:
        environment["XDG_CACHE_HOME"] = asked["cache"]
    group = _group(memory_mib)

    def enter() -> None:
        if group is not None:
            (group / "cgroup.procs").write_text(str(os.getpid()))
        elif memory_mib:
            resource.setrlimit(resource.RLIMIT_DATA, (memory_mib * 2**20,) * 2)

    try:
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, preexec_fn=enter)  # noqa: S603
    finally:
        if group is not None:
            group.rmdir()
    if done.returncode:
        raise SystemExit(f"{what} failed with {done.returncode}:\n{done.stderr[-3000:]}")
    limited = "a control group, the page cache included" if group else "RLIMIT_DATA, the page cache not included"
    return {**json.loads(done.stdout.splitlines()[-1]), **({"limited_by": limited} if memory_mib else {})}


def _group(memory_mib: int) -> Path | None:
    """A control group with that much memory; None where none is wanted, or none can be made."""
    if not memory_mib:
        return None
    for root, limit in (
        (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
        (Path("/sys/fs/cgroup"), "memory.max"),
    ):
        group = root / f"cvexp-{os.getpid()}"
        try:
            group.mkdir()
            (group / limit).write_text(str(memory_mib * 2**20))
        except OSError:
            if group.is_dir():
                group.rmdir()
            continue
        return group
    return None


def decode(*, folder: str) -> dict[str, Any]:
    """Images a second of CPU time, from a file to pixels, on one thread: decoded alone, and fitted to each side."""
    import torch
    from PIL import Image

    from cvexp.data.fitting import Fitting
    from cvexp.data.images import read_image
    from cvexp.device import keep_freed_pages

    torch.set_num_threads(1)
    keep_freed_pages()  # as decoding into the cache does
    files = sorted(Path(folder).rglob("*.jpg"))[:600]
    fitting = Fitting(resize="crop")

    def loaded(file: Path) -> None:
        with Image.open(file) as image:
            image.load()

    def rate(read: Callable[[Path], object]) -> float:
        for file in files[:50]:
            read(file)
        begun = time.process_time()
        for file in files:
            read(file)
        return len(files) / (time.process_time() - begun)

    return {
        "Pillow, decoding alone": rate(loaded),
        **{f"{side} px": rate(lambda file, side=side: read_image(file, (3, side, side), fitting)) for side in SIDES},
    }


def start(*, folder: str, side: int, cache: str) -> dict[str, Any]:  # noqa: ARG001 - it is in the environment
    """Seconds until the dataset is ready, imports left out."""
    dataset, seconds = _dataset(folder, side)
    return {"seconds": seconds, "images": len(dataset.train) + len(dataset.test)}


def _dataset(folder: str, side: int) -> tuple[Any, float]:
    import cvexp.data.own.loading  # noqa: F401 - imports are not measured
    from cvexp.config.data import DataConfig
    from cvexp.data.dataset import load_dataset

    begun = time.perf_counter()
    dataset = load_dataset(DataConfig(dataset=folder, image_size=side), Path(folder))
    return dataset, time.perf_counter() - begun


def losses(*, folder: str, side: int, cache: str, in_memory: bool = False) -> dict[str, Any]:  # noqa: ARG001 - likewise
    """The losses of every step of two epochs of linear, from the mapped cache or from memory."""
    from dataclasses import replace

    from cvexp.config import run_config
    from cvexp.training.session import prepare

    dataset, _ = _dataset(folder, side)
    if in_memory:
        train = dataset.train.take(np.arange(len(dataset.train)), copy=True)
        dataset = replace(dataset, train=train)
    asked = {"model": "linear", "dataset": folder, "image_size": side, "epochs": 2, "device": "cpu", "lr": 0.001}
    config = run_config(asked)
    history = list(prepare(config, Path(folder), dataset=dataset).fit())
    values = [float(loss) for epoch in history for loss in epoch.step_losses]
    return {"losses": values, "seconds": history[-1].timing.train_seconds}


def epochs(*, who: str, folder: str, side: int, model: str, threads: int, cache: str) -> dict[str, Any]:  # noqa: ARG001
    """Seconds of each training epoch, and the last accuracy."""
    import torch

    torch.set_num_threads(threads)
    return {"cvexp": _cvexp, "ImageFolder": _image_folder, "fastai": _fastai}[who](folder, side, model)


def _cvexp(folder: str, side: int, model: str) -> dict[str, Any]:
    from cvexp.config import run_config
    from cvexp.training.session import prepare

    settings = {
        "model": model,
        "dataset": folder,
        "image_size": side,
        "epochs": EPOCHS,
        "batch_size": BATCH,
        "device": "cpu",
    }
    history = list(prepare(run_config(settings), Path(folder)).fit())
    return {
        "seconds": [epoch.timing.train_seconds for epoch in history],
        "accuracy": history[-1].held_out.metrics.accuracy,
    }


def _built(model: str, side: int) -> Any:
    import torch

    from cvexp.models.registry import build, find_entry

    torch.manual_seed(42)
    entry = find_entry(model, allow_path=False)
    return build(entry, image_shape=(3, side, side), n_classes=10, hidden_units=10, model_args={})


def _image_folder(folder: str, side: int, model: str) -> dict[str, Any]:
    """The course's loop on torchvision's dataset and two workers."""
    import torch
    from torchvision import transforms
    from torchvision.datasets import ImageFolder

    steps = [transforms.Resize(side), transforms.CenterCrop(side), transforms.ToTensor()]
    loaders = [
        torch.utils.data.DataLoader(
            ImageFolder(f"{folder}/{split}", transforms.Compose(steps)),
            batch_size=BATCH,
            shuffle=split == "train",
            num_workers=2,
            persistent_workers=True,
        )
        for split in ("train", "test")
    ]
    network = _built(model, side)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    seconds = []
    for _ in range(EPOCHS):
        begun = time.perf_counter()
        network.train()
        for images, labels in loaders[0]:
            loss = torch.nn.functional.cross_entropy(network(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        seconds.append(time.perf_counter() - begun)
    network.eval()
    with torch.inference_mode():
        right = [(network(images).argmax(1) == labels).float().mean() for images, labels in loaders[1]]
    return {"seconds": seconds, "accuracy": float(torch.stack(right).mean())}


def _fastai(folder: str, side: int, model: str) -> dict[str, Any]:
    """`ImageDataLoaders.from_folder` with two workers, and `Learner.fit`."""
    from functools import partial

    from fastai.callback.core import Callback
    from fastai.callback.progress import ProgressCallback
    from fastai.learner import Learner
    from fastai.losses import CrossEntropyLossFlat
    from fastai.metrics import accuracy
    from fastai.optimizer import SGD
    from fastai.vision.augment import Resize
    from fastai.vision.data import ImageDataLoaders

    class Clock(Callback):  # type: ignore[misc]  # fastai carries no types
        seconds: list[float] = []  # noqa: RUF012 - of one learner

        def before_train(self) -> None:
            self._begun = time.perf_counter()

        def after_train(self) -> None:
            self.seconds.append(time.perf_counter() - self._begun)

    loaders = ImageDataLoaders.from_folder(
        folder, train="train", valid="test", item_tfms=Resize(side), bs=BATCH, num_workers=2, device="cpu"
    )
    how = {"loss_func": CrossEntropyLossFlat(), "opt_func": partial(SGD, mom=0.0), "metrics": accuracy}
    learner = Learner(loaders, _built(model, side), lr=0.1, cbs=Clock(), path=folder, **how)
    learner.remove_cb(ProgressCallback)
    with learner.no_logging():
        learner.fit(EPOCHS, lr=0.1)
    return {"seconds": Clock.seconds, "accuracy": float(learner.recorder.values[-1][-1])}


if __name__ == "__main__":
    measure = {"decode": decode, "start": start, "losses": losses, "epochs": epochs}[sys.argv[1]]
    print(json.dumps(measure(**json.loads(sys.argv[2]))))
