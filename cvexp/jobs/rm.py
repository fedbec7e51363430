"""Remove runs, protect them, or take them out of the trash: what would be done is planned first, then done."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cvexp.errors import ConfigError, RunError
from cvexp.runs import ID_DIGITS
from cvexp.text import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cvexp.runs import RunSummary
    from cvexp.settings import StoreSettings
    from cvexp.tracking.removal import Stored
    from cvexp.tracking.store import Store

PARENT = "mlflow.parentRunId"


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """Which runs, and what becomes of them.

    Attributes:
        selectors: Runs by id, name or selector.
        where: Or those of the experiment that MLflow's filter selects.
        group: Whether the other seeds of a named run's recipe, and the runs below it, go too.
        purge: Whether they go for good, those that are in the trash too.
    """

    selectors: tuple[str, ...] = ()
    where: str | None = None
    group: bool = False
    purge: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Removal:
    """What is to be removed, or was.

    Attributes:
        runs: These go.
        kept: These do not, for the reason that each has.
        purge: Whether they go for good.
        done: Whether they are gone.
    """

    runs: tuple[Stored, ...]
    kept: tuple[Stored, ...]
    purge: bool
    done: bool = False

    @property
    def n_bytes(self) -> int | None:
        """What the runs take; None where that is not known."""
        sizes = [one.n_bytes for one in self.runs]
        return None if None in sizes else sum(size or 0 for size in sizes)


def plan(wanted: Wanted, settings: StoreSettings) -> tuple[Store, Removal]:
    """What would be removed; nothing is yet, but runs of dead processes are closed and their records delivered.

    Raises:
        InputError: A run does not exist, or is named and must not be removed; or the store cannot do it.
    """
    from cvexp.tracking.recovery import recover
    from cvexp.tracking.removal import check_purge, stored
    from cvexp.tracking.store import open_store

    _check(wanted)
    recover(settings)
    store = open_store(settings, create=False)
    if wanted.purge:
        check_purge(store)
    named, also = _chosen(store, wanted)
    found = stored(store, [*named, *also])
    refused = [one for one in found if one.refusal]
    ids = {run.run_id for run, _ in named}
    for one in refused:
        if one.run.run_id in ids and not wanted.where:
            name = one.run.name or one.run.run_id
            raise RunError(f"run {name} is not removed: {one.refusal}", "nothing was removed")
    going = tuple(one for one in found if not one.refusal and (wanted.purge or not one.in_trash))
    return store, Removal(runs=going, kept=tuple(refused), purge=wanted.purge)


def _check(wanted: Wanted) -> None:
    if wanted.selectors and wanted.where is not None:
        raise ConfigError("runs are named and filtered at once", "either name runs, or use --where")
    if not wanted.selectors and not wanted.where:
        raise ConfigError("no run is named", "name runs, or choose them: --where 'params.model = \"tinyvgg\"'")
    if wanted.where and wanted.group:
        raise ConfigError("--group goes with runs that are named, not with --where", "leave one of them out")
    moving = [one for one in wanted.selectors if one.startswith("@")]
    if wanted.purge and moving:
        raise ConfigError(
            f"{shown(moving[0])} means another run once this one is gone, and --purge may have to be typed again",
            f"name the run by its id or name; see: cvexp rm {moving[0]}",
        )


def _chosen(store: Store, wanted: Wanted) -> tuple[list[tuple[RunSummary, bool]], list[tuple[RunSummary, bool]]]:
    """The runs that are named or filtered, and those of their groups, each with whether it is in the trash."""
    from cvexp.tracking.queries import search
    from cvexp.tracking.trash import trashed

    if wanted.where:
        found = [(run, False) for run in search(store, where=wanted.where)]
        return [*found, *((run, True) for run in trashed(store, where=wanted.where) if wanted.purge)], []
    named = {run.run_id: (run, deleted) for run, deleted in (_named(store, one) for one in wanted.selectors)}
    also: dict[str, tuple[RunSummary, bool]] = {}
    for run, _ in list(named.values()) if wanted.group else ():
        also |= {one.run_id: (one, deleted) for one, deleted in _group_of(store, run, in_trash=wanted.purge)}
    return list(named.values()), [one for run_id, one in also.items() if run_id not in named]


def _named(store: Store, selector: str) -> tuple[RunSummary, bool]:
    from cvexp.tracking.queries import find
    from cvexp.tracking.trash import find_trashed

    try:
        return find(store, selector).run, False
    except RunError:
        if (run := find_trashed(store, selector)) is not None:
            return run, True
        _refuse_undelivered(store.settings, selector)
        raise


def _refuse_undelivered(settings: StoreSettings, selector: str) -> None:
    """Raise RunError where only a journal here knows the run."""
    from cvexp.tracking.local import local_runs

    for run in local_runs(settings, only_unknown=True):
        if selector == run.name or run.run_id.startswith(selector):
            discard = settings.command("sync", "--discard", run.run_id[:ID_DIGITS])
            raise RunError(f"run {run.name} still waits to be delivered, and is only here", f"give it up: {discard}")


def _group_of(store: Store, run: RunSummary, *, in_trash: bool) -> list[tuple[RunSummary, bool]]:
    """The finished repeats of a run with other seeds, and the runs that name it as their parent."""
    from cvexp.jobs.recipe_seeds import repeats_of
    from cvexp.tracking.queries import search
    from cvexp.tracking.trash import trashed

    own = replace(store, experiment_id=run.experiment_id)
    below = f"tags.`{PARENT}` = '{run.run_id}'"
    found = [(one, False) for one in [*repeats_of(store, run), *search(own, where=below)]]
    if in_trash:
        same = [one for one in trashed(own) if run.recipe and one.recipe == run.recipe and one.test_set == run.test_set]
        found += [(one, True) for one in [*same, *trashed(own, where=below)]]
    return found


def carry_out(store: Store, removal: Removal, *, removed: Callable[[Stored], None] = lambda _: None) -> Removal:
    """Remove what was planned, run by run; `removed` is called with each that is gone.

    Raises:
        InputError: One cannot be removed; those before it are gone, and the same again goes on.
    """
    from cvexp.tracking.removal import purger, put_in_trash

    remove = purger(store) if removal.purge else put_in_trash
    for one in removal.runs:
        remove(store, one)
        removed(one)
    return replace(removal, done=True)


def restore(selectors: Sequence[str], settings: StoreSettings) -> list[RunSummary]:
    """Take runs out of the trash, each named by its id, the beginning of it, or its name; all of them or none.

    Raises:
        InputError: One is not there.
    """
    from cvexp.tracking import trash
    from cvexp.tracking.store import open_store

    store = open_store(settings, create=False)
    found = []
    for selector in selectors:
        run = trash.find_trashed(store, selector)
        if run is None:
            raise RunError(f"no run in the trash is {shown(selector)}", _in_trash(store))
        found.append(run)
    for run in found:
        trash.restore(store, run)
    return found


def _in_trash(store: Store) -> str:
    from cvexp.tracking.trash import trashed

    runs = trashed(store, everywhere=True)
    listed = ", ".join(f"{run.run_id[:ID_DIGITS]} ({run.name})" for run in runs[:5])
    return f"there are: {listed}" if runs else "the trash is empty"


def protect(selectors: Sequence[str], settings: StoreSettings, *, on: bool) -> list[RunSummary]:
    """Protect runs from being removed, or no longer; all of them or none.

    Raises:
        InputError: One does not exist, or the store cannot be written.
    """
    from cvexp.tracking.queries import find
    from cvexp.tracking.removal import set_protection
    from cvexp.tracking.store import open_store

    if not selectors:
        raise ConfigError("no run is named", "for example: cvexp rm --protect @best")
    store = open_store(settings, create=False)
    runs = [find(store, selector).run for selector in selectors]
    for run in runs:
        set_protection(store, run, protect=on)
    return runs
