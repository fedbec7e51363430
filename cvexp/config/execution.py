"""Where and how the steps are run; precision and compilation change figures by rounding, the others do not."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le, MinLen

from cvexp.config.option import Component, Option

StepName = Literal["auto", "eager", "captured", "cuda-graph"]

PrecisionName = Literal["fp32", "bf16", "fp16"]
LayoutName = Literal["auto", "always", "never"]

_DEVICE = "auto, cpu, cuda, cuda:N or mps."
_STEP = "How steps are run; auto takes the fastest that gives the same figures."
_PRECISION = "Of training steps; evaluation stays fp32."
_CHANNELS_LAST = "Keep channels last in memory; auto: for models with convolutions on a CPU."
_COMPILE = "Compile the model with torch.compile, which takes up to minutes and, on a CPU, a C++ compiler."
_THREADS = "CPU threads. Without it, 1 for small models and all cores for others."
_DEVICES = "Devices, a process each, that share every batch: GPUs, or with --device cpu shares of the cores."


@dataclass(frozen=True, kw_only=True)
class ExecutionConfig(Component):
    """The device or devices, the step backend and the threads."""

    PANEL = "Execution"

    device: Annotated[str, MinLen(1), Option(_DEVICE)] = "auto"
    precision: Annotated[PrecisionName, Option(_PRECISION)] = "fp32"
    channels_last: Annotated[LayoutName, Option(_CHANNELS_LAST, advanced=True)] = "auto"
    compile: Annotated[bool, Option(_COMPILE, advanced=True)] = False
    step: Annotated[StepName, Option(_STEP, advanced=True)] = "auto"
    threads: Annotated[int | None, Ge(1), Le(1024), Option(_THREADS, advanced=True)] = None
    devices: Annotated[int, Ge(1), Le(1024), Option(_DEVICES, advanced=True)] = 1

    def check(self) -> None:
        """Refuse to compile steps that a backend of their own runs, and what several devices do not support."""
        if self.compile and self.step not in ("auto", "eager"):
            self.refuse("compile", f"it cannot be combined with --step {self.step}")
        if self.devices > 1:
            self._check_devices()

    def _check_devices(self) -> None:
        if self.compile or self.step not in ("auto", "eager"):
            self.refuse("devices", "steps of several devices are eager: leave --compile and --step out")
        if ":" in self.device or self.device == "mps":
            self.refuse("devices", f"--device {self.device} is one device: leave it out, or give cuda or cpu")
