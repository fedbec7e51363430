"""Register a run's logged model as a version of a named model, with its proof, and move an alias to it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from cvexp.errors import ConfigError, InputError, RunError
from cvexp.jobs.source import selected
from cvexp.jobs.version_tags import repeats_of, version_tags
from cvexp.runs import EXPORT_SUFFIXES, ID_DIGITS
from cvexp.stats.verdicts import MARGIN
from cvexp.text import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cvexp.comparison.evidence import Reader
    from cvexp.comparison.promotion import Promotion
    from cvexp.runs import RunSummary
    from cvexp.settings import StoreSettings
    from cvexp.tracking.registry import ModelVersion
    from cvexp.tracking.store import Store

TORCH = "torch"


@dataclass(frozen=True, kw_only=True, slots=True)
class Alias:
    """An alias that was asked for.

    Attributes:
        name: Such as `champion`.
        previous: The version that it meant before, if any.
        moved: Whether it means the registered version now, since this call or before.
        promotion: What was found out about the two versions, where it moves only if the new one is better.
        trouble: Why they could not be compared.
    """

    name: str
    previous: int | None
    moved: bool
    promotion: Promotion | None = None
    trouble: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class RegisterResult:
    """A registered version.

    Attributes:
        uri: What to type for it.
        is_new: Whether it was made now; otherwise the run was registered with these weights before.
        tags: Its proof.
        source: Where MLflow finds its files.
        n_images: Test images behind the interval of its accuracy; None where the run has no per-image records.
    """

    run_id: str
    run_name: str
    name: str
    version: int
    uri: str
    is_new: bool
    tags: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
    n_images: int | None = None
    alias: Alias | None = None
    note: str | None = None


def run(
    selector: str,
    settings: StoreSettings,
    *,
    name: str,
    alias: str | None = None,
    if_better: bool = False,
    margin: float = MARGIN,
) -> RegisterResult:
    """Register the run as a version of the model `name`, and let `alias` mean it.

    The same run with the same weights is registered once. With `if_better` the alias moves only where
    `comparison.promotion` says so, or where it means nothing yet; the version is registered in any case.

    Raises:
        InputError: The run, a name or the store cannot be used.
    """
    from cvexp.tracking.predictions import stored_records
    from cvexp.tracking.registration import add_version, check_alias, check_name, logged_model
    from cvexp.tracking.registry import FORMAT, WEIGHTS, holder

    check_name(name)
    if alias is not None:
        check_alias(alias)
    elif if_better:
        raise ConfigError("--if-better moves an alias, and none is named", "for example: --alias champion --if-better")
    store, found, note = _finished(selector, settings)
    weights = found.tags.get(WEIGHTS, "")
    if not weights:
        raise RunError(f"run {found.name} has no digest of its weights", "train it again, and register that run")
    model = logged_model(store, found)
    reader, repeats = _reader(store, margin), repeats_of(store, found)
    records, _ = stored_records(store, found, "test")
    proof = version_tags(found, records=records, repeats=repeats, n_classes=len(reader.class_names(found)) or None)
    present = None if alias is None else holder(store, name, alias)
    tags = proof | {WEIGHTS: weights, FORMAT: TORCH}
    version, is_new = add_version(store, found, name, model=model, tags=tags)
    return RegisterResult(
        run_id=found.run_id,
        run_name=found.name,
        name=name,
        version=version.version,
        uri=version.uri,
        is_new=is_new,
        tags=version.tags,
        source=version.source,
        n_images=None if records is None else len(records.labels),
        alias=None
        if alias is None
        else _settle(store, found, version, alias, present, if_better=if_better, margin=margin),
        note=note,
    )


def _finished(selector: str, settings: StoreSettings) -> tuple[Store, RunSummary, str | None]:
    """The finished run that a selector means, in its own experiment of the store, and what to know about the choice."""
    from cvexp.tracking.queries import foreign
    from cvexp.tracking.recovery import recover

    if selector.endswith(tuple(EXPORT_SUFFIXES.values())) and "@" not in selector:
        raise RunError(f"{shown(selector)} is a file, and a run is registered", "name the run it was exported from")
    recover(settings)
    store, selection = selected(selector, settings)
    run = selection.run
    if "cvexp.version" not in run.tags:
        raise foreign(run)
    if store is None or not run.experiment_id:
        raise RunError(f"run {run.name} still waits to be delivered", f"deliver it: {settings.command('sync')}")
    if run.status != "FINISHED":
        resume = settings.command("train", "--resume", run.run_id[:ID_DIGITS])
        raise RunError(f"run {run.name} has not finished (status {run.status})", f"go on with it: {resume}")
    return replace(store, experiment_id=run.experiment_id), run, selection.note


def _reader(store: Store, margin: float) -> Reader:
    from cvexp.comparison.request import Request
    from cvexp.jobs.evidence import StoredEvidence

    return StoredEvidence(store, Request(margin=margin))


def _settle(
    store: Store,
    run: RunSummary,
    version: ModelVersion,
    alias: str,
    present: ModelVersion | None,
    *,
    if_better: bool,
    margin: float,
) -> Alias:
    """Move the alias, unless its present version is to stay."""
    from cvexp.tracking.registration import move_alias

    previous = None if present is None else present.version
    if previous == version.version:
        return Alias(name=alias, previous=previous, moved=True)
    promotion, trouble = None, ""
    if if_better and present is not None:
        promotion, trouble = _promotion(store, run, present, margin)
        if promotion is None or not promotion.moves:
            return Alias(name=alias, previous=previous, moved=False, promotion=promotion, trouble=trouble)
    move_alias(store, version, alias)
    return Alias(name=alias, previous=previous, moved=True, promotion=promotion)


def _promotion(store: Store, run: RunSummary, present: ModelVersion, margin: float) -> tuple[Promotion | None, str]:
    """What is found out about a run and the present version; None and why, where the latter cannot be compared."""
    from cvexp.comparison.promotion import judge_promotion
    from cvexp.tracking.queries import find

    try:
        other = find(store, present.uri).run
    except InputError as error:
        return None, error.what
    if other.run_id == run.run_id:
        return None, f"{present.uri} is the same run"
    repeats = [*repeats_of(store, run), *repeats_of(store, other)]
    return judge_promotion(run, other, repeats, _reader(store, margin), margin=margin), ""
