"""Map the errors of MLflow, SQLAlchemy and requests to ``SinkUnavailable`` and ``TraceRejected``."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import sqlalchemy.exc
from mlflow.exceptions import MlflowException

from langchain_autotrace.errors import (
    CredentialsRefused,
    PermissionRefused,
    SinkError,
    SinkUnavailable,
    TraceRejected,
)
from langchain_autotrace.redaction import error_line, without_password
from langchain_autotrace.ship.store_faults import fault_of, http_status

if TYPE_CHECKING:
    from collections.abc import Iterator

_CONTENT_CODES: Final = ("INVALID_PARAMETER_VALUE", "MALFORMED_REQUEST", "INVALID_STATE", "DATA_LOSS", "BAD_REQUEST")
"""MLflow's error codes that blame the content, not the store (``mlflow.protos.databricks_pb2``)."""
_NOT_FOUND: Final = frozenset({"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"})
_CONTENT_STATUSES: Final = (400, 413, 422)
_CONTENT_ERRORS: Final = (ValueError, TypeError, LookupError, ArithmeticError, RecursionError)
"""Python exceptions that blame a value: a NUL in a string, a number too large for the database."""


@contextmanager
def mapped_errors(uri: str) -> Iterator[None]:
    """Raise exceptions of the block as errors of this package.

    Args:
        uri: the tracking URI, for the message.

    Raises:
        CredentialsRefused: the store refuses the user.
        SinkUnavailable: the store is down or busy. Also raised for every unknown error: a needless retry is better than
            a needless rejection.
        TraceRejected: the store refuses the content.
    """
    try:
        yield
    except SinkError:
        raise
    except Exception as error:
        if blames_content(error):
            raise TraceRejected(error_line(error)) from error
        raise unavailable(uri, error) from error


def unavailable(uri: str, error: Exception) -> SinkUnavailable:
    """Return the error that says why a store fails, with what to do about it where that is known."""
    fault, public = fault_of(error), without_password(uri)
    if fault is None:
        return SinkUnavailable(f"{public}: {error_line(error)}")
    kind = {401: CredentialsRefused, 403: PermissionRefused}.get(fault.status or 0, SinkUnavailable)
    return kind(f"{public}: {fault.reason}. {fault.fix}.")


def is_not_found(error: BaseException | None) -> bool:
    """Return whether MLflow says that what was asked for does not exist."""
    return isinstance(error, MlflowException) and error.error_code in _NOT_FOUND


def blames_content(error: Exception) -> bool:
    """Return whether the store refuses the content for good: a retry would not help."""
    status = http_status(error)
    if status is not None:
        return status in _CONTENT_STATUSES
    if isinstance(error, MlflowException):
        return _mlflow_blames_content(error)
    if isinstance(error, sqlalchemy.exc.SQLAlchemyError):
        return _blames_row(error)
    # Errors of requests are OSErrors, and some are ValueErrors as well: an invalid address, not a bad trace.
    return isinstance(error, _CONTENT_ERRORS) and not isinstance(error, OSError)


def _mlflow_blames_content(error: MlflowException) -> bool:
    cause = error.__cause__
    if isinstance(cause, sqlalchemy.exc.SQLAlchemyError):
        # MLflow reports every database error as a bad request, even a missing table or permission.
        return _blames_row(cause)
    return isinstance(cause, _CONTENT_ERRORS) or error.error_code in _CONTENT_CODES


def _blames_row(error: sqlalchemy.exc.SQLAlchemyError) -> bool:
    if isinstance(error, sqlalchemy.exc.DBAPIError):
        return isinstance(error, sqlalchemy.exc.DataError | sqlalchemy.exc.IntegrityError)
    return isinstance(error, sqlalchemy.exc.StatementError) and isinstance(error.orig, _CONTENT_ERRORS)
