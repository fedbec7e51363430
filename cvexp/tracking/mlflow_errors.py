"""What MLflow, its database and its server raise, as errors of one readable line."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

from cvexp.errors import StoreError, UnreachableStoreError
from cvexp.redaction import without_credentials
from cvexp.tracking.checks import CHECK_STORE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cvexp.settings import StoreSettings


@contextlib.contextmanager
def translated(settings: StoreSettings) -> Iterator[None]:
    """Raise what MLflow raises in the block as StoreError, or UnreachableStoreError where a retry may succeed.

    A server may answer anything, and MLflow's client then raises anything.
    """
    from google.protobuf.json_format import Error as AnswerError  # type: ignore[import-untyped]  # carries no types
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    expected: tuple[type[Exception], ...] = (MlflowException, SQLAlchemyError, OSError)
    if settings.sqlite_file is None:
        expected += (AnswerError, ValueError, TypeError, KeyError, AttributeError)
    uri = without_credentials(settings.tracking_uri)
    try:
        yield
    except ImportError as error:
        driver = error.name or "its driver"
        raise StoreError(
            f"the tracking store {uri} takes a package that is not here: {driver}", f"for example: pip install {driver}"
        ) from error
    except expected as error:
        if (why := _outage(error)) is not None:
            raise UnreachableStoreError(f"the tracking store {uri} does not answer: {why}", CHECK_STORE) from error
        if (found := _STATUS.search(str(error))) is not None:
            status = found[1] or found[2]
            sign_in = "sign in with MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "
            raise StoreError(
                f"the tracking store {uri} answers with HTTP status {status}",
                f"{sign_in if status in _DENIED else ''}check --tracking-uri (or MLFLOW_TRACKING_URI)",
            ) from error
        first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        reason = without_credentials(first)[:200]
        raise StoreError(f"the tracking store {uri} does not answer as it should: {reason}", CHECK_STORE) from error


_DENIED = ("401", "403")
_STATUS = re.compile(r"error code (\d{3}) != 200|too many (\d{3}) error responses")
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
