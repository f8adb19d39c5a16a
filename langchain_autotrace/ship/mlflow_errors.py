"""MLflow's, SQLAlchemy's and requests' errors as the two that the shipper knows."""

from __future__ import annotations

import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import requests
import sqlalchemy.exc
from mlflow.exceptions import MlflowException

from langchain_autotrace.destination import without_password
from langchain_autotrace.errors import SinkError, SinkUnavailable, TraceRejected

if TYPE_CHECKING:
    from collections.abc import Iterator

_REFUSED: Final = ("INVALID_PARAMETER_VALUE", "MALFORMED_REQUEST", "INVALID_STATE", "DATA_LOSS", "BAD_REQUEST")
"""MLflow's error codes that speak of the content and not of the store (``mlflow.protos.databricks_pb2``)."""
_REFUSED_HTTP: Final = (400, 413, 422)
_OF_CONTENT: Final = (ValueError, TypeError, LookupError, ArithmeticError, RecursionError)
"""What Python raises of a value: a NUL in a text, a number that the database has no room for."""
_MAX_REASON: Final = 500


@contextmanager
def mapped_errors(uri: str) -> Iterator[None]:
    """Raise what is raised in the block as the shipper's errors.

    Raises:
        SinkUnavailable: the store is down, busy, or refuses the credentials; and all that is not known to be otherwise,
            because a trace that is kept without need is better than one that is set aside without need.
        TraceRejected: the store refuses the content.
    """
    try:
        yield
    except SinkError:
        raise
    except Exception as error:
        if _speaks_of_content(error):
            raise TraceRejected(reason(error)) from error
        msg = f"{without_password(uri)}: {reason(error)}"
        raise SinkUnavailable(msg) from error


def reason(error: BaseException) -> str:
    """The error in one line, without passwords."""
    lines = [line for line in without_password(str(error)).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:_MAX_REASON] if lines else ''}"


def _speaks_of_content(error: Exception) -> bool:
    status = _http_status(error)
    if status is not None:
        return status in _REFUSED_HTTP
    if isinstance(error, MlflowException):
        return _is_refusal(error)
    if isinstance(error, sqlalchemy.exc.SQLAlchemyError):
        return _is_of_row(error)
    # requests' errors are OSErrors, and some of them ValueErrors too: a bad address, not a bad trace.
    return isinstance(error, _OF_CONTENT) and not isinstance(error, OSError)


def _is_refusal(error: MlflowException) -> bool:
    cause = error.__cause__
    if isinstance(cause, sqlalchemy.exc.SQLAlchemyError):
        # MLflow calls them all bad requests, a missing table or permission too.
        return _is_of_row(cause)
    return isinstance(cause, _OF_CONTENT) or error.error_code in _REFUSED


def _is_of_row(error: sqlalchemy.exc.SQLAlchemyError) -> bool:
    if isinstance(error, sqlalchemy.exc.DBAPIError):
        return isinstance(error, sqlalchemy.exc.DataError | sqlalchemy.exc.IntegrityError)
    return isinstance(error, sqlalchemy.exc.StatementError) and isinstance(error.orig, _OF_CONTENT)


def _http_status(error: BaseException) -> int | None:
    """The status of the server's answer. MLflow's exceptions do not keep it; the frames they passed hold the answer."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        for value in frame.f_locals.values():
            if isinstance(value, requests.Response):
                return value.status_code
    return None
