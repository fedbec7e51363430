"""What it takes to train a run again, what differs here, and whether training again gives the same figures."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cvexp.config.model import names_code
from cvexp.config.stored import config_of, typed_words
from cvexp.data.named import is_here
from cvexp.errors import ConfigError, DeviceError, RunError
from cvexp.models.registry import find_entry
from cvexp.runs import versions_of
from cvexp.training.session import prepare
from cvexp.training.tags import known_tags

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cvexp.config import RunConfig
    from cvexp.events import Observer
    from cvexp.runs import RunSummary
    from cvexp.settings import StoreSettings
    from cvexp.tracking.patch import Changes
    from cvexp.tracking.store import Store
    from cvexp.training.repetition import Check
    from cvexp.training.session import Prepared

COMMIT, DIRTY = "mlflow.source.git.commit", "cvexp.git_dirty"
DATA = "data"
NONE = "none"
_OF_MACHINE = {"device": "cvexp.device_name", "threads": "cvexp.threads", "memory format": "cvexp.memory_format"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """Something that is not the same here: what it is, how the run recorded it, and how it is here, in words."""

    name: str
    recorded: str
    here: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Reproduction:
    """A run, what it takes to train it again, and what differs here.

    Attributes:
        command: What was typed; it may have trained other runs too.
        equivalent: The command that trains this run alone, with the settings in effect.
        dirty: Whether tracked files differed from the commit: `true`, `false`, `unknown`, or empty without a commit.
        changes: The uncommitted changes that were kept, if any.
        patch: Where their patch is: a path, or the name of the run's artifact; empty where there is none.
        versions: Of Python and of packages, by name.
        data: The recorded digest of the dataset.
        not_compared: What could not be compared, and why.
        check: What training it again gave; None where that was not asked for, or makes no sense on other data.
    """

    run: RunSummary
    config: RunConfig
    command: str
    equivalent: str
    commit: str
    dirty: str
    changes: Changes | None
    patch: str
    versions: Mapping[str, str]
    data: str
    differences: tuple[Difference, ...]
    not_compared: tuple[str, ...]
    note: str | None
    check: Check | None = None

    @property
    def other_data(self) -> bool:
        """Whether the dataset here is another one, so that no figure can agree."""
        return any(one.name == DATA for one in self.differences)


def run(
    selector: str,
    settings: StoreSettings,
    *,
    data_dir: Path,
    check: bool = False,
    device_name: str | None = None,
    trusted_factory: str | None = None,
    observer: Observer | None = None,
) -> Reproduction:
    """Say how a run was made and what differs here; with `check`, train it again and compare the figures.

    Nothing is stored: the second training has no run of its own. `device_name` trains it elsewhere than it asked for;
    `trusted_factory` is the `package.module:factory` of a model that is not in the registry, which is not built without
    it. `observer` is called with the events of the second training.

    Raises:
        InputError: There is no such run, or it cannot be trained here.
        TrainingError: The loss is not finite, or there is no memory left.
    """
    from cvexp.tracking.artifacts import located
    from cvexp.tracking.queries import find, foreign
    from cvexp.tracking.recovery import recover
    from cvexp.tracking.store import open_store

    recover(settings)
    store = open_store(settings, create=False)
    selection = find(store, selector)
    if "cvexp.version" not in selection.run.tags:
        raise foreign(selection.run)
    recorded = located(store, selection.run)
    config = _config(recorded, device_name)
    _check_trust(config, trusted_factory, check=check)
    changes, patch = _kept(store, recorded)
    prepared, not_compared = _prepared(recorded, config, data_dir, trusted_factory, check=check)
    tags = recorded.tags
    made = Reproduction(
        run=recorded,
        config=config,
        command=tags.get("cvexp.command", ""),
        equivalent=settings.command("train", *typed_words(config)),
        commit=tags.get(COMMIT, ""),
        dirty=tags.get(DIRTY, ""),
        changes=changes,
        patch=patch,
        versions={"cvexp": tags["cvexp.version"], "python": tags.get("cvexp.python", ""), **versions_of(tags)},
        data=_data_digest(recorded),
        differences=(*_code_differences(recorded, changes), *_other_differences(recorded, prepared)),
        not_compared=not_compared,
        note=selection.note,
    )
    if not check or prepared is None or made.other_data:
        return made
    from cvexp.training.repetition import repeated

    return replace(made, check=repeated(store, recorded, prepared, exact=not made.differences, observer=observer))


def _config(run: RunSummary, device_name: str | None) -> RunConfig:
    try:
        config = config_of(run.asked)
    except ConfigError as error:
        raise RunError(f"the settings of run {run.name} cannot be used here: {error.what}", *error.hints) from error
    return config if device_name is None else replace(config, device=device_name)


def _check_trust(config: RunConfig, trusted_factory: str | None, *, check: bool) -> None:
    if trusted_factory is not None and trusted_factory != config.model:
        raise ConfigError(f"the run trained {config.model}, not {trusted_factory}", "leave --model out")
    if check and names_code(config.model) and trusted_factory is None:
        what = f"the run's model is code of its own: {config.model}"
        raise ConfigError(what, f"if you trust it, name it: --model {config.model}")


def _data_digest(run: RunSummary) -> str:
    return run.test_set.partition(",")[0]


def _kept(store: Store, run: RunSummary) -> tuple[Changes | None, str]:
    """The uncommitted changes that the run kept, if any, and where their patch is."""
    from cvexp.tracking.artifacts import artifact_folder, local_path
    from cvexp.tracking.patch import FOLDER, PATCH, read_changes

    with tempfile.TemporaryDirectory(prefix="cvexp-") as scratch:
        try:
            folder = artifact_folder(store, run, FOLDER, Path(scratch))
        except RunError:  # there were none, or an earlier version trained it
            return None, ""
        changes = read_changes(folder)
    if not changes.patch:
        return changes, ""
    return changes, str(folder / PATCH) if local_path(run.artifacts_uri) is not None else f"{FOLDER}/{PATCH}"


def _prepared(
    run: RunSummary, config: RunConfig, data_dir: Path, trusted_factory: str | None, *, check: bool
) -> tuple[Prepared | None, tuple[str, ...]]:
    """The run's training before its first step, and what is not compared where it cannot be prepared.

    Only `check` downloads data, and takes the run's number of threads where the machine's own would be another.
    """
    if names_code(config.model) and trusted_factory is None:
        return None, (f"device, threads and data: the model is code of its own; to build it: --model {config.model}",)
    find_entry(config.model, allow_path=True)
    if not check and not is_here(config.dataset, data_dir):
        return None, (f"device, threads and data: {config.dataset} is not on this machine",)
    try:
        prepared = prepare(config, data_dir)
    except DeviceError as error:
        if check:
            raise DeviceError(error.what, "to train it elsewhere: --device auto") from error
        return None, (f"device, threads and data: {error.what}",)
    threads = run.tags.get("cvexp.threads", "")
    if check and threads.isascii() and threads.isdigit() and threads != str(prepared.layout.threads):
        prepared = prepare(replace(config, threads=int(threads)), data_dir, dataset=prepared.dataset)
    return prepared, ()


def _code_differences(run: RunSummary, kept: Changes | None) -> Iterator[Difference]:
    """The commit, and every file that is not as it was, as far as the run and git tell."""
    from cvexp.tracking.context import context_tags
    from cvexp.tracking.patch import Changes, changed_files, changes_here

    commit, dirty = run.tags.get(COMMIT, ""), run.tags.get(DIRTY, "")
    here = context_tags([])
    if commit != here.get(COMMIT, ""):
        yield Difference(name="commit", recorded=commit or NONE, here=here.get(COMMIT, NONE))
    if kept is None and dirty not in ("", "false"):
        states = {"true": "some, which were not kept", "unknown": "unknown"}
        yield Difference(
            name="uncommitted changes",
            recorded=states.get(dirty, "unknown"),
            here={"true": "some", "false": NONE}.get(here.get(DIRTY, ""), "unknown"),
        )
        return
    now = changes_here()
    if not commit or now is None:
        return
    before = kept or Changes(commit=commit)
    for path in changed_files(before, now):
        yield Difference(name=f"file {path}", recorded=_state(before, path), here=_state(now, path))


def _state(changes: Changes, path: str) -> str:
    digest = changes.files.get(path)
    if digest is None:
        return "changed" if path in changes.left_out else f"as in {changes.commit[:8]}"
    return f"sha256 {digest[:12]}" if digest else "deleted"


def _other_differences(run: RunSummary, prepared: Prepared | None) -> Iterator[Difference]:
    """Versions, and with a prepared training the data, the device and how it runs there."""
    from cvexp.tracking.context import context_tags

    here = context_tags([]) if prepared is None else known_tags(prepared, [])
    names = {"cvexp": "cvexp.version", "python": "cvexp.python"}
    if prepared is not None:
        digest = _data_digest(run)
        if digest != prepared.dataset.digest:
            yield Difference(name=DATA, recorded=digest, here=prepared.dataset.digest)
        names |= _OF_MACHINE
        runner = run.tags.get("cvexp.step_runner", "").partition(" ")[0]
        if runner != prepared.steps.runner.name:
            yield Difference(name="step runner", recorded=runner or NONE, here=prepared.steps.runner.name)
    then, now = versions_of(run.tags), versions_of(here)
    pairs = {name: (run.tags.get(key, ""), here.get(key, "")) for name, key in names.items()}
    pairs |= {name: (then.get(name, ""), now.get(name, "")) for name in sorted({*then, *now})}
    for name, (recorded, found) in pairs.items():
        if recorded != found:
            yield Difference(name=name, recorded=recorded or NONE, here=found or NONE)
