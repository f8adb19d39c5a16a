"""Parse and check MLflow tracking URIs, without importing MLflow, which is slow to import."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import re
import stat
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, Literal
from urllib.parse import unquote, urlsplit

from langchain_autotrace.errors import DestinationError
from langchain_autotrace.redaction import without_password

DEFAULT_URI: Final = "sqlite:///mlflow.db"
"""MLflow's default tracking URI since 3.7."""

_OLD_DEFAULT: Final = "./mlruns"
"""MLflow's default if this folder contains experiments (``mlflow.tracking._tracking_service.utils``)."""

_DATABASES: Final = ("postgresql", "mysql", "mssql")
_SERVERS: Final = ("http", "https")

_DRIVERS: Final = {
    "psycopg": ("psycopg", "psycopg[binary]"),
    "psycopg2": ("psycopg2", "psycopg2-binary"),
    "mysqldb": ("MySQLdb", "mysqlclient"),
    "mysqlconnector": ("mysql.connector", "mysql-connector-python"),
    "pymysql": ("pymysql", "pymysql"),
    "pyodbc": ("pyodbc", "pyodbc"),
}
"""SQLAlchemy's driver name -> module and package. The names of other drivers are all the same."""

_UNQUOTES: Final = (2, 1)
"""The version of SQLAlchemy since which it unquotes the path of an SQLite URI."""

_SQLITE_MAGIC: Final = b"SQLite format 3\x00"


def default_uri() -> str:
    """Return the tracking URI that MLflow would use: the one set in it, else its environment variable or default."""
    mlflow = sys.modules.get("mlflow")
    if mlflow is not None and hasattr(mlflow, "is_tracking_uri_set") and mlflow.is_tracking_uri_set():
        return str(mlflow.get_tracking_uri())
    if _file_stores_are_allowed() and any(Path(_OLD_DEFAULT).glob("[0-9]*/meta.yaml")):
        return os.environ.get("MLFLOW_TRACKING_URI") or _OLD_DEFAULT
    return os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI


def default_experiment() -> tuple[str | None, str | None]:
    """Return name and id of the experiment chosen in MLflow or its environment variables; one or both are None."""
    fluent = sys.modules.get("mlflow.tracking.fluent")
    chosen = getattr(fluent, "_active_experiment_id", None)
    if chosen:
        return None, str(chosen)
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or None
    return name, None if name else os.environ.get("MLFLOW_EXPERIMENT_ID") or None


def normalized(uri: str) -> str:
    """Return ``uri`` with a relative path made absolute, so that it stays valid after a ``chdir``."""
    scheme, separator, path = uri.partition(":///")
    if separator and _dialect(scheme) == "sqlite":
        name, question_mark, query = path.partition("?")
        prefix = "file:" if name.startswith("file:") else ""
        name = name.removeprefix("file:")
        if name in {"", ":memory:"} or Path(name).is_absolute():
            return uri
        # The name is quoted already if it has to be; the name of the working folder is not.
        folder = _quoted(str(Path.cwd()), is_file_uri=bool(prefix))
        return f"{scheme}:///{prefix}{Path(folder) / name}{question_mark}{query}"
    if uri and not separator and kind(uri) == "files":
        return Path(unquote(uri.removeprefix("file:"))).absolute().as_uri()
    return uri


def slug(uri: str) -> str:
    """Return a readable folder name, unique per destination (a hash of the URI is appended)."""
    public = without_password(uri)
    digest = hashlib.sha256(public.encode()).hexdigest()[:12]
    parts = urlsplit(public)
    host = f"{parts.hostname or ''}{f'-{parts.port}' if parts.port else ''}"
    words = [_dialect(parts.scheme) or ("file" if kind(uri) == "files" else ""), host, Path(parts.path).name]
    readable = re.sub(r"[^A-Za-z0-9.]+", "-", "-".join(word for word in words if word))
    return f"{readable.strip('-.')[:48]}-{digest}"


def check(uri: str, *, writes: bool = True) -> None:
    """Check that traces can be sent to ``uri``, without using the network.

    Args:
        uri: a tracking URI.
        writes: False checks only that traces can be read from it: an SQLite file may be read-only.

    Raises:
        DestinationError: the URI is invalid or its scheme unknown, MLflow does not allow a file store, an SQLite file
            or its folder cannot be written, the file is not a database, or the database driver is not installed.
    """
    public = without_password(uri)
    try:
        slug(uri)
        store_kind, scheme = kind(uri), urlsplit(public).scheme
    except ValueError as error:
        msg = f"tracking_uri {public!r} is not a valid URI ({error}). In a password, write / as %2F and @ as %40."
        raise DestinationError(msg) from None
    if store_kind == "sqlite":
        _check_sqlite(uri, writes=writes)
    elif store_kind == "database":
        _check_driver(public, scheme)
    elif store_kind == "files":
        _check_file_store(uri)
    elif store_kind is None:
        supported = ", ".join(("sqlite", *_DATABASES, *_SERVERS, "databricks"))
        msg = f"tracking_uri {public!r}: unknown scheme {scheme!r}. Use one of {supported}."
        raise DestinationError(msg)


def sqlite_path(uri: str) -> Path | None:
    """Return the file of an SQLite URI; None for an in-memory database or another kind of URI."""
    scheme, separator, rest = uri.partition(":///")
    name, _, query = rest.partition("?")
    if not separator or _dialect(scheme) != "sqlite":
        return None
    is_file_uri = name.startswith("file:")
    name = name.removeprefix("file:")
    if name in {"", ":memory:"} or "mode=memory" in query:
        return None
    for _ in range(_times_quoted(is_file_uri=is_file_uri)):
        name = unquote(name)
    return Path(name)


def _quoted(path: str, *, is_file_uri: bool) -> str:
    """Quote a path as SQLAlchemy unquotes it: ``?`` would begin the query, ``#`` the fragment of a file URI."""
    for _ in range(_times_quoted(is_file_uri=is_file_uri)):
        path = path.replace("%", "%25").replace("?", "%3F").replace("#", "%23")
    return path


def _times_quoted(*, is_file_uri: bool) -> int:
    """Return how often the path of an SQLite URI is unquoted: by SQLAlchemy since 2.1, and by SQLite for file URIs."""
    return int(_sqlalchemy_version() >= _UNQUOTES) + int(is_file_uri)


def kind(uri: str) -> Literal["sqlite", "database", "files", "server", "databricks"] | None:
    """Return the kind of store that ``uri`` names; None when MLflow does not support it."""
    dialect = _dialect(urlsplit(without_password(uri)).scheme)
    if uri == "databricks" or dialect == "databricks":
        return "databricks"
    if dialect in {"", "file"} or len(dialect) == 1:  # one letter is a Windows drive
        return "files"
    if dialect == "sqlite":
        return "sqlite"
    if dialect in _DATABASES:
        return "database"
    return "server" if dialect in _SERVERS else None


def _dialect(scheme: str) -> str:
    return scheme.partition("+")[0].lower()


def _check_sqlite(uri: str, *, writes: bool) -> None:
    path = sqlite_path(uri)
    if path is None:
        msg = f"tracking_uri {uri!r}: an in-memory database is lost when the process ends. Use {DEFAULT_URI!r}."
        raise DestinationError(msg)
    _check_access(uri, path, writes=writes and _is_writing(uri))
    if path.exists() and path.stat().st_size:
        with path.open("rb") as file:
            magic = file.read(len(_SQLITE_MAGIC))
        if magic != _SQLITE_MAGIC:
            msg = f"tracking_uri {uri!r}: {path} is not an SQLite database. Choose another file name."
            raise DestinationError(msg)


def _is_writing(uri: str) -> bool:
    return "mode=ro" not in uri.partition("?")[2]


def _check_access(uri: str, path: Path, *, writes: bool) -> None:
    """Raise :class:`DestinationError` when the file cannot be used; to write to it, SQLite needs its folder too."""
    found = _status(path)
    writable = os.access(path if found else path.parent, os.W_OK)
    is_folder = found is not None and stat.S_ISDIR(found.st_mode)
    if is_folder or _status(path.parent) is None or (writes and not writable):
        fix = "Create the folder, or choose a file that you can write to."
        msg = f"tracking_uri {uri!r}: cannot write to {path}. {fix}"
        raise DestinationError(msg)
    if writes and not os.access(path.parent, os.W_OK | os.X_OK):
        msg = (
            f"tracking_uri {uri!r}: cannot write to {path.parent}, where SQLite has its journal while it writes to "
            f"{path.name}. Make the folder writable, or choose a file in another one."
        )
        raise DestinationError(msg)
    if not os.access(path, os.R_OK) if found else _status(path.parent) and not os.access(path.parent, os.X_OK):
        msg = f"tracking_uri {uri!r}: cannot read {path}. Have its owner permit it, or choose another file."
        raise DestinationError(msg)


def _status(path: Path) -> os.stat_result | None:
    """Return the status of a file; None when there is none, or the user may not look."""
    try:
        return path.stat()
    except OSError:
        return None


def _check_driver(public: str, scheme: str) -> None:
    dialect, _, driver = scheme.lower().partition("+")
    driver = driver or {"postgresql": _default_for_postgresql(), "mysql": "mysqldb", "mssql": "pyodbc"}[dialect]
    module, package = _DRIVERS.get(driver, (driver, driver))
    try:
        found = importlib.util.find_spec(module)
    except ModuleNotFoundError:  # the parent package is missing
        found = None
    if found is None:
        msg = f"tracking_uri {public!r}: the driver {module!r} is not installed. Run: pip install '{package}'."
        raise DestinationError(msg)


def _default_for_postgresql() -> str:
    """Return SQLAlchemy's default driver for PostgreSQL, which changed in 2.1."""
    return "psycopg" if _sqlalchemy_version() >= _UNQUOTES else "psycopg2"


@functools.cache
def _sqlalchemy_version() -> tuple[int, int]:
    """Return the version of SQLAlchemy; (0, 0) when it is not installed."""
    try:
        major, minor, *_ = version("sqlalchemy").split(".")
    except PackageNotFoundError:
        return 0, 0
    return int(major), int(minor)


def _check_file_store(uri: str) -> None:
    if not uri:
        msg = f"tracking_uri is empty. Use {DEFAULT_URI!r} for a file in the working folder."
        raise DestinationError(msg)
    if not _file_stores_are_allowed():
        msg = (
            f"tracking_uri {uri!r} is a file store, which MLflow refuses: every trace would be lost. "
            f"Use {DEFAULT_URI!r}, or opt in with MLFLOW_ALLOW_FILE_STORE=true."
        )
        raise DestinationError(msg)


def _file_stores_are_allowed() -> bool:
    return os.environ.get("MLFLOW_ALLOW_FILE_STORE", "").lower() in {"true", "1"}
