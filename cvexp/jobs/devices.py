"""Start one training in several processes, or take part in one."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import uuid
from typing import TYPE_CHECKING

from cvexp.errors import CvexpError, InputError, TrainingError
from cvexp.process import Rank, launch_id, rank_here

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cvexp.runs import RunSummary
    from cvexp.settings import StoreSettings

QUIET = {"TORCH_CPP_LOG_LEVEL": "ERROR", "TORCH_DISTRIBUTED_DEBUG": "OFF", "GLOO_LOG_LEVEL": "ERROR"}
"""What keeps torch's C++ code from talking; set before torch is loaded."""


def keep_torch_quiet() -> None:
    """Let torch's C++ code report errors only, here and in processes started from here, unless the user set more."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)


def launch(arguments: Sequence[str], *, devices: int, device: str) -> int:
    """Start `cvexp` with these arguments in several processes of this machine, by torchrun's agent; give the exit code.

    The first process has this one's stdout and stderr. A signal is passed on to all of them. None is started again: a
    run whose process was lost goes on with --resume; torchrun --max-restarts does both.

    Raises:
        DeviceError: There are fewer GPUs.
        TrainingError: A process was killed, and could not say so itself.
        Interrupted: A signal stopped them.
    """
    keep_torch_quiet()
    _check(devices, device)
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.disable(logging.CRITICAL)  # this process does nothing else, and process 0 says what happens
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=devices,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=0,
        logs_specs=DefaultLogsSpecs(log_dir=os.devnull),
    )
    # -P: a module of the working folder is not to be imported in place of one that cvexp imports.
    command = ["-P", "-m", "cvexp", *arguments]
    try:
        elastic_launch(config, sys.executable)(*command)
    except ChildFailedError as error:
        return _code({rank: failure.exitcode for rank, failure in error.failures.items()}, devices)
    except SignalException as error:
        return 128 + int(error.sigval)
    return 0


def _check(devices: int, device: str) -> None:
    """Refuse what no process could begin with."""
    from cvexp.training.together import own_device

    own_device(device, Rank(rank=0, world=devices, local_rank=0, local_world=devices, node=0, attempt=0))


def _code(codes: dict[int, int], devices: int) -> int:
    """The exit code of all, given those of the processes that failed; process 0 has said why unless it was killed."""
    own = codes.get(0, 1)
    if own >= 0:
        return own
    name = signal.Signals(-own).name
    raise TrainingError(
        f"process 0 of {devices} was ended by {name}", "go on from its last checkpoint: cvexp train --resume @last"
    )


def follow(data_dir: Path, *, model: str | None) -> int:
    """Train along with process 0 of the processes that this one was started with; give the exit code.

    Nothing is printed, and no file or run is written. `model` is the one that was typed, which alone may be code.
    """
    from cvexp.training.together import Follower, silence

    silence()
    place = rank_here()
    assert place is not None  # noqa: S101 - the caller has asked
    from cvexp.engine.distributed.ranks import Control
    from cvexp.training.signals import StopSignals

    with StopSignals() as signals:
        return Follower(control=Control(place), data_dir=data_dir, model=model, signals=signals).run()


def devices_of(selector: str, settings: StoreSettings) -> tuple[int, str]:
    """How many devices the run that is to be resumed has, and the device it asked for; 1 where there is no such run."""
    from cvexp.jobs.source import find_run
    from cvexp.tracking.local import folder_of
    from cvexp.training.request import read_request

    try:
        run, settings = find_run(selector, settings)
        folder = folder_of(settings, run.run_id)
        if folder is None:  # it is continued from a checkpoint elsewhere, if at all
            return devices_asked(run), run.params.get("device", "")
        config = read_request(folder).config
    except InputError:  # whoever resumes it says why it cannot be
        return 1, ""
    return config.devices, config.device


def devices_asked(run: RunSummary) -> int:
    """The devices of a stored run; 1 where its parameters, which are untrusted, do not say."""
    asked = run.params.get("devices", "")
    return int(asked) if asked.isdecimal() else 1


def run_to_restart(settings: StoreSettings) -> str | None:
    """The id of the run that these processes trained before torchrun restarted them; None where there is none."""
    from cvexp.runs import LAUNCH
    from cvexp.tracking.journal import Journal
    from cvexp.tracking.local import folders

    place = rank_here()
    if place is None or not place.attempt:
        return None
    for folder in folders(settings):
        with contextlib.suppress(CvexpError, TypeError, ValueError):  # a damaged journal concerns its own run only
            journal = Journal(folder)
            if journal.tags.get(LAUNCH) == launch_id() and journal.status != "FINISHED":
                return journal.run_id
    return None
