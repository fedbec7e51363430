"""One team's server for all of these tests, with an account in every role."""

from __future__ import annotations

import pytest

from tests.team.cluster import Postgres, TeamServer, make_accounts, programs


@pytest.fixture(scope="session")
def team(tmp_path_factory):
    if programs() is None:
        pytest.skip("PostgreSQL is not installed here: apt-get install postgresql")
    folder = tmp_path_factory.mktemp("team")
    postgres = Postgres()
    postgres.start()
    try:
        postgres.make_databases()
        server = TeamServer(folder / "server", postgres).start()
        with pytest.MonkeyPatch.context() as environment:
            make_accounts(server.uri, environment)
        yield server
        server.stop()
    finally:
        postgres.remove()
