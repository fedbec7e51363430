"""The example's proxy with TLS in front of the team's server."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time

import pytest

from tests.team.cluster import EXAMPLE, free_port, signed_in

pytestmark = pytest.mark.campaign

NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
MAIN = "daemon off; pid {0}/pid; error_log {0}/error.log; events {{}}\nhttp {{ access_log off; {1}\n{2} }}"
SCRATCH = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@pytest.fixture
def proxied(team, tmp_path):
    """The server's address with TLS, and the certificate to trust."""
    if NGINX is None:
        pytest.skip("nginx is not installed here: apt-get install nginx")
    certificate, key, port = tmp_path / "mlflow.pem", tmp_path / "mlflow.key", free_port()
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    site = (EXAMPLE / "nginx.conf").read_text()
    for written, here in {
        "server 127.0.0.1:5000;": f"server 127.0.0.1:{team.port};",
        "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
        "server_name mlflow.example.org;": "server_name localhost;",
        "/etc/ssl/mlflow.pem": str(certificate),
        "/etc/ssl/private/mlflow.key": str(key),
    }.items():
        assert site.count(written) == 1
        site = site.replace(written, here)
    scratch = " ".join(f"{name}_temp_path {tmp_path}/{name};" for name in SCRATCH)
    (tmp_path / "nginx.conf").write_text(MAIN.format(tmp_path, scratch, site))
    words = [NGINX, "-p", tmp_path, "-e", tmp_path / "error.log", "-c", tmp_path / "nginx.conf"]
    proxy = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and proxy.poll() is None:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            time.sleep(0.1)
        yield f"https://localhost:{port}", certificate
    finally:
        proxy.terminate()
        proxy.wait(30)


def test_a_run_with_more_than_a_megabyte_of_weights_goes_through_tls(proxied, cvexp, tmp_path, monkeypatch):
    address, certificate = proxied
    monkeypatch.chdir(tmp_path)
    for key, value in signed_in(address, "owner").items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(certificate))
    words = ("train", "tinyvgg", "--dataset", "digits", "--epochs", "1", "--device", "cpu", "--experiment", "tls")
    trained = cvexp(*words, "--hidden-units", "150", "--json")
    assert trained.code == 0, trained.stderr
    evaluated = cvexp("evaluate", json.loads(trained.stdout)["run_id"], "--json")
    assert evaluated.code == 0, evaluated.stderr
    assert evaluated.document["matches"] is True


def test_a_certificate_that_is_not_trusted_is_said_in_three_lines(proxied, cvexp, tmp_path, monkeypatch):
    address, _ = proxied
    monkeypatch.chdir(tmp_path)
    for key, value in signed_in(address, "owner").items():
        monkeypatch.setenv(key, value)
    refused = cvexp("compare")
    assert refused.code == 2
    assert "is not trusted: self-signed certificate" in refused.stderr
    assert "MLFLOW_TRACKING_SERVER_CERT_PATH=FILE" in refused.stderr
    assert len(refused.stderr.splitlines()) <= 3
