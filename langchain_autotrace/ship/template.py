"""Keeps an empty database of each known version of MLflow in the state folder. New databases are copies of it.

MLflow takes two to three seconds to import itself and make its tables. Its first database is kept here, so that the
others take milliseconds. The file is compressed: its checksum tells a damaged one.
"""

from __future__ import annotations

import contextlib
import gzip
import logging
import os
import re
import sqlite3
import time
import zlib
from typing import TYPE_CHECKING, Final

from langchain_autotrace.errors import AutotraceError
from langchain_autotrace.journal.folder import replace, state_dir
from langchain_autotrace.ship.bulk.databases import Sqlite, database
from langchain_autotrace.ship.bulk.new_experiments import experiment_location
from langchain_autotrace.ship.bulk.revisions import full_version, known_revision

if TYPE_CHECKING:
    from pathlib import Path

_logger: Final = logging.getLogger("langchain_autotrace.ship")

_FOLDER: Final = "templates"
_VERSION: Final = re.compile(r"[\w.+-]+")
_MODE: Final = 0o644
"""Permissions that SQLite gives a new file, less those that the user's umask takes."""
_STALE_SECONDS: Final = 600.0
_ONLY_EXPERIMENT: Final = "SELECT count(*), max(experiment_id) FROM experiments"
_ADAPT: Final = (
    "UPDATE experiments SET artifact_location = ?, creation_time = ?, last_update_time = ? WHERE experiment_id = 0"
)
_ERRORS: Final = (OSError, EOFError, zlib.error, sqlite3.Error, ValueError, AutotraceError)


def copy_to(uri: str, path: Path, root: str) -> bool:
    """Make a database of the template, as the installed MLflow would make it.

    Args:
        uri: tracking URI of the database.
        path: its file, which must not be there yet.
        root: folder of its artifacts.

    Returns:
        Whether it was made. If not, nothing is left at ``path``: MLflow has to make the database.
    """
    template, location = _template(uri), experiment_location(root, 0)
    if template is None or location is None or not template.exists():
        return False
    try:
        content = gzip.decompress(template.read_bytes())
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _MODE), "wb") as file:
            file.write(content)
        _adapt(path, location)
    except _ERRORS as error:
        _logger.info("%s cannot be used, MLflow makes the database: %s", template, error)
        path.unlink(missing_ok=True)
        return False
    return True


def keep(uri: str, path: Path, version: str) -> None:
    """Keep a database that MLflow has just made as the template of later ones. A failure costs only time later.

    Args:
        uri: tracking URI of the database.
        path: its file, which nobody else has opened.
        version: of the MLflow that made it.
    """
    template = _template(uri)
    if template is None or version != full_version():  # another version was installed since this process has started
        return
    try:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            _check(connection)
        template.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace(template, gzip.compress(path.read_bytes()))
        _remove_stale(template.parent)
    except _ERRORS as error:
        _logger.info("%s cannot be kept: %s", template, error)


def _template(uri: str) -> Path | None:
    """Return the template's path; None for databases that only MLflow knows how to make."""
    version = full_version() or ""
    if not _VERSION.fullmatch(version) or not isinstance(database(uri), Sqlite):
        return None
    with contextlib.suppress(AutotraceError):
        return state_dir() / _FOLDER / f"mlflow-{version}.db.gz"
    return None


def _check(connection: sqlite3.Connection) -> None:
    """Check that the database is a known version's, with nothing but the default experiment in it."""
    names = [name for (name,) in connection.execute("SELECT version_num FROM alembic_version")]
    if len(names) != 1 or known_revision(names[0]) is None:
        msg = f"not of a known version: {names}"
        raise ValueError(msg)
    if connection.execute(_ONLY_EXPERIMENT).fetchone() != (1, 0):
        msg = "it has other experiments"
        raise ValueError(msg)


def _adapt(path: Path, location: str) -> None:
    """Change what MLflow would have written otherwise: the time, and the place of the artifacts."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        _check(connection)
        connection.execute("PRAGMA secure_delete = ON")  # no trace of the other database's place is left in the file
        now = int(time.time() * 1000)
        with connection:
            connection.execute(_ADAPT, (location, now, now))


def _remove_stale(folder: Path) -> None:
    """Remove what processes left that were killed while they were writing a template."""
    for part in folder.glob("*.part"):
        with contextlib.suppress(OSError):
            if time.time() - part.stat().st_mtime > _STALE_SECONDS:
                part.unlink()
