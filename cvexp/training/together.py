"""One training in several processes: process 0 trains and writes the run as one process does; the others follow it."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from cvexp.config.model import names_code
from cvexp.config.stored import typed_words
from cvexp.engine.distributed.alone import ALONE
from cvexp.errors import ConfigError, CvexpError, DeviceError, ModelError
from cvexp.process import Rank, rank_here
from cvexp.training.session import prepare

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cvexp.config import RunConfig
    from cvexp.device import Device
    from cvexp.engine.distributed.alone import Alone
    from cvexp.engine.distributed.ranks import Control, Ranks
    from cvexp.training.signals import StopSignals

START, LEFT, ERROR = "start", "left", "error"
"""What process 0 tells the others: what to train, that it has closed the run; and what they tell it when they fail."""

SECONDS_TO_CLOSE = 60.0
"""How long a process that failed lets process 0 close the run before it ends itself, whereupon torchrun stops all."""


@contextlib.contextmanager
def together(config: RunConfig, *, evaluation_threads: int | None = None, resumed: bool = False) -> Iterator[Alone]:
    """Within the block, process 0 trains `config` with the other processes, or alone where it is alone.

    Args:
        config: What is trained.
        evaluation_threads: Of a resumed run.
        resumed: Whether a checkpoint will be shared before the first step.

    Raises:
        ConfigError: `config` asks for another number of processes than there are.
        DeviceError: There are fewer devices than processes.
    """
    place = rank_here()
    if place is None and config.devices == 1:
        yield ALONE
        return
    if place is None:
        command = " ".join(["cvexp train", *typed_words(config)])
        raise ConfigError(f"devices {config.devices}: this process trains on one", f"use the command: {command}")
    if config.devices != place.world:
        remedy = "a run keeps its number of devices" if resumed else "leave --devices out, or give that number"
        raise ConfigError(f"--devices {config.devices}: torchrun started {place.world} processes", remedy)
    device = own_device(config.device, place)
    from cvexp.engine.distributed.ranks import Control

    control = Control(place)
    plain = {"config": asdict(config), "evaluation_threads": evaluation_threads, "resumed": resumed}
    control.tell(START, json.dumps(plain, default=dict))
    try:
        with group(control, device) as ranks:
            yield ranks
    finally:
        control.tell(LEFT, "done")


@contextlib.contextmanager
def group(control: Control, device: Device) -> Iterator[Ranks]:
    """Within the block, the processes exchange tensors; those of a GPU over NCCL, others over gloo."""
    import torch.distributed as dist

    from cvexp.engine.distributed.ranks import PATIENCE, Ranks

    ranks, place = Ranks(control, device), control.place
    backend = "cpu:gloo,cuda:nccl" if ranks.backend == "nccl" else "gloo"
    with ranks.watched(), quiet():
        store = control.new_store()
        dist.init_process_group(backend, store=store, rank=place.rank, world_size=place.world, timeout=PATIENCE)
    try:
        yield ranks
    finally:
        dist.destroy_process_group()


def own_device(name: str, place: Rank) -> Device:
    """This process's device: its GPU, or its share of the threads for the CPU.

    Raises:
        DeviceError: The device called `name` is one for all, or there are fewer GPUs than processes.
    """
    import torch

    from cvexp.device import choose

    device = choose(name)
    if device.torch.type == "cpu":
        return replace(device, threads=max(1, device.threads // place.local_world))
    n_gpus = torch.cuda.device_count() if device.torch.type == "cuda" else 1
    if n_gpus < place.local_world:
        raise DeviceError(
            f"--devices {place.world}: {n_gpus} GPU{'' if n_gpus == 1 else 's'} for {place.local_world} processes",
            "give at most as many, or --device cpu",
        )
    torch.cuda.set_device(place.local_rank)
    return choose(f"cuda:{place.local_rank}")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Within the block, nothing that torch's C++ code writes to stdout or stderr is seen."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = {stream: os.dup(stream) for stream in (1, 2)}
    silence()
    try:
        yield
    finally:
        for stream, copy in kept.items():
            os.dup2(copy, stream)
            os.close(copy)


def silence() -> None:
    """Let this process write nothing to stdout and stderr any more."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)


@dataclass(kw_only=True, slots=True)
class Follower:
    """Trains along with process 0: the same steps, evaluations and decisions, without a run, files or words.

    A signal is passed on to process 0, which stops with a checkpoint; this process ends when that one does.

    Attributes:
        control: How to reach it.
        data_dir: See jobs.train.
        model: The one that was typed here, if any: only that may be code.
        signals: That this process gets.
    """

    control: Control
    data_dir: Path
    model: str | None
    signals: StopSignals

    def run(self) -> int:
        """Train, and give the process's exit code: 0 unless it failed for a reason of its own."""
        from cvexp.engine.distributed.ranks import PeerLost

        place = self.control.place
        try:
            self._train(json.loads(self.control.awaited(START)))
        except PeerLost:
            return 0  # whoever ended it says why
        except Exception as error:  # noqa: BLE001 - process 0 says what it was
            what = error.what if isinstance(error, CvexpError) else f"{type(error).__name__}: {error}"
            self.control.tell(ERROR, f"process {place.rank} of {place.world}: {what}")
            return 0 if self._left() else 1
        return 0

    def _left(self) -> bool:
        """Whether process 0 has closed the run."""
        import time

        until = time.monotonic() + SECONDS_TO_CLOSE
        while time.monotonic() < until:
            if self.control.told(LEFT) is not None:
                return True
            time.sleep(0.05)
        return False

    def _train(self, start: dict[str, Any]) -> None:
        from cvexp.config import run_config
        from cvexp.device import threads

        config = run_config(start["config"])
        if names_code(config.model) and config.model != self.model:
            raise ModelError(f"it was not told to run the code of {config.model}")
        with group(self.control, own_device(config.device, self.control.place)) as ranks:
            prepared = prepare(config, self.data_dir, evaluation_threads=start["evaluation_threads"], ranks=ranks)
            with threads(prepared.layout.threads), self.signals.deferred():
                fit = prepared.fit(lambda _progress: self._relay(ranks))
                if start["resumed"]:
                    fit.load_state(dict(ranks.share_state({})))
                for _ in fit:
                    pass
                fit.finish()
                self._test(prepared, ranks)

    def _relay(self, ranks: Ranks) -> None:
        ranks.relay(self.signals)

    @staticmethod
    def _test(prepared: Any, ranks: Ranks) -> None:
        """Evaluate its part of the test split where that was not done after the last epoch."""
        dataset, device = prepared.dataset, prepared.device.torch
        if dataset.val is not None:
            n_threads = prepared.layout.evaluation_threads
            images = dataset.test.images.to(device)
            ranks.logits_by_class(prepared.model, images, dataset.transform, device=device, n_threads=n_threads)
