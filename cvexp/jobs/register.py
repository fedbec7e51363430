"""Register a run's logged model as a version of a named model, with its proof, and move an alias to it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from cvexp.errors import ConfigError, InputError, RunError, nearest
from cvexp.jobs.recipe_seeds import over_seeds, repeats_of
from cvexp.jobs.register_onnx import ONNX, log_onnx
from cvexp.jobs.source import selected
from cvexp.jobs.version_tags import version_tags
from cvexp.runs import EXPORT_SUFFIXES, ID_DIGITS
from cvexp.settings import data_dir as default_data_dir
from cvexp.stats.verdicts import MARGIN
from cvexp.text import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from cvexp.comparison.evidence import Reader
    from cvexp.comparison.promotion import Promotion
    from cvexp.runs import RunSummary
    from cvexp.settings import StoreSettings
    from cvexp.tracking.registration import LoggedModel
    from cvexp.tracking.registry import ModelVersion
    from cvexp.tracking.store import Store

LOGGED, FORMATS = "logged", ("logged", ONNX)
"""What may be registered of a run: the model that it logged, or its network as an ONNX file."""


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
    """

    run_id: str
    run_name: str
    name: str
    version: int
    uri: str
    is_new: bool
    tags: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
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
    by: str = "accuracy",
    format_name: str = LOGGED,
    data_dir: Path | None = None,
    trusted_factory: str | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> RegisterResult:
    """Register the run as a version of the model `name`, and let `alias` mean it.

    The same run with the same weights is registered once in a format. With `if_better` the alias moves only where
    `comparison.promotion` says so, or where it means nothing yet; the version is registered in any case.

    Args:
        selector: A run.
        settings: Where it is.
        name: Of the registered model.
        alias: To move.
        if_better: See above.
        margin: A difference of accuracy that counts as none, in [0, 1].
        by: Which accuracy, a name of `comparison.request.QUALITIES`.
        format_name: One of `FORMATS`; `onnx` exports the run first, unless that was registered before.
        data_dir: Where datasets are looked for first; by default as `settings.data_dir` says.
        trusted_factory: As for `load_trained`.
        say: Called with a line about what begins.

    Raises:
        InputError: The run, a name or the store cannot be used.
        GateError: The exported file does not give what the run gives.
    """
    from cvexp.comparison.promotion import judge_promotion
    from cvexp.tracking.registration import check_alias, check_name
    from cvexp.tracking.registry import holder

    check_name(name)
    if format_name not in FORMATS:
        raise ConfigError(f"unknown format: {shown(format_name)}", nearest(format_name, FORMATS))
    if alias is not None:
        check_alias(alias)
    elif if_better:
        raise ConfigError("--if-better moves an alias, and none is named", "for example: --alias champion --if-better")
    if by != "accuracy" and not if_better:
        raise ConfigError(f"--by {by} says what is better, and --if-better is not given", "add --if-better")
    store, found, note = _finished(selector, settings)
    folder = data_dir or default_data_dir()
    reader = _reader(store, folder)

    def exported() -> LoggedModel:
        return log_onnx(store, found, settings, data_dir=folder, trusted_factory=trusted_factory, say=say)

    present = None if alias is None else holder(store, name, alias)
    version, is_new = _registered(store, found, name, format_name, export=exported, reader=reader)
    settled = None
    if alias is not None:
        judge = partial(judge_promotion, reader=reader, margin=margin, by=by) if if_better else None
        settled = _settle(store, found, version, alias, present, judge=judge)
    return RegisterResult(
        run_id=found.run_id,
        run_name=found.name,
        name=name,
        version=version.version,
        uri=version.uri,
        is_new=is_new,
        tags=version.tags,
        source=version.source,
        alias=settled,
        note=note,
    )


def _registered(
    store: Store, run: RunSummary, name: str, format_name: str, *, export: Callable[[], LoggedModel], reader: Reader
) -> tuple[ModelVersion, bool]:
    """The version that is this run in a format, and whether it was made now, with its proof."""
    from cvexp.tracking.predictions import stored_records
    from cvexp.tracking.queries import find
    from cvexp.tracking.registration import add_version, logged_model, registered_before
    from cvexp.tracking.registry import FORMAT, WEIGHTS

    tags = {WEIGHTS: run.tags.get(WEIGHTS, ""), FORMAT: format_name}
    if not tags[WEIGHTS]:
        raise RunError(f"run {run.name} has no digest of its weights", "train it again, and register that run")
    if (known := registered_before(store, run, name, tags)) is not None:
        return known, False
    if format_name == ONNX:
        model = export()
        run = find(store, run.run_id).run  # with the figures of the export
    else:
        model = logged_model(store, run)
    records, _ = stored_records(store, run, "test")
    n_classes = len(reader.class_names(run)) or None
    seeds = over_seeds(repeats_of(store, run), n_classes=n_classes)
    return add_version(store, run, name, model=model, tags=version_tags(run, records=records, seeds=seeds) | tags)


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


def _reader(store: Store, data_dir: Path) -> Reader:
    from cvexp.comparison.request import Request
    from cvexp.jobs.evidence import StoredEvidence

    return StoredEvidence(store, Request(), data_dir)


def _settle(
    store: Store,
    run: RunSummary,
    version: ModelVersion,
    alias: str,
    present: ModelVersion | None,
    *,
    judge: Callable[..., Promotion] | None,
) -> Alias:
    """Move the alias, unless its present version is to stay because `judge` says so of it and the run."""
    from cvexp.tracking.registration import move_alias

    previous = None if present is None else present.version
    if previous == version.version:
        return Alias(name=alias, previous=previous, moved=True)
    promotion, trouble = None, ""
    if judge is not None and present is not None:
        promotion, trouble = _promotion(store, run, present, judge)
        if promotion is None or not promotion.moves:
            return Alias(name=alias, previous=previous, moved=False, promotion=promotion, trouble=trouble)
    move_alias(store, version, alias)
    return Alias(name=alias, previous=previous, moved=True, promotion=promotion)


def _promotion(
    store: Store, run: RunSummary, present: ModelVersion, judge: Callable[..., Promotion]
) -> tuple[Promotion | None, str]:
    """What is found out about a run and the present version; None and why, where the latter cannot be compared."""
    from cvexp.tracking.queries import find

    try:
        other = find(store, present.uri).run
    except InputError as error:
        return None, error.what
    if other.run_id == run.run_id:
        return None, f"{present.uri} is the same run"
    repeats = [*repeats_of(store, run), *repeats_of(store, other)]
    return judge(run, other, repeats), ""
