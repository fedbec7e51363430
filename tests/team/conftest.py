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
    server = TeamServer(folder / "server", postgres)
    try:
        postgres.start()
        postgres.make_databases()
        server.start()
        with pytest.MonkeyPatch.context() as environment:
            make_accounts(server.uri, environment)
        yield server
    finally:
        server.stop()
        postgres.remove()
