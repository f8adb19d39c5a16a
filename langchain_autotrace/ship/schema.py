"""Read the schema revision of an SQLite database, and wait while another process is making its tables.

MLflow makes the tables of a new database in some seventy steps, without a lock, and does the same in every process that
opens the database before the last step. So such a database must not be given to MLflow.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import re
import sqlite3
import time
from pathlib import Path
from typing import Final, Literal

from langchain_autotrace.destination import sqlite_path
from langchain_autotrace.errors import SinkUnavailable
from langchain_autotrace.redaction import error_line
from langchain_autotrace.ship.sqlite_file import open_to_read

Schema = Literal["current", "older", "newer", "none"]

_READ_SECONDS: Final = 3.0
_LOCKED_SECONDS: Final = 5.0
"""How long to wait for a database that another process has locked."""
_REST_SECONDS: Final = 10.0
"""A database that has not changed for so long is not being made: its maker was killed, or it is of an older MLflow."""
_EMPTY_REST_SECONDS: Final = 2.0
"""The same for an empty file: MLflow makes the first tables at once."""
_POLL_SECONDS: Final = 0.05
_BUSY: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_REVISIONS: Final = re.compile(r'^(down_)?revision\b[^=\n]*= *"(\w+)"', re.MULTILINE)


def schema(path: Path) -> tuple[Schema, str]:
    """Compare the schema of an SQLite file with the installed MLflow's.

    Returns:
        ``current``, ``older`` or ``newer``, and the file's schema revision; ``none`` and an empty string if MLflow has
        created no tables yet.

    Raises:
        SinkUnavailable: the file cannot be read as a database.
    """
    revision = _revision(path)
    if revision is None:
        return "none", ""
    newest, known = _installed()
    if revision == newest:
        return "current", revision
    return "older" if revision in known else "newer", revision


def settled_schema(uri: str) -> Schema | None:
    """Return the schema of an SQLite database as soon as no other process is making it; None for other stores.

    Raises:
        SinkUnavailable: the file cannot be read as a database, or stays locked.
    """
    path = sqlite_path(uri)
    if path is None:
        return None
    try:
        return _settled(path)
    except SinkUnavailable as error:
        msg = f"{uri}: {error_line(error.__cause__ or error)}"
        raise SinkUnavailable(msg) from error.__cause__


def _settled(path: Path) -> Schema:
    give_up_at = time.monotonic() + _LOCKED_SECONDS
    while True:
        try:
            state, _ = schema(path)
        except SinkUnavailable as error:
            if not _is_busy(error.__cause__) or time.monotonic() >= give_up_at:
                raise
        else:
            if state in {"current", "newer"} or _rests(path):
                return state
            give_up_at = time.monotonic() + _LOCKED_SECONDS
        time.sleep(_POLL_SECONDS)


def _rests(path: Path) -> bool:
    try:
        found = path.stat()
    except FileNotFoundError:
        return True
    return time.time() - found.st_mtime >= (_REST_SECONDS if found.st_size else _EMPTY_REST_SECONDS)


def _is_busy(error: BaseException | None) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _BUSY


def _revision(path: Path) -> str | None:
    """Return the schema revision that MLflow has recorded; None if MLflow has created no tables yet."""
    if not path.exists() or not path.stat().st_size:
        return None
    try:
        with contextlib.closing(open_to_read(path, timeout=_READ_SECONDS)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if "alembic_version" not in tables:
                return None
            found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            return str(found[0]) if found else None
    except sqlite3.Error as error:
        msg = f"{path} cannot be read ({error_line(error)})."
        raise SinkUnavailable(msg) from error


@functools.cache
def _installed() -> tuple[str, frozenset[str]]:
    """Return the newest schema revision of the installed MLflow, and all that it knows.

    They are read from the text of its migrations: alembic would import all of them, which takes half a second.
    """
    revisions: set[str] = set()
    replaced: set[str] = set()
    package = importlib.util.find_spec("mlflow")
    for folder in (package and package.submodule_search_locations) or ():
        for path in Path(folder, "store", "db_migrations", "versions").glob("*.py"):
            for down, revision in _REVISIONS.findall(path.read_text(encoding="utf-8")):
                (replaced if down else revisions).add(revision)
    return next(iter(revisions - replaced), ""), frozenset(revisions)
