"""Opens a store for reading.

This is the only place in ``view/`` that turns errors of MLflow, SQLAlchemy and requests into this package's own.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Final

from langchain_autotrace import destination
from langchain_autotrace.errors import AutotraceError, SinkUnavailable
from langchain_autotrace.redaction import error_line, without_password
from langchain_autotrace.ship.reach import check_answers
from langchain_autotrace.ship.schema import Schema, schema, settled_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlflow import MlflowClient

PROBE_SECONDS: Final = 3.0
"""How long a server may take to answer. MLflow's own retries take minutes."""


@contextlib.contextmanager
def reading(uri: str) -> Iterator[MlflowClient]:
    """Yield an MLflow client for the store at ``uri``, and convert errors raised within the block.

    It waits while another process is making the tables of an SQLite file. MLflow creates a file that does not exist,
    and tables that are missing: check with :func:`exists` first.

    Raises:
        DestinationError: there can be no store at ``uri``.
        SinkUnavailable: the store is down, or its schema is of another MLflow version.
    """
    destination.check(uri)
    probe(uri)
    exists(uri)
    import requests  # noqa: PLC0415 - slow to import, and only needed here
    import sqlalchemy.exc  # noqa: PLC0415
    from mlflow import MlflowClient  # noqa: PLC0415
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    try:
        yield MlflowClient(uri)
    except AutotraceError:
        raise
    except (MlflowException, sqlalchemy.exc.SQLAlchemyError, requests.RequestException, OSError, ImportError) as error:
        raise SinkUnavailable(_explain(uri, error)) from error


def exists(uri: str) -> bool:
    """Return whether there is something to read at ``uri``: False for an SQLite file that is missing or has no tables.

    Raises:
        SinkUnavailable: the file cannot be read as a database, or stays locked.
    """
    path = destination.sqlite_path(uri)
    return path is None or (path.exists() and settled_schema(uri) != "none")


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


def _explain(uri: str, error: Exception) -> str:
    public = without_password(uri)
    path = destination.sqlite_path(uri)
    if "out-of-date database schema" in str(error):
        state: Schema = schema(path)[0] if path else "older"
        return f"{public} has a schema that the installed MLflow does not support; {schema_fix(uri, state)}"
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
