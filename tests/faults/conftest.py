"""What the tests of faults share."""

from __future__ import annotations

import pytest

from tests.faults.serving import Server


@pytest.fixture
def server(tmp_path_factory):
    """An MLflow server that was not started yet."""
    serving = Server(tmp_path_factory.mktemp("server"))
    yield serving
    serving.kill()


@pytest.fixture
def running(server):
    """An MLflow server that answers."""
    return server.start()
