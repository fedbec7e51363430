from __future__ import annotations

import pytest

from cvexp.redaction import without_credentials


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("postgresql://me:secret@host/db", "postgresql://host/db"),
        ("https://token@host/x, then http://a:b@c/d", "https://host/x, then http://c/d"),
        ("http://me:se/cr@et@host:5000/x", "http://host:5000/x"),
        ("http://host/a@b", "http://host/a@b"),
        ("sqlite:////home/a@b/mlflow.db", "sqlite:////home/a@b/mlflow.db"),
        ("mail me@example.org", "mail me@example.org"),
    ],
)
def test_only_the_credentials_leave_an_address(text, clean):
    assert without_credentials(text) == clean


SECRET_KEYS = [
    *("password", "Password", "passwd", "pwd", "PWD", "pass", "sslpassword", "passphrase", "sslkey", "ssl_key"),
    *("token", "access_token", "auth_token", "X-Amz-Security-Token", "X-Amz-Signature", "X-Amz-Credential", "sig"),
    *("auth", "authorization", "api_key", "api-key", "apikey", "APIKey", "key", "AccountKey", "SharedAccessKey"),
    *("secret", "client_secret", "aws_secret_access_key", "sas", "sas_token", "credentials", "private_key", "jwt"),
]


@pytest.mark.parametrize("key", SECRET_KEYS)
def test_the_value_of_a_key_that_names_a_secret_is_left_out_of_an_address(key):
    for text in (
        f"postgresql://host/db?{key}=canary",
        f"postgresql://host/db?sslmode=require&{key}=can%26%3Bary&more=1",
        f"mssql+pyodbc://host/db?driver=x;{key}=canary;more=1",
        f"mssql+pyodbc:///?odbc_connect=DRIVER%3D%7Bx%7D%3BSERVER%3Dh%3B{key}%3Dcanary%3BUID%3Dme",
        f"mssql+pyodbc:///?odbc_connect={key}%3dcanary%3bUID%3dme&more=1",
        f"mssql+pyodbc:///?odbc_connect=DRIVER%253Dx%253B{key}%253Dcanary%253BUID%253Dme",
        f"mssql+pyodbc:///?odbc_connect=DRIVER={{x}};{key}=canary;more=1",
    ):
        cleaned = without_credentials(text)
        assert "can" not in cleaned
        assert "ary" not in cleaned
        assert key in cleaned
        assert ("more=1" in cleaned) == ("more=1" in text)
        assert ("me" in cleaned) == ("me" in text)


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://me:can://ary@host/db",
        "postgresql://me:can ary@host/db",
        "postgresql://me:can a@ry@host/db",
        "http://me:can/a ry@host:5000",
        "postgresql://host/db?password=can ary&sslmode=require",
        "postgresql://host/db?password=can;ary&sslmode=require",
        "postgresql://host/db?password=can'ary",
        "odbc:;PWD=can ary;UID=me",
        "odbc:;PWD={can;a}}ry};UID=me",
        "mssql+pyodbc:///?odbc_connect=PWD%3D%7Bcan%3Ba%7D%7Dry%7D%3BUID%3Dme",
        "mssql+pyodbc:///?odbc_connect=PWD%3Dcan%253Bary%3BUID%3Dme",
        "connection to host=h password=canary user=me failed",
    ],
)
def test_a_password_that_should_have_been_encoded_is_left_out_of_an_address(text):
    cleaned = without_credentials(text)
    for part in ("can", "ary", "ry@", "ry}", "a@"):
        assert part not in cleaned


@pytest.mark.parametrize(
    "text",
    [
        "http://host:5000 does not answer; mail me@example.org",
        "http://host:5000, or mail me@example.org",
        "'http://host:5000' and 'a@b'",
        "http://[::1]:5000/a@b",
        "postgresql://host/db?sslmode=require&author=me&keyboard=us;design=new",
        "cvexp train mlp --model-arg n_tokens=5 --model-arg key=3",
        "a bypass= b; compass=north",
        "http://host/x?monkey=1",
    ],
)
def test_what_is_no_secret_stays(text):
    assert without_credentials(text) == text
