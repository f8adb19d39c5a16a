"""Opens a store for reading. Errors of MLflow, SQLAlchemy and requests become ours here, and nowhere else in view/."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

from langchain_autotrace import destination
from langchain_autotrace.errors import AutotraceError, SinkUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlflow import MlflowClient

PROBE_SECONDS: Final = 3.0
"""How long a server may take to answer at all. MLflow itself would go on trying for minutes."""

_PORTS: Final = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}

_ERRNO: Final = re.compile(r"\[Errno -?\d+\] ([\w ]+)")

Schema = Literal["current", "older", "newer", "none"]


@contextlib.contextmanager
def reading(uri: str) -> Iterator[MlflowClient]:
    """MLflow's client of the store ``uri``. A new SQLite file would be created: see ``destination.sqlite_path``.

    Raises:
        DestinationError: no store can be there.
        SinkUnavailable: the store is down, or is one of another MLflow version.
    """
    destination.check(uri)
    probe(uri)
    import requests  # noqa: PLC0415 - slow, and only reading needs them
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
    """Ask whether there is a server at all, where ``uri`` names one.

    Raises:
        SinkUnavailable: nobody answers.
    """
    parts = urlsplit(uri)
    dialect = parts.scheme.partition("+")[0].lower()
    try:
        if dialect in {"http", "https"}:
            _probe_http(uri)
        elif dialect in _PORTS and parts.hostname:
            address = (parts.hostname, parts.port or _PORTS[dialect])
            socket.create_connection(address, timeout=PROBE_SECONDS).close()
    except OSError as error:  # those of requests are OSErrors too
        msg = f"{destination.without_password(uri)}: nobody answers ({_network_reason(error)})."
        raise SinkUnavailable(msg) from error


def _network_reason(error: OSError) -> str:
    """What the system said; requests wraps it in three layers of names."""
    if "timed out" in str(error).lower():
        return f"no answer within {PROBE_SECONDS:.0f} s"
    found = _ERRNO.search(str(error))
    return found[1] if found else reason(error)


def _probe_http(uri: str) -> None:
    import requests  # noqa: PLC0415 - slow, and only servers need it

    # Any answer will do: a server behind a proxy may refuse this page and take traces.
    with contextlib.suppress(requests.exceptions.SSLError):
        requests.get(f"{uri.rstrip('/')}/health", timeout=PROBE_SECONDS)


def schema(path: Path) -> tuple[Schema, str]:
    """How the schema of an SQLite file stands to the installed MLflow, and the file's revision.

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
    """What mends a schema that the installed MLflow does not take."""
    if state == "newer":
        return "a newer MLflow made it: pip install --upgrade mlflow-skinny"
    return f"an older MLflow made it: back it up, then run: mlflow db upgrade {destination.without_password(uri)}"


def reason(error: BaseException) -> str:
    """The first line that says something, and never a password."""
    strerror = getattr(error, "strerror", None)
    if strerror:
        return str(strerror)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = destination.without_password(lines[0][:300]) if lines else ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _revision(path: Path) -> str | None:
    """The schema's revision as MLflow notes it; None where MLflow has made no tables yet."""
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
        msg = f"{path} cannot be read ({reason(error)})."
        raise SinkUnavailable(msg) from error


def _explain(uri: str, error: Exception) -> str:
    public = destination.without_password(uri)
    path = destination.sqlite_path(uri)
    if "out-of-date database schema" in str(error):
        state: Schema = schema(path)[0] if path else "older"
        return f"{public} does not fit the installed MLflow; {schema_fix(uri, state)}"
    if isinstance(error, ImportError):
        return f"{public}: {error}. pip install what is missing."
    return f"{public}: {reason(error)}"


def quiet() -> dict[str, str]:
    """MLflow's settings for a command that a person waits for; those of the environment come first."""
    wanted = {
        "MLFLOW_DISABLE_TELEMETRY": "true",  # the program did not make these calls
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # MLflow's 7 take four minutes
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    }
    return {name: value for name, value in wanted.items() if name not in os.environ}
