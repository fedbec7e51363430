from __future__ import annotations

from datetime import UTC, datetime

from cvexp.runs import RunSummary


def test_two_summaries_do_not_share_their_figures():
    common = {"status": "FINISHED", "experiment_id": "0", "artifacts_uri": "", "started_at": datetime.now(UTC)}
    one, two = (RunSummary(run_id=name, name=name, **common) for name in "ab")
    one.metrics["test/loss"] = 1.0
    assert two.metrics == {}
