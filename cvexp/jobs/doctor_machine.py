"""What `cvexp doctor` finds of the installation and the machine: versions, bytecode, device, threads, who computes."""

from __future__ import annotations

import importlib.util
import shlex
import shutil
import sys
import sysconfig
import time
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from cvexp.machine import occupancy_since, read_machine_state, read_machine_times
from cvexp.settings import VERSION
from cvexp.tracking.finding import Finding, Level

if TYPE_CHECKING:
    from collections.abc import Iterator

SHOWN = ("torch", "torchvision", "mlflow", "numpy", "onnxruntime")
COMPILED = ("torch", "torch.nn", "mlflow", "mlflow.tracking", "pandas", "sklearn", "scipy", "matplotlib")
"""Packages whose bytecode is looked for."""

BUSY_CPUS = 0.5
"""CPUs that other programs use, from which on times are disturbed."""

BUSY_SECONDS = 1.0
"""How long that is measured."""


def version_findings() -> list[Finding]:
    """Versions, requirements that do not hold, and bytecode that is missing."""
    found = [f"cvexp {VERSION}", f"Python {sys.version.split()[0]}", *(f"{one} {_version(one)}" for one in SHOWN)]
    return [Finding(topic="versions", text=", ".join(found)), *_of_requirements(), *_of_bytecode()]


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "missing"


def _of_requirements() -> Iterator[Finding]:
    """What cvexp requires, and the torch that torchvision was built for, beside what is installed."""
    from packaging.requirements import InvalidRequirement, Requirement

    for owner in ("cvexp", "torchvision"):
        try:
            texts = metadata.requires(owner) or []
        except metadata.PackageNotFoundError:
            continue
        for text in texts:
            try:
                wanted = Requirement(text)
            except InvalidRequirement:
                continue
            if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
                continue
            version = _version(wanted.name)
            if version != "missing" and wanted.specifier.contains(version.partition("+")[0], prereleases=True):
                continue
            asked = f"{wanted.name}{wanted.specifier}"
            what = f"{owner} requires {asked}, and {version if version != 'missing' else 'none'} is installed"
            remedy = f"pip install {shlex.quote(asked)}"
            yield Finding(topic="versions", text=what, level=Level.PROBLEM, remedy=remedy)


def _of_bytecode() -> Iterator[Finding]:
    missing = [name for name in COMPILED if not _is_compiled(name)]
    if not missing:
        yield Finding(topic="bytecode", text="libraries are compiled, so that imports are fast")
        return
    text = f"no bytecode for {', '.join(missing)}: imports take two to four times as long"
    site = sysconfig.get_path("purelib")
    remedy = f"{shlex.quote(sys.executable)} -m compileall -q -j 0 {shlex.quote(site)}"
    yield Finding(topic="bytecode", text=text, level=Level.NOTE, remedy=remedy)


def _is_compiled(name: str) -> bool:
    """Whether a package's `__init__.py` has bytecode, or it is not installed; nothing is imported."""
    top, *inner = name.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None or not spec.submodule_search_locations:
        return True
    source = Path(spec.submodule_search_locations[0], *inner, "__init__.py")
    return not source.exists() or Path(importlib.util.cache_from_source(str(source))).exists()


def machine_findings() -> list[Finding]:
    """The device that `auto` means, others, threads, and what other programs use of the CPUs."""
    return [*_of_devices(), _of_others()]


def _of_devices() -> Iterator[Finding]:
    try:
        import torch

        from cvexp import device
    except (ImportError, OSError) as error:  # OSError: a library of its that cannot be loaded
        text = f"torch cannot be imported: {str(error).splitlines()[0] if str(error) else error!r}"
        yield Finding(topic="device", text=text, level=Level.PROBLEM, remedy="pip install --force-reinstall torch")
        return
    chosen = device.choose()
    n_cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    more = f"; {n_cuda} CUDA devices" if n_cuda > 1 else ""
    yield Finding(topic="device", text=f"{chosen.torch}: {chosen.name}{more}")
    if torch.version.cuda is not None and not n_cuda and shutil.which("nvidia-smi"):
        text = f"this build of torch is for CUDA {torch.version.cuda}, and finds no GPU, though its driver is here"
        yield Finding(topic="device", text=text, level=Level.NOTE, remedy="nvidia-smi")
    usable = device.usable_cpus()
    text = f"{chosen.threads} for one operation, of {usable} usable CPU{'' if usable == 1 else 's'}"
    if chosen.threads < usable:
        text += "; fewer than there are: OMP_NUM_THREADS or torch's own count limits it"
    yield Finding(topic="threads", text=text, level=Level.NOTE if chosen.threads < usable else Level.OK)


def _of_others() -> Finding:
    """What other programs use of the CPUs, over a second."""
    start = read_machine_times()
    time.sleep(BUSY_SECONDS)
    occupancy = occupancy_since(start)
    state = read_machine_state()
    if occupancy is None:
        return Finding(topic="machine", text=f"whether others compute is not known here ({state})")
    text = f"{occupancy} ({state})"
    if occupancy.taken >= BUSY_CPUS:
        return Finding(topic="machine", text=f"{text}: times measured now mean little", level=Level.NOTE, remedy="top")
    return Finding(topic="machine", text=text)
