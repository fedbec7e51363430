"""Runs of one process that use the same dataset load it once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cvexp.config.data import DataConfig
from cvexp.config.option import settings_of

if TYPE_CHECKING:
    from pathlib import Path

    from cvexp.data.dataset import Dataset
    from cvexp.data.fitting import Interpolation


NOT_LOADED = {"augment", "sampler"}
"""Settings that change what is done with a dataset, and not the dataset."""


class LastDataset:
    """Loads the dataset of a configuration, or gives the one it loaded last, if that is the same; keeps no other."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self._kept: tuple[tuple[object, ...], Dataset] | None = None

    def __call__(self, config: DataConfig, *, interpolation: Interpolation = "bilinear") -> Dataset:
        """The dataset, split as `config` says; raises what `data.dataset.load_dataset` does."""
        from cvexp.data.dataset import load_dataset

        wanted = (interpolation, *(getattr(config, name) for name in settings_of(DataConfig) if name not in NOT_LOADED))
        if self._kept is None or self._kept[0] != wanted:
            self._kept = None  # before another one takes its memory
            self._kept = wanted, load_dataset(config, self.data_dir, interpolation=interpolation)
        return self._kept[1]
