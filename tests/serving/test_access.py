"""Who may ask: the token, the name of the service, and its end."""

from __future__ import annotations

import re

import pytest

from cvexp.errors import ConfigError, InputError
from cvexp.serving.access import TOKEN, hosts_for, token_for
from tests.serving.made import ask, png

SECRET = "correct-horse-battery-staple"


def test_others_need_a_token_and_this_machine_does_not(monkeypatch):
    monkeypatch.delenv(TOKEN, raising=False)
    assert token_for("127.0.0.1") == token_for("localhost") == token_for("::1") == ""
    with pytest.raises(ConfigError, match="no token") as raised:
        token_for("0.0.0.0")  # noqa: S104 - it is refused
    assert len(raised.value.lines()) == 3


def test_the_token_comes_from_the_variable_or_a_file(monkeypatch, tmp_path):
    monkeypatch.setenv(TOKEN, SECRET)
    (tmp_path / "token").write_text(f"{SECRET}-of-the-file\n")
    assert token_for("0.0.0.0") == SECRET  # noqa: S104
    assert token_for("127.0.0.1", tmp_path / "token") == f"{SECRET}-of-the-file"


@pytest.mark.parametrize("content", ["", "short", "a token with blanks in it", "ümlaut-ümlaut-ümlaut", "x" * 20 + "\0"])
def test_tokens_that_are_none_are_refused_and_not_shown(tmp_path, content):
    (tmp_path / "token").write_text(content)
    with pytest.raises(ConfigError) as raised:
        token_for("127.0.0.1", tmp_path / "token")
    assert not content or content not in "\n".join(raised.value.lines())


@pytest.mark.parametrize("host", ["no such host", "999.1.1.1", ""])
def test_what_is_no_address_is_refused(host):
    if host:
        with pytest.raises(InputError, match="no address"):
            token_for(host)
    else:
        assert token_for("localhost") == ""


@pytest.mark.parametrize(
    "given",
    [None, "Bearer", "Bearer wrong", f"Basic {SECRET}", f"Bearer {SECRET}x", f"Bearer {SECRET[:-1]}", "Bearer ü"],
)
def test_without_the_token_nothing_of_the_model_is_told(serving, given):
    headers = {} if given is None else {"authorization": given}

    async def everywhere(service):
        for path, method in (
            ("/predict", "POST"),
            ("/explain", "POST"),
            ("/model", "GET"),
            ("/metrics", "GET"),
            ("/x", "GET"),
        ):
            answer = await ask(service, path, method=method, kind="image/png", body=png(), **headers)
            assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
            assert SECRET.encode() not in answer.body
        return [await ask(service, path, method="GET") for path in ("/", "/health", "/docs", "/openapi.json")]

    for answer in serving(everywhere, token=SECRET):
        assert answer.status == 200
        assert b"ankle boot" not in answer.body


def test_with_the_token_it_answers(serving):
    answer = serving(
        lambda service: ask(service, kind="image/png", body=png(), authorization=f"bearer {SECRET}"), token=SECRET
    )
    assert answer.status == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8000", 200),
        ("127.0.0.1", 200),
        ("[::1]:80", 200),
        ("LOCALHOST", 200),
        ("evil.example:8000", 421),
        ("", 421),
    ],
)
def test_a_name_that_was_made_to_mean_this_machine_is_refused(serving, host, status):
    answer = serving(lambda service: ask(service, "/model", method="GET", host=host), hosts=hosts_for("127.0.0.1"))
    assert answer.status == status
    assert hosts_for("0.0.0.0") is None  # noqa: S104


def test_while_it_drains_work_is_refused_and_health_says_so(serving):
    async def draining(service):
        ready = await ask(service, "/health", method="GET")
        service.is_draining = True
        return ready, await ask(service, kind="image/png", body=png()), await ask(service, "/health", method="GET")

    ready, refused, health = serving(draining)
    assert (ready.status, ready.json["status"]) == (200, "ready")
    assert (refused.status, refused.headers["connection"], refused.headers["retry-after"]) == (503, "close", "1")
    assert (health.status, health.json["status"]) == (503, "draining")


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_load_nothing_from_elsewhere_and_may_not(serving, path):
    page = serving(lambda service: ask(service, path, method="GET"))
    assert not re.findall(rb"(?:https?:)?//[\w.]+\.\w+", page.body)
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["content-type"].startswith("text/html")


def test_the_openapi_document_names_every_path_and_its_references_resolve(serving):
    document = serving(lambda service: ask(service, "/openapi.json", method="GET")).json
    assert document["openapi"].startswith("3.1")
    assert set(document["paths"]) == {"/predict", "/explain", "/health", "/model", "/metrics"}
    references = set(re.findall(r"#/components/schemas/(\w+)", str(document)))
    assert references == set(document["components"]["schemas"])


def test_requests_are_counted_by_path_and_status(serving):
    async def some(service):
        await ask(service, kind="image/png", body=png())
        await ask(service, kind="image/png", body=b"x")
        await ask(service, "/anything", method="GET")
        return await ask(service, "/metrics", method="GET")

    text = serving(some).body.decode()
    for line in (
        'cvexp_requests_total{path="/predict",status="200"} 1.0',
        'cvexp_requests_total{path="/predict",status="422"} 1.0',
        'cvexp_requests_total{path="other",status="404"} 1.0',
        'cvexp_request_seconds_count{path="/predict"} 2.0',
        "cvexp_batch_images_count 1.0",
        "cvexp_waiting_images 0.0",
    ):
        assert line in text
