"""Opens a store for reading.

This is the only place in ``view/`` that turns errors of MLflow, SQLAlchemy and requests into this package's own.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from langchain_autotrace import destination
from langchain_autotrace.errors import AutotraceError, SinkUnavailable
from langchain_autotrace.redaction import error_line, without_password
from langchain_autotrace.ship.reach import check_answers
from langchain_autotrace.ship.schema import Schema, schema, settled_schema
from langchain_autotrace.ship.sqlite_file import open_to_read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlflow import MlflowClient

PROBE_SECONDS: Final = 3.0
"""How long a server may take to answer. MLflow's own retries take minutes."""

_INSTRUCTIONS: Final = 10_000
"""How often SQLite asks whether to go on, in its own instructions."""


@contextlib.contextmanager
def reading(uri: str) -> Iterator[MlflowClient]:
    """Yield an MLflow client for the store at ``uri``, and convert errors raised within the block.

    It waits while another process is making the tables of an SQLite file. MLflow creates a file that does not exist,
    and tables that are missing: check with :func:`exists` first.

    Raises:
        DestinationError: there can be no store at ``uri``.
        SinkUnavailable: the store is down, or its schema is of another MLflow version.
    """
    destination.check(uri, writes=False)
    probe(uri)
    exists(uri)
    import requests  # noqa: PLC0415 - slow to import, and only needed here
    import sqlalchemy.exc  # noqa: PLC0415
    from mlflow import MlflowClient  # noqa: PLC0415
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    from langchain_autotrace.ship.server_client import ServerClient  # noqa: PLC0415 - imports MLflow

    try:
        client = MlflowClient(uri)
        client._tracing_client = ServerClient(uri)  # noqa: SLF001 - reads spans and files that a server keeps as artifacts
        yield client
    except AutotraceError:
        raise
    except (MlflowException, sqlalchemy.exc.SQLAlchemyError, requests.RequestException, OSError, ImportError) as error:
        raise SinkUnavailable(_explain(uri, error)) from error


@contextlib.contextmanager
def explained(uri: str, kind: type[Exception]) -> Iterator[None]:
    """Convert the errors that a database's driver raises within the block.

    Args:
        uri: the tracking URI of the database.
        kind: the base class of the driver's errors.

    Raises:
        SinkUnavailable: the database failed.
    """
    try:
        yield
    except kind as error:
        import sqlalchemy.exc  # noqa: PLC0415 - slow, but only where something is wrong

        wrapped = sqlalchemy.exc.DBAPIError.instance(None, None, error, kind)
        raise SinkUnavailable(_explain(uri, wrapped)) from error


def exists(uri: str) -> bool:
    """Return whether there is something to read at ``uri``: False for an SQLite file that is missing or has no tables.

    Raises:
        SinkUnavailable: the file cannot be read as a database, or stays locked.
    """
    path = destination.sqlite_path(uri)
    try:
        return path is None or (path.exists() and settled_schema(uri) != "none")
    except SinkUnavailable as error:
        if not isinstance(error.__cause__, Exception):
            raise
        raise SinkUnavailable(_explain(uri, error.__cause__)) from error.__cause__


def probe(uri: str) -> None:
    """Check that the server answers, if ``uri`` names one.

    Raises:
        SinkUnavailable: the server does not answer.
    """
    check_answers(uri, timeout=PROBE_SECONDS)


def schema_fix(uri: str, state: Schema) -> str:
    """Return the advice for a schema that the installed MLflow cannot use; ``state`` is ``newer`` or ``older``."""
    if state == "newer":
        return "it was created by a newer MLflow: pip install --upgrade mlflow-skinny"
    return f"it was created by an older MLflow: back it up, then run: mlflow db upgrade {without_password(uri)}"


def integrity(path: Path) -> None:
    """Check an SQLite file for damage, for a few seconds at most.

    Raises:
        SinkUnavailable: the file is damaged.
    """
    ends_at = time.monotonic() + PROBE_SECONDS
    try:
        with contextlib.closing(open_to_read(path, timeout=PROBE_SECONDS)) as connection:
            connection.set_progress_handler(lambda: time.monotonic() > ends_at, _INSTRUCTIONS)
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise sqlite3.DatabaseError("database disk image is malformed")
    except sqlite3.Error as error:
        if "interrupted" in str(error):
            return
        msg = f"{path} cannot be read ({error_line(error)})."
        raise SinkUnavailable(msg) from error


def _explain(uri: str, error: Exception) -> str:
    from langchain_autotrace.ship.store_faults import fault_of  # noqa: PLC0415 - imports MLflow

    public = without_password(uri)
    path = destination.sqlite_path(uri)
    if "out-of-date database schema" in str(error):
        state: Schema = schema(path)[0] if path else "older"
        return f"{public} has a schema that the installed MLflow does not support; {schema_fix(uri, state)}"
    fault = fault_of(error)
    if fault is not None:
        return f"{public}: {fault.reason}. {fault.fix}."
    if isinstance(error, ImportError):
        return f"{public}: {error}. Install the missing package with pip."
    return f"{public}: {error_line(error)}"


def quiet() -> dict[str, str]:
    """Return MLflow settings (environment variables) for interactive commands, except those already set."""
    wanted = {
        "MLFLOW_DISABLE_TELEMETRY": "true",  # the calls are the command's, not the user's program's
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # MLflow's 7 take four minutes
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    }
    return {name: value for name, value in wanted.items() if name not in os.environ}
