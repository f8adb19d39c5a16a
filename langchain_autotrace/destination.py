"""Where traces go: MLflow tracking URIs, read without importing MLflow, which is slow to import."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import sys
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from langchain_autotrace.errors import DestinationError

DEFAULT_URI: Final = "sqlite:///mlflow.db"
"""MLflow's own default since 3.7."""

_DRIVERS: Final = {"postgresql": "psycopg2", "mysql": "MySQLdb", "mssql": "pyodbc"}
"""What SQLAlchemy imports when the URI names no driver (SQLAlchemy, "Engine Configuration")."""

_REMOTE: Final = ("http", "https", "databricks")
_SQLITE_MAGIC: Final = b"SQLite format 3\x00"
_PASSWORD: Final = re.compile(r"(?<=://)([^/@:]*):[^/@]*@")


def default_uri() -> str:
    """The tracking URI of this process, by MLflow's own order: its setting, its environment variable, its default."""
    mlflow = sys.modules.get("mlflow")
    if mlflow is not None and hasattr(mlflow, "is_tracking_uri_set") and mlflow.is_tracking_uri_set():
        return str(mlflow.get_tracking_uri())
    return os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI


def default_experiment() -> tuple[str | None, str | None]:
    """Name and id of the experiment this process has chosen in MLflow or its environment; each may be ``None``."""
    fluent = sys.modules.get("mlflow.tracking.fluent")
    chosen = getattr(fluent, "_active_experiment_id", None)
    if chosen:
        return None, str(chosen)
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or None
    return name, None if name else os.environ.get("MLFLOW_EXPERIMENT_ID") or None


def normalized(uri: str) -> str:
    """``uri`` with a relative SQLite path made absolute, so that it still names the same file after a ``chdir``."""
    scheme, separator, path = uri.partition(":///")
    if separator and _dialect(scheme) == "sqlite" and path and not path.startswith("file:"):
        name, mark, query = path.partition("?")
        return f"{scheme}:///{Path(name).absolute()}{mark}{query}"
    return uri


def without_password(uri: str) -> str:
    """``uri`` as it may be written to disk and shown: the password of ``user:password@`` replaced by ``***``."""
    return _PASSWORD.sub(r"\1:***@", uri)


def slug(uri: str) -> str:
    """A folder name that tells a person which destination it is, and no two destinations apart only by chance."""
    public = without_password(uri)
    digest = hashlib.sha256(public.encode()).hexdigest()[:12]
    parts = urlsplit(public)
    host = f"{parts.hostname or ''}{f'-{parts.port}' if parts.port else ''}"
    words = [_dialect(parts.scheme) or "file", host, Path(parts.path).name]
    readable = re.sub(r"[^A-Za-z0-9.]+", "-", "-".join(word for word in words if word))
    return f"{readable.strip('-.')[:48]}-{digest}"


def check(uri: str) -> None:
    """Look for what would make every trace sent to ``uri`` be lost, without touching the network.

    Raises:
        DestinationError: the scheme is unknown, a file store has not been opted into, the folder of an SQLite file
            cannot be written, the file is no database, or the database driver is not installed.
    """
    scheme = urlsplit(uri).scheme
    dialect = _dialect(scheme)
    if dialect == "sqlite":
        _check_sqlite(uri)
    elif dialect in _DRIVERS:
        _check_driver(uri, scheme)
    elif dialect in {"", "file"} or len(dialect) == 1:
        _check_file_store(uri)
    elif dialect not in _REMOTE and uri != "databricks":
        known = ", ".join(("sqlite", *_DRIVERS, *_REMOTE))
        msg = f"tracking_uri {without_password(uri)!r}: unknown scheme {scheme!r}. Use one of {known}."
        raise DestinationError(msg)


def _dialect(scheme: str) -> str:
    return scheme.partition("+")[0].lower()


def _check_sqlite(uri: str) -> None:
    path = sqlite_path(uri)
    if path is None:
        msg = f"tracking_uri {uri!r}: an in-memory database ends with the process. Use {DEFAULT_URI!r}."
        raise DestinationError(msg)
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        msg = f"tracking_uri {uri!r}: {path} cannot be written. Create the folder, or choose a file you may write."
        raise DestinationError(msg)
    if path.exists() and path.stat().st_size:
        with path.open("rb") as file:
            magic = file.read(len(_SQLITE_MAGIC))
        if magic != _SQLITE_MAGIC:
            msg = f"tracking_uri {uri!r}: {path} is not an SQLite database. Choose another file name."
            raise DestinationError(msg)


def sqlite_path(uri: str) -> Path | None:
    """The file of an SQLite URI; ``None`` for a database in memory or another kind of URI."""
    scheme, separator, rest = uri.partition(":///")
    name = rest.partition("?")[0]
    if not separator or _dialect(scheme) != "sqlite" or name in {"", ":memory:"} or name.startswith("file::memory:"):
        return None
    return Path(name.removeprefix("file:"))


def _check_driver(uri: str, scheme: str) -> None:
    dialect, _, named = scheme.partition("+")
    driver = named or _DRIVERS[dialect.lower()]
    if importlib.util.find_spec(driver) is None:
        msg = f"tracking_uri {without_password(uri)!r}: the driver {driver!r} is not installed. pip install it."
        raise DestinationError(msg)


def _check_file_store(uri: str) -> None:
    if not uri:
        msg = f"tracking_uri is empty. Use {DEFAULT_URI!r} for a file in the working folder."
        raise DestinationError(msg)
    if os.environ.get("MLFLOW_ALLOW_FILE_STORE", "").lower() not in {"true", "1"}:
        msg = (
            f"tracking_uri {uri!r} is a file store, which MLflow refuses: every trace would be lost. "
            f"Use {DEFAULT_URI!r}, or opt in with MLFLOW_ALLOW_FILE_STORE=true."
        )
        raise DestinationError(msg)
