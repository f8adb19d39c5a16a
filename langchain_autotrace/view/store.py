"""Opens a store for reading.

This is the only place in ``view/`` that turns errors of MLflow, SQLAlchemy and requests into this package's own.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from langchain_autotrace import destination
from langchain_autotrace.errors import AutotraceError, SinkUnavailable
from langchain_autotrace.redaction import error_line, without_password
from langchain_autotrace.ship.reach import check_answers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlflow import MlflowClient

PROBE_SECONDS: Final = 3.0
"""How long a server may take to answer. MLflow's own retries take minutes."""

Schema = Literal["current", "older", "newer", "none"]


@contextlib.contextmanager
def reading(uri: str) -> Iterator[MlflowClient]:
    """Yield an MLflow client for the store at ``uri``, and convert errors raised within the block.

    MLflow creates an SQLite file that does not exist: check with ``destination.sqlite_path`` first.

    Raises:
        DestinationError: there can be no store at ``uri``.
        SinkUnavailable: the store is down, or its schema is of another MLflow version.
    """
    destination.check(uri)
    probe(uri)
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


def probe(uri: str) -> None:
    """Check that the server answers, if ``uri`` names one.

    Raises:
        SinkUnavailable: the server does not answer.
    """
    check_answers(uri, timeout=PROBE_SECONDS)


def schema(path: Path) -> tuple[Schema, str]:
    """Compare the schema of an SQLite file with the installed MLflow's.

    Returns:
        ``current``, ``older`` or ``newer``, and the file's schema revision; ``none`` and an empty string if MLflow has
        created no tables yet.

    Raises:
        SinkUnavailable: the file cannot be read as a database.
    """
    import mlflow  # noqa: PLC0415 - a second of imports
    from alembic.script import ScriptDirectory  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    revision = _revision(path)
    if revision is None:
        return "none", ""
    scripts = ScriptDirectory(str(Path(mlflow.__file__).parent / "store" / "db_migrations"))
    if revision in scripts.get_heads():
        return "current", revision
    try:
        scripts.get_revision(revision)
    except CommandError:
        return "newer", revision
    return "older", revision


def schema_fix(uri: str, state: Schema) -> str:
    """Return the advice for a schema that the installed MLflow cannot use; ``state`` is ``newer`` or ``older``."""
    if state == "newer":
        return "it was created by a newer MLflow: pip install --upgrade mlflow-skinny"
    return f"it was created by an older MLflow: back it up, then run: mlflow db upgrade {without_password(uri)}"


def _revision(path: Path) -> str | None:
    """Return the schema revision that MLflow has recorded; None if MLflow has created no tables yet."""
    if not path.exists() or not path.stat().st_size:
        return None
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=PROBE_SECONDS)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if "alembic_version" not in tables:
                return None
            found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            return str(found[0]) if found else None
    except sqlite3.Error as error:
        msg = f"{path} cannot be read ({error_line(error)})."
        raise SinkUnavailable(msg) from error


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
