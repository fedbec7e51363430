"""Where and how the steps are run; none of it is meant to change a figure."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le, MinLen

from cvexp.config.option import Component, Option

StepName = Literal["auto", "eager", "captured", "cuda-graph"]

_DEVICE = "auto, cpu, cuda, cuda:N or mps; auto takes the fastest kind there is."
_STEP = "How steps are run; auto takes the fastest that gives the same figures."
_THREADS = "CPU threads. Without it, 1 for small models and all cores for others."


@dataclass(frozen=True, kw_only=True)
class ExecutionConfig(Component):
    """The device, the step backend and the threads."""

    PANEL = "Execution"

    device: Annotated[str, MinLen(1), Option(_DEVICE)] = "auto"
    step: Annotated[StepName, Option(_STEP, advanced=True)] = "auto"
    threads: Annotated[int | None, Ge(1), Le(1024), Option(_THREADS, advanced=True)] = None
