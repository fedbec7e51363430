"""What happens in a run, as typed events: `Recorded` ones are stored, `Observed` ones are for a training's observer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from cvexp.config import RunConfig
    from cvexp.results import EpochMetrics

SCHEMA_VERSION = 1
"""Of the recorded events, as a journal's first one says; where it does not, the version is 1."""


class Recorded:
    """An event that is stored; `kind` names it in the journal."""

    kind: ClassVar[str]

    def __init_subclass__(cls, *, kind: str) -> None:
        cls.kind = kind


@dataclass(frozen=True, kw_only=True)
class RunStarted(Recorded, kind="run"):
    """A run begins, in a store (see tracking.local) and an MLflow experiment; early journals name neither.

    `local_id`, 32 hexadecimal digits, identifies it if its creation is repeated. Without a name it gets the model's.
    """

    model: str
    name: str | None = None
    tags: dict[str, str]
    local_id: str
    store: str = ""
    experiment: str = ""
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True)
class RunNamed(Recorded, kind="name"):
    """A run that the store does not know yet was named."""

    name: str


@dataclass(frozen=True, kw_only=True)
class RunResumed(Recorded, kind="again"):
    """Another process continues the run."""


@dataclass(frozen=True)
class ParamsLogged(Recorded, kind="params"):
    """What the run was asked to do; once in its life."""

    values: dict[str, str]


@dataclass(frozen=True)
class TagsSet(Recorded, kind="tags"):
    """Facts about the run; a later value replaces an earlier one."""

    values: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class MetricsLogged(Recorded, kind="metrics"):
    """Figures by metric key at one step, which is the epoch counted from 1; `final` ones are the logged model's too."""

    values: dict[str, float]
    step: int
    final: bool = False


@dataclass(frozen=True, kw_only=True)
class SeriesLogged(Recorded, kind="series"):
    """One metric at many steps: pairs of step and value."""

    key: str
    points: tuple[tuple[int, float], ...]


@dataclass(frozen=True, kw_only=True)
class DatasetUsed(Recorded, kind="dataset"):
    """The run used a dataset for `context`, such as `training`; source and profile (counts, shapes) are JSON."""

    name: str
    digest: str
    source: str
    profile: str
    context: str


@dataclass(frozen=True, kw_only=True)
class FilesStored(Recorded, kind="artifacts"):
    """The files in `folder`, relative to the run's folder, are artifacts, below `name` if there is one."""

    folder: str
    name: str | None = None


@dataclass(frozen=True, kw_only=True)
class ModelAnnounced(Recorded, kind="begin_model"):
    """A model will follow, so that figures can belong to it already; `attempt` identifies it if this is repeated."""

    params: dict[str, str]
    attempt: str


@dataclass(frozen=True, kw_only=True)
class ModelStored(Recorded, kind="model"):
    """The announced model, for images (C, H, W), has its weights in a folder relative to the run's."""

    weights: str
    image_shape: tuple[int, ...]
    n_classes: int


@dataclass(frozen=True, kw_only=True)
class RunEnded(Recorded, kind="end"):
    """The run is closed as FINISHED, or as FAILED or KILLED for a `reason`, in one event: its end is stored whole.

    `metrics`, figures of the whole run, belong to step 0 and to the logged model too; `markdown` describes both.
    """

    status: str
    reason: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    markdown: str = ""


RECORDED: dict[str, type[Recorded]] = {event.kind: event for event in Recorded.__subclasses__()}
"""By the kind that a line of the journal names."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StepsRun:
    """`step` of the epoch's `n_steps` steps are done; emitted at most twice a second."""

    epoch: int
    step: int
    n_steps: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingStarted:
    """The run is open and the first step comes next; `resumed_at` is None where that is the first of all.

    `data_source` is where the dataset was found, `n_train` to `n_test` the images of its splits, and `store_answers`
    whether the tracking store knows the run. `n_trained` counts the parameters that are not frozen, and `notes` say in
    a line each what was done to the model. `fewer_threads` says why `threads` are fewer than on an idle machine; empty
    where they are not.
    """

    run_id: str
    run_name: str
    config: RunConfig
    device: str
    device_name: str
    threads: int
    step_runner: str
    data_source: str
    n_train: int
    n_val: int
    n_test: int
    n_parameters: int
    n_trained: int
    notes: tuple[str, ...] = ()
    fewer_threads: str = ""
    resumed_at: StepsRun | None = None
    store_answers: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochEnded:
    """An epoch was trained and evaluated; it is recorded after the observer was called.

    `waited_share` is how much of its time the training has waited for a core, in [0, 1]: given once, after the first
    epoch by which this is so much that its times are not to be ranked.
    """

    metrics: EpochMetrics
    last: bool
    waited_share: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointStarted:
    """A checkpoint that stands before `step` (counted from 0) of `epoch` is being written beside the training.

    `not_shared` is why the one before it could not be copied to where other machines reach it; empty where it was.
    """

    epoch: int
    step: int
    not_shared: str = ""


Observed = TrainingStarted | StepsRun | EpochEnded | CheckpointStarted

STOP = True
"""The answer that stops training early: the epoch under way is the last one, and the run ends as FINISHED there."""

Observer = Callable[[Observed], bool | None]
"""Called with each event of a training, in the thread that trains. It may answer `STOP`."""
