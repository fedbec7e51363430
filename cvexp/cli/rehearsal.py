"""What `cvexp train` does in place of a training: `--lr-find`, `--overfit-batch`, `--smoke`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cvexp.cli.output import present
from cvexp.config.rehearsal import Rehearsal
from cvexp.config.stored import typed_words
from cvexp.errors import GateError

if TYPE_CHECKING:
    from cvexp.config import RunConfig
    from cvexp.settings import StoreSettings


def rehearse(asked: Rehearsal, config: RunConfig, store: StoreSettings, *, data_dir: Path, as_json: bool) -> None:
    """Do what is asked, print what came out, and what to type next; leave with 4 where it did not go well."""
    if asked.lr_find:
        from cvexp.jobs.lr_find import run as find_rate
        from cvexp.report import lr_find

        found = find_rate(config, data_dir=data_dir)
        then = () if found.lr is None else (_train(replace(config, lr=found.lr), store),)
        present(found, lr_find, as_json=as_json, then=then)
        if found.lr is None:
            raise GateError(
                f"no rate is suggested: the loss did not fall in {len(found.rates)} steps",
                "try --optimizer adam; whether the model can learn at all: --overfit-batch",
            )
    elif asked.overfit_batch:
        from cvexp.jobs.overfit_batch import NEAR_ZERO
        from cvexp.jobs.overfit_batch import run as overfit
        from cvexp.report import overfit_batch

        tried = overfit(config, data_dir=data_dir)
        present(tried, overfit_batch, as_json=as_json, then=(_train(config, store),) if tried.reached else ())
        if not tried.reached:
            raise GateError(
                f"the loss of one batch is {tried.loss:.3f} after {tried.n_steps:,} steps, not {NEAR_ZERO:g} or less",
                "try another --lr (--lr-find suggests one) or --optimizer adam; else look at the model's forward",
            )
    else:
        from cvexp.jobs.smoke import run as try_all
        from cvexp.report import smoke
        from cvexp.report.train import TrainConsole

        with TrainConsole() as observer:
            done = try_all(config, data_dir=data_dir, observer=observer)
        present(done, smoke, as_json=as_json, then=(_train(config, store),))


def _train(config: RunConfig, store: StoreSettings) -> str:
    return store.command("train", *typed_words(config))
