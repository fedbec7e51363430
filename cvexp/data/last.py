"""Runs of one process that use the same dataset load it once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cvexp.data.registry import find_spec

if TYPE_CHECKING:
    from pathlib import Path

    from cvexp.config.data import DataConfig
    from cvexp.data.dataset import Dataset


class LastDataset:
    """Loads the dataset of a configuration, or gives the one it loaded last, if that is the same; keeps no other."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self._kept: tuple[tuple[object, ...], Dataset] | None = None

    def __call__(self, config: DataConfig) -> Dataset:
        """The dataset, split as `config` says; raises what `data.dataset.load` does."""
        from cvexp.data.dataset import load

        wanted = (config.dataset, config.val_split, config.split_seed, config.limit)
        if self._kept is None or self._kept[0] != wanted:
            self._kept = None  # before another one takes its memory
            split: dict[str, Any] = {"split_seed": config.split_seed, "limit": config.limit}
            self._kept = wanted, load(find_spec(config.dataset), self.data_dir, val_split=config.val_split, **split)
        return self._kept[1]
