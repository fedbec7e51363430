"""Continue on this machine, in a new run, a training that another machine began: from a checkpoint that both reach."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cvexp.errors import CvexpError, RunError
from cvexp.jobs.resume import check_unfinished, resumed_config
from cvexp.runs import CONTINUES, ID_DIGITS
from cvexp.training.loop import Training
from cvexp.training.outputs import outputs_of
from cvexp.training.request import write_request
from cvexp.training.session import prepare_resumed
from cvexp.training.shared import check_shared, shared_folder
from cvexp.training.tags import known_tags
from cvexp.training.together import together

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from cvexp.config.checkpoint import CheckpointPolicy
    from cvexp.data.dataset import Dataset
    from cvexp.events import Observer
    from cvexp.results import TrainResult
    from cvexp.runs import RunSummary
    from cvexp.settings import StoreSettings
    from cvexp.training.features import LastFeatures
    from cvexp.training.outputs import Outputs
    from cvexp.training.shared import Shared
    from cvexp.training.signals import StopSignals


def run(
    begun: RunSummary,
    settings: StoreSettings,
    *,
    data_dir: Path,
    model: str | None,
    changed: Mapping[str, Any],
    dataset: Dataset | None,
    features: LastFeatures | None,
    seeds: Sequence[int],
    policy: CheckpointPolicy,
    command: Sequence[str] | None,
    started: float,
    observer: Observer | None,
    outputs: Outputs | None,
    tags: Mapping[str, str] | None,
    end_tags: Callable[[], Mapping[str, str]],
    signals: StopSignals,
) -> TrainResult:
    """Train `begun`, which has no folder here, to its end in a run of its own, with the bits of an uninterrupted one.

    The new run records the epochs before the checkpoint too, and the tag CONTINUES. The arguments, and what is raised,
    are as for jobs.resume; `changed` are settings that differ from the run's where they are not None.
    """
    from cvexp.tracking.outbox import open_run

    found = _shared_checkpoint(begun, settings, policy)
    check_shared(policy)
    checkpoint, request = found.checkpoint, found.request
    again = settings.command("train", request.config.model, "--resume", begun.run_id[:ID_DIGITS])
    config = resumed_config(request.config, model=model, changed=changed, again=again)
    if begun.status == "FINISHED":
        check_unfinished(begun.name, config, checkpoint.history)
    outputs = outputs or outputs_of(begun.tags)
    outputs.check(config)
    at_first = replace(config, threads=request.threads)
    with together(at_first, evaluation_threads=request.evaluation_threads, resumed=True) as ranks:
        prepared = prepare_resumed(
            request,
            config,
            data_dir,
            checkpoint=checkpoint,
            name=begun.name,
            dataset=dataset,
            features=features,
            ranks=ranks,
        )
        asked = replace(request, config=config, seeds=tuple(seeds))
        _close_taken_over(begun, settings)
        opening = open_run(
            settings,
            model=config.model.rpartition(":")[2],
            name=None,
            tags=known_tags(prepared, command, seeds=seeds)
            | outputs.tags()
            | {CONTINUES: begun.run_id}
            | dict(tags or {}),
            prepare_folder=lambda folder: write_request(folder, asked),
            should_stop=signals.should_stop,
            keep=policy.keep is not None,
            linger=outputs.linger,
        )
        result = Training(
            prepared=prepared,
            opening=opening,
            settings=settings,
            policy=policy,
            signals=signals,
            observer=observer,
            started=started,
            resumed=checkpoint,
            outputs=outputs,
            end_tags=end_tags,
        ).run()
    if policy.keep is None:  # nobody may continue that run again
        found.folder.remove(found.run)
    return result


def is_continuable(run_id: str, settings: StoreSettings, policy: CheckpointPolicy) -> bool:
    """Whether a run left no folder here, and a shared checkpoint that no other run goes on from."""
    from cvexp.jobs.source import find_run
    from cvexp.tracking.local import folder_of

    try:
        if shared_folder(policy) is None or folder_of(settings, run_id) is not None:
            return False
        begun, settings = find_run(run_id, settings)
        return begun.status != "FINISHED" and _shared_checkpoint(begun, settings, policy) is not None
    except CvexpError:
        return False


def _shared_checkpoint(begun: RunSummary, settings: StoreSettings, policy: CheckpointPolicy) -> Shared:
    """The run's newest checkpoint, once it is sure that no process trains the run, or has gone on with it.

    The store's word counts: a run of another machine that it calls RUNNING is alive, unless the policy takes it over.

    Raises:
        RunError: There is none, or the run goes on elsewhere.
        WeightsError: Every one is damaged.
    """
    from cvexp.tracking.mlflow_sink import LOCAL_ID

    folder = shared_folder(policy)
    if folder is None:
        raise _nothing(begun, settings, "with --checkpoints from its start, others can continue it")
    if begun.status == "RUNNING" and not policy.take_over:
        raise _alive(begun, settings)
    _check_not_continued(begun, settings)
    found = folder.newest(begun.tags.get(LOCAL_ID, ""))
    if found is None:
        raise _nothing(begun, settings, f"and {folder.url} has no checkpoint of it")
    return found


def _nothing(begun: RunSummary, settings: StoreSettings, more: str) -> RunError:
    if begun.status == "FINISHED":
        return RunError(
            f"run {begun.name} has finished, and its checkpoints are gone",
            "train with --keep 1 to be able to train on later",
        )
    return RunError(
        f"run {begun.name} left nothing to resume from in {settings.state_dir.absolute()}",
        f"runs are resumed on the machine and in the folder where they began; {more}",
    )


def _alive(begun: RunSummary, settings: StoreSettings) -> RunError:
    from cvexp.tracking.liveness import HOST

    again = settings.command("train", "--resume", begun.run_id[:ID_DIGITS], "--take-over")
    return RunError(
        f"run {begun.name} may still be training on {begun.tags.get(HOST, 'another machine')}: it is RUNNING",
        "wait for its end, or stop it there",
        f"if that machine is gone for good: {again}",
    )


def _check_not_continued(begun: RunSummary, settings: StoreSettings) -> None:
    """Refuse a run that another one continues now, or has continued to its end."""
    from cvexp.tracking.queries import search
    from cvexp.tracking.store import open_store

    where = f"tags.`{CONTINUES}` = '{begun.run_id}'"
    for other in search(open_store(settings, create=False), where=where, everywhere=True):
        if other.status in ("RUNNING", "FINISHED"):
            raise RunError(
                f"run {begun.name} is continued by run {other.name} ({other.run_id[:ID_DIGITS]}), which is "
                f"{other.status}",
                f"see it: {settings.command('compare')}",
            )


def _close_taken_over(begun: RunSummary, settings: StoreSettings) -> None:
    """Have the store call the run KILLED; raises StoreError where that fails."""
    from cvexp.tracking.recovery import close_run

    if begun.status == "RUNNING":
        close_run(settings, begun.run_id, reason="its machine is gone, and another one continues it")
