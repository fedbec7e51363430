"""What a comparison says of the groups that were measured on the same test images."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from cvexp.results import Metric

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cvexp.comparison.groups import Group
    from cvexp.stats import Arm

Status = Literal["on", "undecided", "off", "unplaced"]
VerdictKind = Literal["better", "worse", "tied", "cannot-tell", "these-two-only"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """Where a group stands to the Pareto front.

    Attributes:
        status: `on`; `undecided`, where another group is better in the point estimates and the uncertainty does not
            settle it; `off`, where another one is shown to be better; `unplaced`, where its figures cannot be ranked.
        dominated_by: The label of the group that is better; empty for `on` and `unplaced`.
        reason: Why it is unplaced.
    """

    status: Status
    dominated_by: str = ""
    reason: str = ""

    @property
    def on_front(self) -> bool | None:
        """Whether no group is shown to be better; None for a group that is not placed."""
        return None if self.status == "unplaced" else self.status != "off"


@dataclass(frozen=True, kw_only=True, slots=True)
class Front:
    """The Pareto front of a table: its objectives' metric keys, and each group's standing by label."""

    objectives: tuple[str, ...]
    standings: Mapping[str, Standing]

    def of(self, label: str) -> Standing:
        """Where the group with this label stands."""
        return self.standings.get(label, Standing(status="unplaced"))


@dataclass(frozen=True, kw_only=True, slots=True)
class PairVerdict:
    """Group `a` against group `b`, by label, on a metric: `difference` is a - b, with its 95% interval if it has one.

    `p` is the two-sided p-value after Holm's correction over all pairs of the table; `text` is the sentence, and
    `short_text` the same without `population`, the seeds and images that it is about.
    """

    a: str
    b: str
    metric: str
    difference: float | None
    low: float | None
    high: float | None
    verdict: VerdictKind
    n_seeds_needed: int | None
    text: str
    short_text: str = ""
    population: str = ""
    p: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Groups measured on the same test images, in order.

    Attributes:
        test_set: The label of the images.
        groups: Those shown; figures of others are not compared.
        n_left_out: Further groups, beyond the number that is shown.
        best: The label of the group with the highest mean of `quality`, or empty.
        front: See Front.
        contenders: Labels of the groups that are not shown to be worse than the best.
        verdicts: The best against the others.
        sentences: Verdicts in words, at most as many as groups, and what is missing for more.
        captions: What has to be known to read the table.
        arms: The groups that have test accuracies, for further fronts of the same table.
        n_classes: Of its test images, if that is known.
        margin: A difference of accuracy below which two models are as good as equal, in [0, 1].
        quality: The key of the accuracy that the table is by; see request.QUALITIES.
    """

    test_set: str
    groups: tuple[Group, ...]
    n_left_out: int
    best: str
    front: Front
    contenders: tuple[str, ...] = ()
    verdicts: tuple[PairVerdict, ...] = ()
    sentences: tuple[str, ...] = ()
    captions: tuple[str, ...] = ()
    arms: Mapping[str, Arm] = field(default_factory=dict, repr=False, compare=False)
    n_classes: int | None = None
    margin: float = 0.005
    quality: str = Metric.TEST_ACCURACY.value


@dataclass(frozen=True, kw_only=True, slots=True)
class Pick:
    """The group chosen under a budget.

    Attributes:
        label: Of the group; empty where none meets the budget.
        run_ids: Of its runs.
        budget: The limits in words.
        chosen_on: `val` or `test`: the images whose accuracy chose it.
        rival: The label of the group that it was chosen against: the most accurate one, or, where it is that itself,
            the next one; empty where no other meets the budget.
        price: Points of accuracy in [0, 1] that it costs at most against the most accurate one (95%), or None.
        sentences: Why, in words.
    """

    label: str
    run_ids: tuple[str, ...]
    budget: tuple[str, ...]
    chosen_on: Literal["val", "test"]
    rival: str = ""
    price: float | None = None
    sentences: tuple[str, ...] = field(default=())
