"""Other libraries' errors as the two that the shipper knows."""

from __future__ import annotations

import sqlite3

import pytest
import requests
import sqlalchemy.exc
from mlflow.exceptions import MlflowException
from mlflow.protos import databricks_pb2 as codes

from langchain_autotrace.errors import SinkError, SinkUnavailable, TraceRejected
from langchain_autotrace.ship.mlflow_errors import mapped_errors

URI = "postgresql://me:s3cret@host/db"


def of_database(kind: type[sqlalchemy.exc.DBAPIError], code: int) -> MlflowException:
    """An error as MLflow's database session raises it."""
    cause = kind("INSERT", {}, sqlite3.Error("the reason\nand more"))
    error = MlflowException(str(cause), error_code=code)
    error.__cause__ = cause
    return error


def caused_by(cause: Exception) -> MlflowException:
    """An error as MLflow's database session raises it for what Python raises of a value."""
    error = MlflowException(str(cause), error_code=codes.INTERNAL_ERROR)
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        MlflowException("x", error_code=codes.INVALID_PARAMETER_VALUE),
        MlflowException("x", error_code=codes.INVALID_STATE),
        of_database(sqlalchemy.exc.DataError, codes.BAD_REQUEST),
        of_database(sqlalchemy.exc.IntegrityError, codes.BAD_REQUEST),
        caused_by(OverflowError("too large for SQLite")),
        caused_by(ValueError("a string literal cannot contain NUL")),
        caused_by(UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed")),
        caused_by(sqlalchemy.exc.StatementError("x", "INSERT", {}, TypeError("bad value"))),
        sqlalchemy.exc.DataError("INSERT", {}, sqlite3.Error("x")),
        ValueError("x"),
        TypeError("x"),
        KeyError("x"),
        RecursionError("x"),
    ],
)
def test_a_fault_of_the_content(error: Exception) -> None:
    """An error that speaks of what was written refuses the trace."""
    with pytest.raises(TraceRejected) as refused, mapped_errors(URI):
        raise error

    assert refused.value.__cause__ is error


@pytest.mark.parametrize(
    "error",
    [
        MlflowException("x"),
        MlflowException("x", error_code=codes.TEMPORARILY_UNAVAILABLE),
        MlflowException("x", error_code=codes.PERMISSION_DENIED),
        MlflowException("x", error_code=codes.RESOURCE_DOES_NOT_EXIST),
        MlflowException("x", error_code=codes.NOT_IMPLEMENTED),
        of_database(sqlalchemy.exc.OperationalError, codes.TEMPORARILY_UNAVAILABLE),
        of_database(sqlalchemy.exc.ProgrammingError, codes.BAD_REQUEST),
        of_database(sqlalchemy.exc.InterfaceError, codes.BAD_REQUEST),
        caused_by(MemoryError()),
        sqlalchemy.exc.TimeoutError("no connection left"),
        requests.ConnectionError("x"),
        requests.exceptions.InvalidURL("x"),
        requests.exceptions.JSONDecodeError("x", "", 0),
        ImportError("no driver"),
        OSError("x"),
        NotImplementedError("x"),
        RuntimeError("never seen"),
    ],
)
def test_a_fault_of_the_store(error: Exception) -> None:
    """Any other error is the store's, and keeps the trace."""
    with pytest.raises(SinkUnavailable, match=r"^postgresql://me:\*\*\*@host/db: ") as refused, mapped_errors(URI):
        raise error

    assert refused.value.__cause__ is error


@pytest.mark.parametrize("error", [SinkUnavailable("as it is"), TraceRejected("as it is")])
def test_our_own(error: SinkError) -> None:
    """What is one of the two already stays as it is."""
    with pytest.raises(SinkError) as raised, mapped_errors(URI):
        raise error

    assert raised.value is error


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "RuntimeError"),
        ("\n\n  first\nsecond", "RuntimeError: first"),
        (f"cannot reach {URI} now", "RuntimeError: cannot reach postgresql://me:***@host/db now"),
        (f"{'x' * 490} {URI}", f"RuntimeError: {'x' * 490} postgresq"),
        (
            "API request to http://me:s3cret@host:5000/api failed",
            "RuntimeError: API request to http://me:***@host:5000/api failed",
        ),
    ],
)
def test_reasons(text: str, reason: str) -> None:
    """A reason is one line of bounded length, without passwords."""
    with pytest.raises(SinkUnavailable) as refused, mapped_errors("sqlite:///a.db"):
        raise RuntimeError(text)

    assert str(refused.value) == f"sqlite:///a.db: {reason}"
