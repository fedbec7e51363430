"""What training tells whoever watches it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from cvexp.config import RunConfig
    from cvexp.engine.fit import Progress
    from cvexp.results import EpochMetrics


@dataclass(frozen=True, kw_only=True, slots=True)
class Opening:
    """What is known when the first step is about to run."""

    run_id: str
    run_name: str
    config: RunConfig
    device: str
    device_name: str
    threads: int
    step_runner: str
    dataset_place: str
    n_train: int
    n_val: int
    n_test: int
    n_parameters: int
    resumed_at: Progress | None = None
    store_answers: bool = True


class TrainObserver(Protocol):
    """Told how training goes, while it goes."""

    def opened(self, opening: Opening) -> None:
        """The run is open and the first step comes next."""

    def progressed(self, progress: Progress) -> None:
        """Some steps are done; told at most twice a second."""

    def finished_epoch(self, metrics: EpochMetrics) -> None:
        """An epoch is done and logged."""


class Silent:
    """An observer that says nothing."""

    def opened(self, opening: Opening) -> None:
        """Say nothing."""

    def progressed(self, progress: Progress) -> None:
        """Say nothing."""

    def finished_epoch(self, metrics: EpochMetrics) -> None:
        """Say nothing."""
