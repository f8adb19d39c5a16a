"""The databases that are written to in bulk, by their drivers: SQLite, and PostgreSQL by psycopg 2 or 3."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import quote

from langchain_autotrace import destination
from langchain_autotrace.ship.sqlite_file import SpanStatistics, artifact_root, open_to_read

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

_BUSY_SECONDS: Final = 20.0
"""As long as MLflow waits for other writers."""
_DRIVERS: Final = ("psycopg", "psycopg2")
_PAGE: Final = 500
"""Rows in one statement."""
_OTHER_STORES: Final = ("MLFLOW_ENABLE_WORKSPACES", "MLFLOW_SQL_TRACE_ROLLUPS_ENABLED")
"""Environment variables by which MLflow writes more than the rows of the trace."""
_OFF: Final = frozenset({"", "0", "false"})


class Database(Protocol):
    """A database and its driver."""

    @property
    def errors(self) -> Any:  # noqa: ANN401 - a module
        """The driver's module, which has the exceptions of :pep:`249`."""

    @property
    def mark(self) -> str:
        """Placeholder of a parameter."""

    @property
    def has_table(self) -> str:
        """Query that returns a row with the table of a name, or with NULL or no row when there is none."""

    def exists(self) -> bool:
        """Return whether it is there; False when MLflow has to create it."""

    def connect(self) -> AbstractContextManager[Any]:
        """Open a connection for one batch; in its block, what was not committed is rolled back."""

    def reading(self) -> AbstractContextManager[Any]:
        """Open a connection by which nothing can be written."""

    def begin(self, cursor: Any) -> None:  # noqa: ANN401 - a driver's
        """Begin to write: nobody else writes until the commit, or whoever does fails or makes this fail."""

    def insert(self, cursor: Any, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:  # noqa: ANN401
        """Insert the rows; ``statement`` ends with ``VALUES``."""

    def insert_one(self, cursor: Any, statement: str, row: tuple[Any, ...], key: str) -> int:  # noqa: ANN401
        """Insert a row, and return the number that the database gives it in the column ``key``."""

    def after_commit(self, cursor: Any) -> None:  # noqa: ANN401
        """Do what keeps searches fast. Never raises an error of the database."""

    def artifact_root(self) -> str:
        """Return the folder of the artifacts of new experiments, as MLflow chooses it where nothing else is set."""


def database(uri: str) -> Database | None:
    """Return the database of a tracking URI; None when its rows are MLflow's own matter."""
    if any(os.environ.get(name, "").lower() not in _OFF for name in _OTHER_STORES):
        return None
    path = destination.sqlite_path(uri)
    if path is not None and uri == f"sqlite:///{path}":
        return None if _is_replaced("sqlite") else Sqlite(path)
    if uri.startswith("postgresql") and destination.kind(uri) == "database" and not _is_replaced("postgresql"):
        return _postgresql(uri)
    return None


def _is_replaced(scheme: str) -> bool:
    """Return whether a plugin has another store for the scheme than MLflow's."""
    return any(plugin.name == scheme for plugin in importlib.metadata.entry_points(group="mlflow.tracking_store"))


class Sqlite:
    """An SQLite file."""

    errors: Any = sqlite3
    mark = "?"
    has_table = "SELECT max(name) FROM sqlite_master WHERE type = 'table' AND name = ?"

    def __init__(self, path: Path) -> None:
        """Use the file; it need not be there yet."""
        self.path = path
        self._statistics = SpanStatistics()

    def exists(self) -> bool:
        """Return whether there is a file with something in it."""
        return self.path.exists() and self.path.stat().st_size > 0

    @contextlib.contextmanager
    def connect(self) -> Iterator[sqlite3.Connection]:
        """Open the file: for each batch, as it may be another file by then.

        Raises:
            sqlite3.OperationalError: the file was removed or replaced within the block.
        """
        before = self.path.stat().st_ino
        address = f"file:{quote(str(self.path))}?mode=rw"
        with contextlib.closing(
            sqlite3.connect(address, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)
        ) as connection:
            connection.execute("PRAGMA foreign_keys = ON")
            try:
                yield connection
            finally:
                # Closing does not end a transaction as long as somebody holds a cursor, such as an exception's frames.
                connection.rollback()
            if not self.path.exists() or self.path.stat().st_ino != before:
                msg = "the file was removed or replaced while it was written"
                raise sqlite3.OperationalError(msg)

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Open the file; any thread may use the connection."""
        with contextlib.closing(self.open_to_read()) as connection:
            yield connection

    def open_to_read(self) -> sqlite3.Connection:
        """Return a connection for :meth:`reading`, which the caller closes."""
        return open_to_read(self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)

    def begin(self, cursor: sqlite3.Cursor) -> None:
        """Take the lock for writing at once: nobody comes between looking and writing."""
        cursor.execute("BEGIN IMMEDIATE")

    def insert(self, cursor: sqlite3.Cursor, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert the rows one by one, which costs SQLite the least."""
        cursor.executemany(f"{statement} ({', '.join('?' * len(rows[0]))})", rows)

    def insert_one(self, cursor: sqlite3.Cursor, statement: str, row: tuple[Any, ...], key: str) -> int:  # noqa: ARG002
        """Insert a row, and return its number."""
        cursor.execute(statement, row)
        return int(cursor.lastrowid or 0)

    def after_commit(self, cursor: sqlite3.Cursor) -> None:
        """Update the statistics of the spans, as after a write through MLflow's API."""
        with contextlib.suppress(sqlite3.Error):
            self._statistics.update_by(lambda statement: next(iter(cursor.execute(statement).fetchone() or ()), None))

    def artifact_root(self) -> str:
        """Return the folder beside the file."""
        return artifact_root(self.path)


def _postgresql(uri: str) -> Postgresql | None:
    from sqlalchemy.engine import make_url  # noqa: PLC0415 - a quarter of a second, not needed for SQLite

    url = make_url(uri)
    try:
        dialect = url.get_dialect()()
        module = dialect.import_dbapi()
    except Exception:  # noqa: BLE001 - MLflow says what is wrong with it
        return None
    if module.__name__ not in _DRIVERS:
        return None
    if module.__name__ == "psycopg2":
        importlib.import_module("psycopg2.extras")
    arguments, options = dialect.create_connect_args(url)
    return Postgresql(module, arguments, options)


class Postgresql:
    """A PostgreSQL database."""

    mark = "%s"
    has_table = "SELECT to_regclass(%s)"

    def __init__(self, module: Any, arguments: Sequence[Any], options: Mapping[str, Any]) -> None:  # noqa: ANN401
        """Connect by ``module``, psycopg or psycopg2, with the arguments and options that it takes."""
        self.errors: Any = module
        self._arguments, self._options = arguments, options

    def exists(self) -> bool:
        """Return True: MLflow creates no database on a server, only tables, which are looked for."""
        return True

    @contextlib.contextmanager
    def connect(self) -> Iterator[Any]:
        """Connect: for each batch, so that no connection is shared with a forked process or outlives a restart."""
        with contextlib.closing(self.errors.connect(*self._arguments, **self._options)) as connection:
            yield connection

    @contextlib.contextmanager
    def reading(self) -> Iterator[Any]:
        """Connect, for transactions that cannot write."""
        with self.connect() as connection:
            connection.cursor().execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
            connection.commit()
            yield connection

    def begin(self, cursor: Any) -> None:  # noqa: ANN401
        """Begin anew, to see what others have committed; the driver begins by itself."""
        cursor.connection.rollback()

    def insert(self, cursor: Any, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:  # noqa: ANN401
        """Insert hundreds of rows with a statement, or all in one go of the connection."""
        if self.errors.__name__ == "psycopg2":
            self.errors.extras.execute_values(cursor, f"{statement} %s", rows, page_size=_PAGE)
        else:
            cursor.executemany(f"{statement} ({', '.join(['%s'] * len(rows[0]))})", rows)

    def insert_one(self, cursor: Any, statement: str, row: tuple[Any, ...], key: str) -> int:  # noqa: ANN401
        """Insert a row, and return the number that the database gives it in the column ``key``."""
        cursor.execute(f"{statement} RETURNING {key}", row)
        return int(cursor.fetchone()[0])

    def after_commit(self, cursor: Any) -> None:  # noqa: ANN401
        """Do nothing: PostgreSQL analyzes its tables itself."""

    def artifact_root(self) -> str:
        """Return the folder below the working folder."""
        return str(Path.cwd() / "mlruns")
