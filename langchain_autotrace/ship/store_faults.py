"""Recognizes why a store fails, in the errors of MLflow, SQLAlchemy and requests, and says what to do."""

from __future__ import annotations

import errno
import re
import sqlite3
import traceback
from typing import Final, NamedTuple

import requests
import sqlalchemy.exc
from mlflow.exceptions import MlflowException

from langchain_autotrace.redaction import error_line

_UNAUTHORIZED: Final = 401
_FORBIDDEN: Final = 403
_CODES: Final = {
    "UNAUTHENTICATED": _UNAUTHORIZED,
    "CUSTOMER_UNAUTHORIZED": _UNAUTHORIZED,
    "PERMISSION_DENIED": _FORBIDDEN,
}
"""MLflow's error codes (``mlflow.protos.databricks_pb2``) -> HTTP status."""
_SERVER_FIX: Final = "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"

_REFUSED_USER: Final = re.compile(
    r"password authentication failed|no password supplied|Access denied for user|Login failed for user", re.IGNORECASE
)
"""Messages of PostgreSQL, MySQL and SQL Server."""


class Fault(NamedTuple):
    """Why a store fails."""

    reason: str
    fix: str
    """What the user can do."""
    status: int | None = None
    """401 when the store refuses the credentials, 403 when the user lacks permission; None for other faults."""


_MOVE_AWAY: Final = "Restore the file from a backup, or move it away: a new one is created with the next trace"
_SQLITE: Final = {
    "file is not a database": Fault("the file is not an SQLite database, or is corrupt", _MOVE_AWAY),
    "database disk image is malformed": Fault("the file is corrupt or was cut short", _MOVE_AWAY),
    "database is locked": Fault(
        "another program keeps the database locked", "Wait for it or end it; to find it, run: fuser"
    ),
    "attempt to write a readonly database": Fault(
        "the file, or its folder, cannot be written", "Make the file and its folder writable for this user"
    ),
    "unable to open database file": Fault(
        "the file cannot be opened", "Create its folder, and make the file and the folder writable for this user"
    ),
    "database or disk is full": Fault("the disk of the database is full", "Free disk space"),
}
"""Messages of SQLite, which has no other way to tell them apart under MLflow."""
_FULL: Final = _SQLITE["database or disk is full"]


def fault_of(error: BaseException) -> Fault | None:
    """Return what is wrong with the store; None when it is none of the known faults."""
    status = _refused_status(error)
    if status == _UNAUTHORIZED:
        return Fault("the server refuses the credentials (HTTP 401)", _SERVER_FIX, status)
    if status == _FORBIDDEN:
        fix = "Have the user given permission to write to the experiment, or use another user's credentials"
        return Fault(f"the server refuses permission (HTTP 403: {error_line(error)})", fix, status)
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return _FULL
    return _database_fault(error)


def http_status(error: BaseException) -> int | None:
    """Return the HTTP status of the server's response; None when there was none.

    MLflow's exceptions do not have it, but the frames of their traceback still hold the response.
    """
    for frame, _ in traceback.walk_tb(error.__traceback__):
        for value in frame.f_locals.values():
            if isinstance(value, requests.Response):
                return value.status_code
    return None


def _refused_status(error: BaseException) -> int | None:
    status = http_status(error)
    if status is None and isinstance(error, MlflowException):
        status = _CODES.get(error.error_code)
    return status if status in {_UNAUTHORIZED, _FORBIDDEN} else None


def _database_fault(error: BaseException) -> Fault | None:
    cause = error.__cause__ if isinstance(error, MlflowException) else error
    if not isinstance(cause, sqlalchemy.exc.DBAPIError | sqlite3.Error):
        return None
    text = str(cause.orig if isinstance(cause, sqlalchemy.exc.DBAPIError) else cause)
    if _REFUSED_USER.search(text):
        fix = "Set MLFLOW_TRACKING_URI to the URI with the right password"
        return Fault(f"the database refuses the user ({error_line(cause)})", fix, _UNAUTHORIZED)
    return next((fault for message, fault in _SQLITE.items() if message in text), None)
