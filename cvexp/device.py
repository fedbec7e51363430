"""Choose the device, seed every random generator, and measure time on a clock synchronised with the device."""

from __future__ import annotations

import contextlib
import math
import os
import platform
import random
import re
import time
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from cvexp.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Iterator

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""By name, the type of the numbers of forward and backward passes."""

ROOT = Path("/")
"""Of `/proc` and `/sys`; another folder in tests."""

_MT19937 = "MT19937"
"""numpy's global generator, unless it was replaced; a replacement is not stored in checkpoints."""

BF16_CAPABILITY = 8
"""The first CUDA generation that computes in bfloat16."""

_NAME = re.compile(r"(?P<kind>auto|cpu|cuda|mps)(:(?P<index>\d+))?")


@dataclass(frozen=True, kw_only=True, slots=True)
class Device:
    """Where tensors live and steps run.

    `name` is the product's, part of the comparability key; `threads` are the CPU threads for one operation.
    """

    torch: torch.device
    name: str
    threads: int

    def synchronize(self) -> None:
        """Wait until all queued work on the device is done."""
        if self.torch.type == "cuda":
            torch.cuda.synchronize(self.torch)
        elif self.torch.type == "mps":
            torch.mps.synchronize()

    def clock(self) -> float:
        """Monotonic seconds, read after `synchronize`."""
        self.synchronize()
        return time.perf_counter()


def choose(name: str = "auto") -> Device:
    """The device called `name`; `auto` takes CUDA, then Apple's MPS, then the CPU.

    Raises:
        DeviceError: The name is unknown, or this machine has no such device.
    """
    match = _NAME.fullmatch(name)
    if not match or (match["index"] and match["kind"] != "cuda"):
        raise DeviceError(f"unknown device: {name!r}", "valid: auto, cpu, cuda, cuda:N, mps")
    kind = match["kind"]
    n_cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    has_mps = torch.backends.mps.is_available()
    if kind == "auto":
        kind = "cuda" if n_cuda else "mps" if has_mps else "cpu"
    if kind == "cuda":
        index = int(match["index"] or 0)
        if index >= n_cuda:
            raise DeviceError(_no_cuda(name, n_cuda), "use --device cpu, or --device auto for what this machine has")
        device, product = torch.device("cuda", index), torch.cuda.get_device_name(index)
    elif kind == "mps":
        if not has_mps:
            raise DeviceError("device 'mps' is not available on this machine", "use --device cpu or --device auto")
        device, product = torch.device("mps"), f"Apple {platform.machine()} GPU"
    else:
        device, product = torch.device("cpu"), _cpu_name()
    return Device(torch=device, name=product, threads=default_threads())


def check_precision(device: Device, name: str) -> None:
    """Make sure that `device` computes in the precision called `name`, forward and backward.

    Raises:
        DeviceError: It cannot.
    """
    if name == "fp32":
        return
    reason, kind = "", device.torch.type
    try:
        if kind == "cuda" and name == "bf16" and torch.cuda.get_device_capability(device.torch)[0] < BF16_CAPABILITY:
            reason = "it would be emulated"
        layer = torch.nn.Conv2d(1, 2, 3, device=device.torch)
        with torch.autocast(kind, dtype=PRECISIONS[name]):
            loss = layer(torch.ones(1, 1, 4, 4, device=device.torch)).float().sum()
        loss.backward()
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
    if reason:
        raise DeviceError(f"--precision {name} is not available on {device.name}: {reason}", "use --precision fp32")


def _no_cuda(name: str, n_cuda: int) -> str:
    reason = f"torch {torch.__version__} finds no CUDA GPU here"
    if n_cuda:
        reason = f"this machine has {n_cuda}, cuda:0 to cuda:{n_cuda - 1}"
    elif torch.version.cuda is None:
        reason = f"this build of torch ({torch.__version__}) has no CUDA"
    return f"device {name!r} is not available: {reason}"


def _cpu_name() -> str:
    """The processor's product name, if the system has it, and how many logical CPUs this process may use."""
    found = re.search(r"^model name\s*:\s*(.+)$", _read(ROOT / "proc/cpuinfo") or "", re.MULTILINE)
    name = " ".join(found[1].split()) if found else ""
    return f"{name or platform.processor() or platform.machine()} ({usable_cpus()} CPUs)"


def default_threads() -> int:
    """CPU threads for one operation unless set by the user: torch's own count, at most the usable CPUs."""
    return min(torch.get_num_threads(), usable_cpus())


def usable_cpus() -> int:
    """Logical CPUs this process may use: the smallest of its affinity and its control groups' quotas.

    torch and OpenMP respect affinity alone, and would start threads that the kernel then throttles.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.floor(min(affinity, *_quotas())))


def _quotas() -> Iterator[float]:
    """The quotas of this process's control groups, in CPUs; infinity where there is none."""
    yield math.inf
    groups = _read(ROOT / "proc/self/cgroup") or ""
    for number, controllers, path in (line.split(":", 2) for line in groups.splitlines() if line.count(":") > 1):
        if number == "0":  # version 2
            mounts = [ROOT / "sys/fs/cgroup"]
        elif "cpu" in controllers.split(","):
            mounts = [ROOT / "sys/fs/cgroup" / name for name in (controllers, "cpu")]
        else:
            continue
        own = PurePosixPath(path.lstrip("/"))
        # Quotas of parent groups apply too. In a container the path may be the host's, and only the mount point exist.
        yield from (_quota(mount / group) for mount in mounts for group in (own, *own.parents))


def _quota(group: Path) -> float:
    version_1 = [_read(group / f"cpu.cfs_{name}_us") for name in ("quota", "period")]
    text = _read(group / "cpu.max") or " ".join(filter(None, version_1))
    match = re.fullmatch(r"(\d+) (\d+)", text)
    return int(match[1]) / int(match[2]) if match and int(match[2]) else math.inf


def _read(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return None


@contextlib.contextmanager
def threads(n_threads: int) -> Iterator[None]:
    """Set torch's CPU threads for one operation within the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_KEPT_BYTES, _HEAP_BYTES = 2**28, 2**25  # the latter is the largest threshold glibc takes


def keep_freed_pages() -> bool:
    """Let glibc's malloc keep up to 256 MiB of freed memory, process-wide; False where the C library is another.

    Otherwise large outputs of convolutions are unmapped and mapped again, with a page fault every 4 KiB: evaluating
    tinyvgg takes 1.5 times as long.
    """
    import ctypes

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # macOS, musl, Windows
        return False
    return bool(mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)) and bool(mallopt(_M_MMAP_THRESHOLD, _HEAP_BYTES))


def seed_everything(seed: int) -> None:
    """Seed torch's default generators (all devices), Python's `random` and numpy's global generator."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - user code draws from it


@dataclass(frozen=True, slots=True)
class GeneratorStates:
    """The states of the process-wide random generators: torch's, the device's, Python's `random` and `numpy.random`'s.

    None stands for a generator that does not exist, or is left as it is.
    """

    cpu: torch.Tensor
    device: torch.Tensor | None
    python: tuple[Any, ...] | None = None
    numpy: dict[str, Any] | None = None

    @classmethod
    def capture(cls, device: torch.device) -> GeneratorStates:
        """Read the states as they are now."""
        own = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
        if device.type == "mps":
            own = torch.mps.get_rng_state()
        of_numpy = np.random.get_state(legacy=False)  # noqa: NPY002 - user code draws from it
        return cls(torch.get_rng_state(), own, random.getstate(), of_numpy)

    def equals(self, other: GeneratorStates) -> bool:
        """Whether nothing was drawn between the two."""
        tensors = [(self.cpu, other.cpu), (self.device, other.device)]
        same = all(a is b or (a is not None and b is not None and torch.equal(a, b)) for a, b in tensors)
        return same and self.python == other.python and repr(self.numpy) == repr(other.numpy)

    def to_plain(self) -> dict[str, Any]:
        """As tensors and plain values, which `torch.load(weights_only=True)` reads."""
        own = None if self.device is None else self.device.clone()
        plain: dict[str, Any] = {"cpu": self.cpu.clone(), "device": own}
        if self.python is not None:
            version, words, gauss = self.python
            plain["python"] = {"version": version, "words": torch.tensor(words), "gauss": gauss}
        if self.numpy is not None and self.numpy["bit_generator"] == _MT19937:
            key = torch.from_numpy(self.numpy["state"]["key"].astype(np.int64))
            gauss = {"has_gauss": int(self.numpy["has_gauss"]), "gauss": float(self.numpy["gauss"])}
            plain["numpy"] = {"key": key, "pos": int(self.numpy["state"]["pos"]), **gauss}
        return plain

    @classmethod
    def from_plain(cls, states: dict[str, Any]) -> GeneratorStates:
        """The inverse of `to_plain`; early versions stored torch's generators alone."""
        cpu = states["cpu"]
        if cpu is None:
            raise ValueError("the state of the CPU generator is missing")
        python, of_numpy = states.get("python"), states.get("numpy")
        if python is not None:
            python = (int(python["version"]), tuple(python["words"].tolist()), python["gauss"])
        if of_numpy is not None:
            state = {"key": of_numpy["key"].numpy().astype(np.uint32), "pos": int(of_numpy["pos"])}
            gauss = {"has_gauss": int(of_numpy["has_gauss"]), "gauss": float(of_numpy["gauss"])}
            of_numpy = {"bit_generator": _MT19937, "state": state, **gauss}
        return cls(cpu, states["device"], python, of_numpy)

    def restore(self, device: torch.device) -> None:
        """Set the generators to these states."""
        torch.set_rng_state(self.cpu)
        if self.device is not None and device.type == "cuda":
            torch.cuda.set_rng_state(self.device, device)
        elif self.device is not None and device.type == "mps":
            torch.mps.set_rng_state(self.device)
        if self.python is not None:
            random.setstate(self.python)
        if self.numpy is not None:
            np.random.set_state(self.numpy)  # noqa: NPY002 - user code draws from it
