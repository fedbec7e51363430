"""Put a comparison where MLflow's pages show it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cvexp.errors import RunError

if TYPE_CHECKING:
    from cvexp.jobs.compare import Comparison
    from cvexp.settings import StoreSettings


def run(comparison: Comparison, settings: StoreSettings, *, html: str) -> str:
    """Store a comparison with the newest of its runs, and give that run's id.

    The page `html` and the comparison's picture, if it was drawn, become artifacts of that run; the experiment's
    description links to the page, unless the user wrote one. Each run that is placed gets the tag that says whether it
    is on the Pareto front.

    Raises:
        RunError: It has no runs.
        StoreError: The store cannot be written.
    """
    from cvexp.tracking.publishing import publish_comparison, tag_front
    from cvexp.tracking.store import open_store

    if not comparison.runs:
        raise RunError("no run here matches, so there is nothing to publish", "see which there are: cvexp compare")
    store = open_store(settings, create=False)
    tag_front(store, comparison.tables)
    return publish_comparison(store, comparison.runs, html=html, picture=comparison.plot)
