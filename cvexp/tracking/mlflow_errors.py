"""What MLflow, its database and its server raise, as errors of one readable line."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from typing import TYPE_CHECKING

from cvexp.errors import DeniedStoreError, StoreError, UnreachableStoreError
from cvexp.redaction import without_credentials
from cvexp.text import shown
from cvexp.tracking.checks import CHECK_STORE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cvexp.settings import StoreSettings


@contextlib.contextmanager
def translated(settings: StoreSettings) -> Iterator[None]:
    """Raise what MLflow raises in the block as StoreError, or UnreachableStoreError where a retry may succeed.

    A server may answer anything, and MLflow's client then raises anything.
    """
    uri = without_credentials(settings.tracking_uri)
    try:
        yield
    except ImportError as error:
        driver = error.name or "its driver"
        raise StoreError(
            f"the tracking store {uri} takes a package that is not here: {driver}", f"for example: pip install {driver}"
        ) from error
    except Exception as error:
        if not isinstance(error, _expected(settings)):
            raise
        if (untrusted := _UNTRUSTED.search(str(error))) is not None:
            raise StoreError(
                f"the certificate of the tracking store {uri} is not trusted: {untrusted[1]}",
                f"name the one to trust: {CERTIFICATE_VARIABLE}=FILE, or check --tracking-uri",
            ) from error
        if (why := _outage(error)) is not None:
            raise UnreachableStoreError(f"the tracking store {uri} does not answer: {why}", CHECK_STORE) from error
        if (found := _STATUS.search(str(error))) is not None:
            status = found[1] or found[2] or found[3]
            if status in _DENIED:
                raise _denied(status, settings, str(error)) from error
            raise StoreError(
                f"the tracking store {uri} answers with HTTP status {status}",
                "check --tracking-uri (or MLFLOW_TRACKING_URI)",
            ) from error
        first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        reason = without_credentials(first)[:200]
        raise StoreError(f"the tracking store {uri} does not answer as it should: {reason}", CHECK_STORE) from error


def _expected(settings: StoreSettings) -> tuple[type[Exception], ...]:
    """What a store's use may raise. Packages that are not imported have raised nothing, and are not imported for it."""
    kinds: list[type[Exception]] = [OSError]
    for module, name in _RAISING.items():
        if module in sys.modules:
            kinds.append(getattr(sys.modules[module], name))
    if settings.sqlite_file is None:
        kinds += [ValueError, TypeError, KeyError, AttributeError]
    return tuple(kinds)


_RAISING = {
    "mlflow.exceptions": "MlflowException",
    "sqlalchemy.exc": "SQLAlchemyError",
    "google.protobuf.json_format": "Error",
}


def _denied(status: str, settings: StoreSettings, answer: str) -> DeniedStoreError:
    """Why the store refuses: it does not know the user (401), or the user may not do this there (403)."""
    uri = without_credentials(settings.tracking_uri)
    name = os.environ.get(USER_VARIABLE)
    user = shown(name) if name else "the user in its address" if uri != settings.tracking_uri else ""
    if status == "401":
        seen = f"does not know {user} with this password" if user else "asks for a name and a password"
        return DeniedStoreError(
            f"the tracking store {uri} {seen}: HTTP status 401", f"{SIGN_IN}, or check --tracking-uri"
        )
    if "Invalid Host header" in answer:
        return DeniedStoreError(
            f"the tracking store {uri} does not go by this name: HTTP status 403",
            "start it with this host among those of mlflow server --allowed-hosts, or check --tracking-uri",
        )
    return DeniedStoreError(
        f"the tracking store {uri} does not permit this to {user or 'a user without a name'}: HTTP status 403",
        "ask its administrator for READ (to see) or EDIT (to write) on the experiment "
        f"{shown(settings.experiment)} or the registered model",
        f"or write to one of your own with --experiment; check --tracking-uri and {USER_VARIABLE} too",
    )


USER_VARIABLE = "MLFLOW_TRACKING_USERNAME"
CERTIFICATE_VARIABLE = "MLFLOW_TRACKING_SERVER_CERT_PATH"
SIGN_IN = f"sign in with {USER_VARIABLE} and MLFLOW_TRACKING_PASSWORD"
_DENIED = ("401", "403")
_UNTRUSTED = re.compile(r"certificate verify failed: ([^()]{1,120}?)\.? *\(", re.IGNORECASE)
_STATUS = re.compile(r"error code (\d{3}) != 200|too many (\d{3}) error responses|\b(\d{3}) (?:Client|Server) Error: ")
_OUTAGES = {
    "database is locked": "another process holds its database",
    "connection refused": "connection refused",
    "timed out": "no answer in time",
    "name resolution": "its host is unknown",
    "failed to resolve": "its host is unknown",
    "could not connect": "no connection",
    "connection aborted": "the connection broke",
    "failed with exception": "no connection",
}


def _outage(error: BaseException) -> str | None:
    """Why the store does not answer now, where a retry may succeed; None for any other error."""
    text = str(error).lower()
    if "error responses" in text:
        return None
    return next((why for sign, why in _OUTAGES.items() if sign in text), None)
