"""Where repeats that have just been trained stand among the other recipes of their experiment."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cvexp.errors import CvexpError
from cvexp.jobs import compare

if TYPE_CHECKING:
    from cvexp.jobs.repeats import Repeats
    from cvexp.settings import StoreSettings


def judged(result: Repeats, settings: StoreSettings) -> Repeats:
    """The repeats with the verdict on them against the best other recipe, of those measured on the same test images.

    Recipes with repeats come before single runs. The runs of these recipes get the tag that says whether they are on
    the Pareto front. Without other recipes, or while records wait to be delivered, there is neither; where the store
    fails, the verdict says so.
    """
    from cvexp.tracking.publishing import tag_front
    from cvexp.tracking.store import open_store

    if result.undelivered:
        return result
    ids = {one.run.run_id for one in result.runs}
    try:
        tables = compare.run([], settings).tables
        pairs = ((table, group) for table in tables for group in table.groups)
        table, ours = next((pair for pair in pairs if ids & {run.run_id for run in pair[1].runs}), (None, None))
        if table is None or ours is None or sum(group.is_finished for group in table.groups) == 1:
            return result
        tag_front(open_store(settings, create=False), [table])
    except CvexpError as error:
        return replace(result, verdict=f"Not compared with other recipes: {error.what}.")
    # The best is judged against all others, in order of their accuracy; single runs say little about recipes.
    found = [one for one in table.verdicts if ours.label in (one.a, one.b)]
    verdicts = sorted(found, key=lambda one: one.verdict == "these-two-only")
    return replace(result, verdict=verdicts[0].text) if verdicts else result
