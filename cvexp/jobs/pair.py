"""What sets two groups apart, with the per-image records of their runs where there are any."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cvexp.comparison.evidence import MAX_SEEDS, usable_records
from cvexp.comparison.pair import Pair, pair_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cvexp.comparison.evidence import Reader
    from cvexp.comparison.tables import Table


def pair(tables: Sequence[Table], evidence: Reader, *, first: str) -> Pair | None:
    """The two groups of the tables side by side, `a` being the one with the run `first`; None for more or fewer groups.

    Groups measured on different test images have no images in common.
    """
    groups = [group for table in tables for group in table.groups]
    if len(groups) != 2 or any(table.n_left_out for table in tables):  # noqa: PLR2004 - a pair
        return None
    a, b = sorted(groups, key=lambda group: first not in {run.run_id for run in group.runs})
    if len(tables) > 1:
        return pair_of(a, b)
    records = usable_records([*a.runs[:MAX_SEEDS], *b.runs[:MAX_SEEDS]], evidence, split="test").records
    ours, theirs = ([records[run.run_id] for run in group.runs if run.run_id in records] for group in (a, b))
    return pair_of(a, b, records_a=ours, records_b=theirs, class_names=evidence.class_names(a.first))
