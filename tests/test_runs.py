from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cvexp.runs import RunSummary, versions_of


def test_two_summaries_do_not_share_their_figures():
    common = {"status": "FINISHED", "experiment_id": "0", "artifacts_uri": "", "started_at": datetime.now(UTC)}
    one, two = (RunSummary(run_id=name, name=name, **common) for name in "ab")
    one.metrics["test/loss"] = 1.0
    assert two.metrics == {}


@pytest.mark.parametrize(
    ("tags", "versions"),
    [
        ({"cvexp.versions": '{"torch": "2.15.0", "mlflow": "3.17.2"}'}, {"mlflow": "3.17.2", "torch": "2.15.0"}),
        ({"cvexp.versions.torch": "2.14.0", "cvexp.version": "0.1.0"}, {"torch": "2.14.0"}),
        ({"cvexp.versions": '{"torch": 2}'}, {}),
        ({"cvexp.versions": "{"}, {}),
        ({"cvexp.versions": "[1]"}, {}),
        ({}, {}),
    ],
)
def test_versions_are_read_from_one_tag_or_from_a_tag_each(tags, versions):
    assert versions_of(tags) == versions
