"""A run whose loss is no number: evaluated, exported and journalled like any other, in JSON that every reader takes."""

from __future__ import annotations

import json

import pytest

from cvexp.config import run_config
from cvexp.errors import ConfigError

pytestmark = pytest.mark.slow

WORDS = ("train", "linear", "--dataset", "digits", "--epochs", "1", "--device", "cpu", "--limit", "60")


def strict(text):
    """What JSON says, by its own grammar, which knows no NaN."""

    def refuse(constant):
        pytest.fail(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture
def broken(record, cvexp):
    """The id of a run that ended with a loss that is no number."""
    outcome = cvexp(*WORDS, "--lr", "1e38", "--allow-nan", "--keep", "1", "--json")
    assert outcome.code == 0, outcome.stderr
    document = strict(outcome.stdout)
    assert document["metrics"]["test/loss"] is None
    return document["run_id"]


def test_an_unchanged_run_matches_what_it_logged_and_so_does_its_export(broken, cvexp, tmp_path):
    evaluated = cvexp("evaluate", broken, "--json")
    assert evaluated.code == 0, evaluated.stderr
    assert strict(evaluated.stdout)["matches"] is True
    exported = cvexp("export", broken, "--out", "x.pt", "--json")
    assert exported.code == 0, exported.stderr
    strict(exported.stdout)
    card = strict((tmp_path / "x.pt.json").read_text())
    assert card["metrics"]["test/loss"] is None
    assert card["metrics"]["test/accuracy"] is not None
    again = cvexp("evaluate", "x.pt", "--json")
    assert again.code == 0, again.stderr
    assert strict(again.stdout)["matches"] is True


def test_a_card_that_an_earlier_version_wrote_can_be_read(broken, cvexp, tmp_path):
    assert cvexp("export", broken, "--out", "x.pt").code == 0
    card = tmp_path / "x.pt.json"
    card.write_text(card.read_text().replace('"test/loss": null', '"test/loss": NaN'))
    assert cvexp("evaluate", "x.pt").code == 0


def test_every_line_of_the_journal_is_json(broken, tmp_path):
    lines = (tmp_path / ".cvexp" / "runs" / broken / "journal.jsonl").read_text().splitlines()
    records = [strict(line) for line in lines]
    assert {"run", "metrics", "end"} <= {record["kind"] for record in records}


def test_the_store_is_told_what_the_figures_are(broken, record):
    from mlflow import MlflowClient

    value = MlflowClient(record.uri).get_run(broken).data.metrics["test/loss"]
    assert value != value  # noqa: PLR0124 - so is no other value


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_model_argument_is_a_number_that_json_can_hold(value):
    with pytest.raises(ConfigError, match="finite"):
        run_config({"model": "linear", "model_args": {"dropout": value}})
