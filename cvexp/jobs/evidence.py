"""What a comparison reads of its runs besides their last figures: per-image records, classes, epochs."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from cvexp.comparison.request import LAST, Request
from cvexp.errors import ConfigError, InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cvexp.comparison.request import Split
    from cvexp.image_records import ImageRecords
    from cvexp.runs import RunSummary
    from cvexp.tracking.store import Store

MAX_HISTORIES = 400
"""Runs whose epochs are read for `--at`."""


class StoredEvidence:
    """Reads from a store, and classes from datasets, which `data_dir` may hold; see comparison.evidence.Reader."""

    def __init__(self, store: Store, request: Request, data_dir: Path) -> None:
        self._store, self._request, self._data_dir = store, request, data_dir

    def records(self, run: RunSummary, split: Split) -> tuple[ImageRecords | None, str]:
        """The per-image records of a run, or None and why they cannot be read; empty where it has none."""
        if run.export:
            return None, ""
        from cvexp.tracking.predictions import stored_records

        return stored_records(self._store, run, split)

    def class_names(self, run: RunSummary) -> tuple[str, ...]:
        """The classes of the run's dataset in label order; none where it is not registered here."""
        from cvexp.data.named import class_names_of

        with contextlib.suppress(InputError):
            return class_names_of(run.params.get("dataset", ""), self._data_dir)
        return ()

    def at_epoch(self, runs: Sequence[RunSummary]) -> list[RunSummary]:
        """The runs with the figures of the epoch that was asked for.

        Raises:
            ConfigError: There are too many runs to read the history of each.
        """
        if self._request.at == LAST:
            return list(runs)
        if len(runs) > MAX_HISTORIES:
            raise ConfigError(
                f"--at {self._request.at} reads the history of every run shown, and there are {len(runs):,}",
                f"show at most {MAX_HISTORIES} with --last or --where",
            )
        from cvexp.tracking.histories import at_epoch

        return [at_epoch(self._store, run, self._request.epoch) for run in runs]
