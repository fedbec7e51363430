"""What a server refuses, in three lines: who is refused, and whom to ask for what."""

from __future__ import annotations

from ssl import SSLCertVerificationError

import pytest
from mlflow.exceptions import MlflowException
from urllib3.exceptions import SSLError

from cvexp.errors import DeniedStoreError, StoreError, UnreachableStoreError
from cvexp.settings import store_settings
from cvexp.tracking.mlflow_errors import translated

ANSWER = "API request to endpoint /api/2.0/mlflow/runs/create failed with error code {} != 200. Response body: '{}'"


def refusal(status, body="Permission denied", uri="http://host:5000"):
    settings = store_settings(uri, "digits")
    with pytest.raises(DeniedStoreError) as caught, translated(settings):
        raise MlflowException(ANSWER.format(status, body))
    lines = caught.value.lines()
    assert len(lines) <= 3
    return lines


def test_who_gives_no_name_is_asked_for_one(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME", raising=False)
    first, remedy = refusal(401)
    assert first == "the tracking store http://host:5000 asks for a name and a password: HTTP status 401"
    assert "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" in remedy


def test_a_wrong_password_is_of_the_user_that_is_named(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
    assert "does not know 'ann' with this password" in refusal(401)[0]


def test_credentials_in_the_address_are_not_shown(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME", raising=False)
    lines = refusal(401, uri="http://ann:hush@host:5000")
    assert "does not know the user in its address" in lines[0]
    assert not any("ann" in line or "hush" in line for line in lines)


def test_a_missing_permission_names_the_experiment_and_what_to_ask_for(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
    first, remedy, _ = refusal(403)
    assert "does not permit this to 'ann'" in first
    assert "READ (to see) or EDIT (to write) on the experiment 'digits'" in remedy


def test_artifacts_are_refused_in_other_words():
    settings = store_settings("http://host:5000")
    with pytest.raises(DeniedStoreError, match="HTTP status 403"), translated(settings):
        raise MlflowException("403 Client Error: Forbidden for url: http://host:5000/api/2.0/mlflow-artifacts/a.png")


def test_a_host_that_the_server_does_not_go_by_is_no_missing_permission():
    first, remedy = refusal(403, "Invalid Host header - possible DNS rebinding attack detected")
    assert "does not go by this name" in first
    assert "--allowed-hosts" in remedy


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("self-signed certificate (_ssl.c:1006)", "self-signed certificate"),
        (
            "Hostname mismatch, certificate is not valid for 'host'. (_ssl.c:1006)",
            "Hostname mismatch, certificate is not valid for 'host'",
        ),
    ],
)
def test_a_certificate_that_is_not_trusted_is_no_outage(said, why):
    error = SSLError(SSLCertVerificationError(1, f"[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: {said}"))
    pool = "HTTPSConnectionPool(host='host', port=443): Max retries exceeded with url: /"
    with pytest.raises(StoreError) as caught, translated(store_settings("https://host")):
        raise MlflowException(f"API request to https://host failed with exception {pool} (Caused by {error!r})")
    assert not isinstance(caught.value, UnreachableStoreError)
    assert caught.value.what == f"the certificate of the tracking store https://host is not trusted: {why}"
    assert "MLFLOW_TRACKING_SERVER_CERT_PATH=FILE" in caught.value.hints[0]
