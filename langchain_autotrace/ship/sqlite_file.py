"""The file of an SQLite store: whether it is still the same file, and the statistics that keep searches fast."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from langchain_autotrace.errors import SinkUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from sqlalchemy.engine import CursorResult, Engine

_logger: Final = logging.getLogger("langchain_autotrace.ship")

_MIN_ROWS: Final = 100
"""Number of spans below which no search is slow."""
_GROWTH: Final = 10
_RETRY_GROWTH: Final = 1.1

ARTIFACT_ROOT: Final = "_MLFLOW_SERVER_ARTIFACT_ROOT"
"""MLflow's environment variable for the folder of a store's artifacts; by default one in the working folder."""

_Identity = tuple[int, int]
"""Device and inode."""


def open_to_read(path: Path, *, timeout: float, **options: Any) -> sqlite3.Connection:  # noqa: ANN401 - of sqlite3
    """Return a connection that cannot change an SQLite file, which the caller closes.

    It is not opened with ``mode=ro``: what a killed writer left half done has to be undone before reading.

    Args:
        path: of the file, which exists.
        timeout: seconds to wait for writers.
        options: more arguments of :func:`sqlite3.connect`.
    """
    connection: sqlite3.Connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=timeout, **options
    )
    connection.execute("PRAGMA query_only = ON")
    return connection


class DatabaseFile:
    """The file of an SQLite database that may be removed, moved or replaced by another while it is in use.

    SQLite would go on writing to the removed file, and every trace would be lost.
    """

    def __init__(self, path: Path, reopen: Callable[[], None]) -> None:
        """Watch the file at ``path``; ``reopen`` is called when it is another file than before."""
        self.path = path
        self._reopen = reopen
        self._identity: _Identity | None = None
        self._entering = threading.Lock()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Have the block write to the file that is at the path now. Several threads may hold it at once.

        Raises:
            SinkUnavailable: the file was removed or replaced within the block; what the block wrote may be lost.
        """
        with self._entering:
            before = _identity(self.path)
            if self._identity not in (None, before):
                _logger.warning("%s was removed or replaced; opening it anew", self.path)
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._reopen()
            self._identity = before
        yield
        after = _identity(self.path)
        if before not in (None, after):
            msg = f"{self.path} was removed or replaced while it was written."
            raise SinkUnavailable(msg)
        self._identity = after


def _identity(path: Path) -> _Identity | None:
    """Return what tells a file from another one that has taken its name; None when there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def close_database(uri: str) -> None:
    """Close MLflow's connections to a database; MLflow opens it anew when it is used next."""
    # Imported here, as they are slow and rarely needed.
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as RegistryStore  # noqa: PLC0415
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as TrackingStore  # noqa: PLC0415
    from mlflow.tracking._model_registry.registry import ModelRegistryStoreRegistry  # noqa: PLC0415
    from mlflow.tracking._tracking_service.registry import TrackingStoreRegistry  # noqa: PLC0415

    for store in (TrackingStore, RegistryStore):
        engine = store._engine_map.pop(uri, None)  # noqa: SLF001 - no public way
        if engine is not None:
            engine.dispose()
    TrackingStoreRegistry._get_store_with_resolved_uri.cache_clear()  # noqa: SLF001
    ModelRegistryStoreRegistry._get_store_with_resolved_uri.cache_clear()  # noqa: SLF001


def artifact_root(path: Path) -> str:
    """Return the artifact folder of a database: MLflow's own name, beside the file."""
    return str(path.parent / "mlruns")


@contextmanager
def artifacts_beside(path: Path) -> Iterator[None]:
    """Have MLflow place the artifacts of a database that it creates beside its file, not in the working folder."""
    if ARTIFACT_ROOT in os.environ:
        yield
        return
    os.environ[ARTIFACT_ROOT] = artifact_root(path)
    try:
        yield
    finally:
        os.environ.pop(ARTIFACT_ROOT, None)


class SpanStatistics:
    """The statistics of the table of spans in an SQLite database.

    Without them, SQLite takes an index for MLflow's text and span filters by which it reads every span of the
    experiment for every trace. Only this table is analyzed: with the statistics of all tables, the filter of a frequent
    tag takes 30 times as long.
    """

    def __init__(self) -> None:
        self._due_at = _MIN_ROWS

    def update(self, engine: Engine) -> None:
        """Analyze the table when it was never analyzed, or has grown tenfold since. Never raises."""
        try:
            with engine.begin() as connection:
                self.update_by(lambda statement: next(iter(_first_row(connection.exec_driver_sql(statement))), None))
        except Exception as error:  # noqa: BLE001 - another program writes; searches only stay slow for longer
            _logger.debug("the table of spans was not analyzed: %s", error)

    def update_by(self, execute: Callable[[str], Any]) -> None:
        """Do the same by ``execute``, which executes a statement and returns its first value; raises what that does."""
        # The highest rowid, as counting takes longer the more there are.
        rows = execute("SELECT max(rowid) FROM spans") or 0
        if rows < self._due_at:
            return
        self._due_at = int(rows * _RETRY_GROWTH)
        if rows >= _GROWTH * _analyzed_rows(execute):
            execute("ANALYZE spans")
        self._due_at = max(_GROWTH * _analyzed_rows(execute), _MIN_ROWS)


def _first_row(result: CursorResult[Any]) -> Sequence[Any]:
    row = result.first() if result.returns_rows else None
    return () if row is None else tuple(row)


def _analyzed_rows(execute: Callable[[str], Any]) -> int:
    """Return how many spans there were when the table was last analyzed; 0 when it never was."""
    if not execute("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_stat1'"):
        return 0
    found = execute("SELECT stat FROM sqlite_stat1 WHERE tbl = 'spans'")
    return int(str(found).split()[0]) if found else 0
