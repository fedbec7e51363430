"""The tag that says on a run's page whether another recipe beats its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cvexp.runs import FRONT
from cvexp.text import clean
from cvexp.tracking.mlflow_errors import translated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cvexp.comparison.tables import Table
    from cvexp.tracking.store import Store

LONGEST_NAME = 200


def tag_front(store: Store, tables: Sequence[Table]) -> int:
    """Write `yes`, or `no: beaten by NAME`, to each run of the tables whose group is placed, and count them.

    Tags that are right already are not written again.

    Raises:
        StoreError: The store cannot be written.
    """
    written = 0
    for table in tables:
        for group in table.groups:
            standing = table.front.of(group.label)
            if standing.on_front is None:
                continue
            value = "yes" if standing.on_front else f"no: beaten by {clean(standing.dominated_by)[:LONGEST_NAME]}"
            for run in group.runs:
                if run.tags.get(FRONT) != value:
                    with translated(store.settings):
                        store.client.set_tag(run.run_id, FRONT, value)
                    written += 1
    return written
