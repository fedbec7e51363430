"""The file with the password of MLflow's pages."""

from __future__ import annotations

import pytest
from mlflow.server.auth.config import read_auth_config

from cvexp.settings import store_settings
from cvexp.tracking.server import password_file


@pytest.fixture
def config(tmp_path, monkeypatch):
    """What MLflow's basic auth reads from the file that is made in an empty folder."""

    def read():
        file = password_file(store_settings(f"sqlite:///{tmp_path}/mlflow.db"))
        monkeypatch.setenv("MLFLOW_AUTH_CONFIG_PATH", str(file))
        return file, read_auth_config()

    return read


def test_right_passwords_are_remembered_for_a_minute(config):
    assert config()[1].auth_cache_ttl_seconds == 60


def test_a_file_of_an_earlier_version_gets_the_cache_and_keeps_its_password(config):
    file, first = config()
    earlier = [line for line in file.read_text().splitlines() if "auth_cache" not in line]
    file.write_text("\n".join(earlier) + "\n")
    for _ in range(2):
        file, later = config()
        assert later == first
    assert file.read_text().count("auth_cache_ttl_seconds") == 1
