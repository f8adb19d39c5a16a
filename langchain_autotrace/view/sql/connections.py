"""Keeps connections to SQLite files open between reads."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING, Any, Final, Protocol

from langchain_autotrace.ship.bulk.databases import Sqlite
from langchain_autotrace.view.sql.dialects import fold

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from langchain_autotrace.ship.bulk.databases import Database

_MAPPED_BYTES: Final = 2**40
_MOST: Final = 4
"""Connections that are kept of a file."""


class Closable(Protocol):
    """A connection to a file, or what has one."""

    def close(self) -> None:
        """Close the connection."""


Identity = tuple[int, int, int]
"""Process id, and device and inode of the file."""

_of_parents: Final[list[Closable]] = []
"""What the process that this one was forked from had open. To close it here could remove the file's WAL."""


class _Kept:
    """The open connections of a file that nobody uses."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._identity: Identity | None = None
        self._connections: list[sqlite3.Connection] = []

    def take(self, identity: Identity) -> sqlite3.Connection | None:
        with self._lock:
            if self._identity != identity:
                drop(self._connections, self._identity, identity)
                self._connections, self._identity = [], identity
            return self._connections.pop() if self._connections else None

    def give_back(self, identity: Identity, connection: sqlite3.Connection) -> None:
        with self._lock:
            if self._identity == identity and len(self._connections) < _MOST:
                self._connections.append(connection)
                return
        connection.close()


_kept: Final[dict[Path, _Kept]] = {}


@contextlib.contextmanager
def connected(found: Database) -> Iterator[Any]:
    """Lend a connection that reads a database; any thread may use it.

    SQLite maps its file into memory, which makes reading all rows of a table twice as fast, but the first time takes as
    long as reading them. An idle connection locks nothing.
    """
    if not isinstance(found, Sqlite):
        with found.reading() as connection:
            yield connection
        return
    identity = identity_of(found)
    kept = _kept.setdefault(found.path, _Kept())
    connection = kept.take(identity) or opened(found)
    try:
        yield connection
        connection.rollback()
    except BaseException:
        connection.close()
        raise
    kept.give_back(identity, connection)


def drop(opened_before: Iterable[Closable], before: Identity | None, identity: Identity) -> None:
    """Close what was opened for a file that was replaced; after a fork, keep what the parent process opened.

    Args:
        opened_before: connections, or what has some.
        before: identity of the file when they were opened; None when none was.
        identity: the present one.
    """
    if before is not None and before[0] != identity[0]:
        _of_parents.extend(opened_before)
        return
    for one in opened_before:
        one.close()


def identity_of(found: Sqlite) -> Identity:
    """Return the identity of a database's file; it changes when the file is replaced or the process forks."""
    status = found.path.stat()
    return os.getpid(), status.st_dev, status.st_ino


def opened(found: Sqlite) -> sqlite3.Connection:
    """Return a connection that reads a file and has the functions of the dialect."""
    connection = found.open_to_read()
    connection.execute(f"PRAGMA mmap_size = {_MAPPED_BYTES}")
    connection.create_function("fold", 1, fold, deterministic=True)
    return connection
