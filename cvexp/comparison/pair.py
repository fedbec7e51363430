"""Two groups side by side: what was different about their training, and which images and classes it changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from cvexp.comparison.evidence import MAX_SEEDS, usable_records
from cvexp.runs import versions_of
from cvexp.stats import Arm, arms_verdict, score_difference, win_share_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from cvexp.comparison.evidence import Reader
    from cvexp.comparison.groups import Group
    from cvexp.comparison.tables import Table
    from cvexp.image_records import ImageRecords
    from cvexp.stats import Difference

ENVIRONMENT = {
    "cvexp.version": "cvexp",
    "cvexp.python": "python",
    "cvexp.device": "device",
    "cvexp.device_name": "device name",
    "cvexp.threads": "threads",
    "cvexp.step_runner": "step runner",
    "cvexp.memory_format": "memory format",
    "cvexp.host": "host",
}
"""Tags of the environment, besides the versions of packages, and what they are called."""

CODE = {"mlflow.source.git.commit": "commit", "cvexp.git_dirty": "uncommitted changes"}
ABSENT = "-"
COMMIT_DIGITS = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class Differing:
    """Something that is not the same for both: its name, and its value in a and b."""

    name: str
    a: str
    b: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RecallChange:
    """A class whose recall is not the same: means over seeds, and the 95% interval of b - a if it has one."""

    class_name: str
    n_images: int
    a: float
    b: float
    low: float | None
    high: float | None

    @property
    def is_clear(self) -> bool:
        """Whether the interval excludes 0; it is that of this class alone."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Pair:
    """Group `a` and group `b`, by label.

    Attributes:
        settings: That differ, without the seed.
        environment: Versions, device and threads that differ, of the first runs.
        code: The commits, where they differ.
        recalls: Of the classes, the largest change first; empty without per-image records.
        gained: int64, positions in the test split of the images that most seeds of b classify correctly, and at most
            half of a's.
        lost: int64, likewise of a and not b.
        n_images: Of the test split; 0 without per-image records.
        log_loss: Of a less that of b, nats per image, with its 95% interval over seeds and images if it has one.
        win_share: How often one retrained a beats one retrained b, in a sentence; empty for single runs.
    """

    a: str
    b: str
    settings: tuple[Differing, ...] = ()
    environment: tuple[Differing, ...] = ()
    code: tuple[Differing, ...] = ()
    recalls: tuple[RecallChange, ...] = ()
    gained: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    lost: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    n_images: int = 0
    log_loss: Difference | None = None
    win_share: str = ""


def differences(a: Mapping[str, str], b: Mapping[str, str]) -> tuple[Differing, ...]:
    """What the two mappings do not share, in the order of `a`."""
    names = dict.fromkeys([*a, *b])
    values = [(name, a.get(name, ABSENT), b.get(name, ABSENT)) for name in names]
    return tuple(Differing(name=name, a=ours, b=theirs) for name, ours, theirs in values if ours != theirs)


def named_pair(tables: Sequence[Table], evidence: Reader, *, first: str) -> Pair | None:
    """The two groups of the tables side by side, `a` being the one with the run `first`; None for more or fewer groups.

    Groups measured on different test images have no images in common.
    """
    groups = [group for table in tables for group in table.groups if not group.first.export]
    if len(groups) != 2 or any(table.n_left_out for table in tables):  # noqa: PLR2004 - a pair
        return None
    a, b = sorted(groups, key=lambda group: first not in {run.run_id for run in group.runs})
    if len(tables) > 1:
        return pair_of(a, b)
    records = usable_records([*a.runs[:MAX_SEEDS], *b.runs[:MAX_SEEDS]], evidence, split="test").records
    ours, theirs = ([records[run.run_id] for run in group.runs if run.run_id in records] for group in (a, b))
    return pair_of(a, b, records_a=ours, records_b=theirs, class_names=evidence.class_names(a.first))


def pair_of(
    a: Group,
    b: Group,
    *,
    records_a: Sequence[ImageRecords] = (),
    records_b: Sequence[ImageRecords] = (),
    class_names: Sequence[str] = (),
) -> Pair:
    """Compare two groups; the records are those of each of their seeds, all of the same images, or none."""
    settings = differences(_settings(a), _settings(b))
    environment = differences(_environment(a), _environment(b))
    code = differences(_code(a), _code(b))
    if not (records_a and records_b):
        return Pair(a=a.label, b=b.label, settings=settings, environment=environment, code=code)
    labels = records_a[0].labels
    ours, theirs = (np.stack([one.correct for one in records]) for records in (records_a, records_b))
    seeds_a, seeds_b = _known_seeds(a, b)
    arms = (Arm(name=a.label, correct=ours, seeds=seeds_a), Arm(name=b.label, correct=theirs, seeds=seeds_b))
    losses = [np.stack([one.log_loss for one in records]) for records in (records_a, records_b)]
    known = all(np.isfinite(some).all() for some in losses)
    right_a, right_b = (2 * correct.sum(axis=0) > len(correct) for correct in (ours, theirs))
    return Pair(
        a=a.label,
        b=b.label,
        settings=settings,
        environment=environment,
        code=code,
        recalls=_recalls(*arms, labels, class_names),
        gained=np.flatnonzero(~right_a & right_b).astype(np.int64),
        lost=np.flatnonzero(right_a & ~right_b).astype(np.int64),
        n_images=len(labels),
        log_loss=score_difference(*losses, seeds_a=seeds_a, seeds_b=seeds_b) if known else None,
        win_share=win_share_text(arms_verdict(*arms), a.label, b.label) or "",
    )


def _known_seeds(a: Group, b: Group) -> tuple[list[int] | None, list[int] | None]:
    """The seeds of both, or of neither where one of them is not known."""
    known = [[seed for seed in group.seeds if seed is not None] for group in (a, b)]
    complete = all(len(seeds) == group.n for seeds, group in zip(known, (a, b), strict=True))
    return (known[0], known[1]) if complete else (None, None)


def _settings(group: Group) -> dict[str, str]:
    """As the first run has them; the seed only of single runs."""
    settings = group.first.settings
    chosen = {name: value for name, value in settings.items() if name != "seed" or group.n == 1}
    return {name.removeprefix("model_args."): value for name, value in chosen.items()}


def _environment(group: Group) -> dict[str, str]:
    tags = group.first.tags
    return {**{name: tags[tag] for tag, name in ENVIRONMENT.items() if tag in tags}, **versions_of(tags)}


def _code(group: Group) -> dict[str, str]:
    found = {name: group.first.tags[tag] for tag, name in CODE.items() if tag in group.first.tags}
    return {name: value[:COMMIT_DIGITS] if name == "commit" else value for name, value in found.items()}


def _recalls(a: Arm, b: Arm, labels: npt.NDArray[np.int64], class_names: Sequence[str]) -> tuple[RecallChange, ...]:
    """Of every class that has images and whose mean recall changed."""
    assert a.correct is not None  # noqa: S101 - both were made from records
    assert b.correct is not None  # noqa: S101 - likewise
    found = []
    for label in np.unique(labels).tolist():
        chosen = labels == label
        ours = Arm(name="a", correct=a.correct[:, chosen], seeds=a.seeds)
        theirs = Arm(name="b", correct=b.correct[:, chosen], seeds=b.seeds)
        if ours.mean != theirs.mean:
            change = arms_verdict(theirs, ours).difference
            name = class_names[label] if label < len(class_names) else str(label)
            found.append(
                RecallChange(
                    class_name=name,
                    n_images=int(chosen.sum()),
                    a=ours.mean,
                    b=theirs.mean,
                    low=None if change.low is None else max(-1.0, change.low),
                    high=None if change.high is None else min(1.0, change.high),
                )
            )
    return tuple(sorted(found, key=lambda one: -abs(one.b - one.a)))
