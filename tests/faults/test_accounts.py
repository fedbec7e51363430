"""A server that asks for passwords: who may not is told so, and of eight clients at once nobody loses a record.

On PostgreSQL, with everything that roles may do: `tests/team`.
"""

from __future__ import annotations

import pytest

from tests.faults import test_records
from tests.faults.answering import check_refusal
from tests.team.cluster import ADMIN_PASSWORD, make_accounts, signed_in

pytestmark = [pytest.mark.slow, pytest.mark.campaign]

TRAIN = ("train", "linear", "--dataset", "digits", "--epochs", "1", "--device", "cpu", "--experiment", "new")
REFUSED = {
    ("trainer", "not the password"): "does not know 'trainer' with this password",
    ("reader", None): "does not permit this to 'reader'",
    ("stranger", None): "does not permit this to 'stranger'",
}


def test_eight_clients_on_a_new_experiment_and_those_who_may_not_write_it(server, cvexp, tmp_path, monkeypatch):
    server.ask_for_passwords(ADMIN_PASSWORD)
    server.start()
    make_accounts(server.uri, monkeypatch)
    for key, value in signed_in(server.uri, "trainer").items():
        monkeypatch.setenv(key, value)
    test_records.finish(test_records.write(server.uri, tmp_path, name="new"))
    monkeypatch.chdir(tmp_path)
    assert cvexp("sync").code == 0  # what a busy machine left over
    assert test_records.lost_and_doubled(server.uri, "new") == (0, 0)
    for (name, password), named in REFUSED.items():
        for key, value in signed_in(server.uri, name, password).items():
            monkeypatch.setenv(key, value)
        outcome = cvexp(*TRAIN)
        check_refusal(outcome.code, outcome.stdout, outcome.stderr, named)
    assert list(tmp_path.glob(".cvexp/runs/*")) == []
