"""Opens a database whose tables are known, to be read."""

from __future__ import annotations

import contextlib
import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from langchain_autotrace import destination
from langchain_autotrace.ship.bulk.databases import Sqlite, database
from langchain_autotrace.ship.bulk.known_tables import has_columns, has_tables, named_revision
from langchain_autotrace.view import store
from langchain_autotrace.view.sql.connections import connected
from langchain_autotrace.view.sql.dialects import POSTGRESQL, SQLITE, columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from langchain_autotrace.ship.bulk.databases import Database
    from langchain_autotrace.ship.bulk.revisions import Revision

    Row = tuple[Any, ...]

_THREADS: Final = 2
_PARTS: Final = 6
"""More than threads, as some take longer: SQLite maps no more than the first 2 GB of a file into memory."""
_PART: Final = "{part}"


class Tables:
    """The tables of a database."""

    def __init__(self, found: Database, connection: Any, revision: Revision) -> None:  # noqa: ANN401 - a driver's
        """Read by a connection of the database."""
        self.database, self._connection = found, connection
        self.revision = revision
        self.dialect = SQLITE if isinstance(found, Sqlite) else POSTGRESQL
        self.columns = columns(revision, self.dialect)

    def all(self, statement: str, values: Sequence[object] = ()) -> list[Row]:
        """Return the rows of a query, whose parameters are question marks, and end the transaction: locks are short."""
        found = _rows(self._connection, self._marked(statement), values)
        self._connection.rollback()
        return found

    def in_parts(self, table: str, statement: str, values: Sequence[object] = ()) -> list[Row]:
        """Return the rows of a query over a large table, which several threads read in parts.

        Args:
            table: name of the table.
            statement: the query; ``{part}`` stands for the last condition with parameters.
            values: the other parameters.
        """
        if not isinstance(self.database, Sqlite):  # PostgreSQL has workers of its own
            return self.all(statement.replace(_PART, "1 = 1"), values)
        last = self.all(f"SELECT max(rowid) FROM {table}")[0][0] or 0  # noqa: S608 - a name of ours
        edges = [last * part // _PARTS for part in range(_PARTS + 1)]
        query = statement.replace(_PART, "rowid > ? AND rowid <= ?")

        def read(part: int) -> list[Row]:
            with connected(self.database) as connection:
                return _rows(connection, query, (*values, edges[part], edges[part + 1]))

        with ThreadPoolExecutor(_THREADS) as threads:
            return [row for rows in threads.map(read, range(_PARTS)) for row in rows]

    def listed(self, values: Sequence[str] | Sequence[int]) -> object:
        """Return values as a parameter of the dialect's ``is_in``."""
        return json.dumps(list(values)) if isinstance(self.database, Sqlite) else list(values)

    def _marked(self, statement: str) -> str:
        return statement if self.dialect.mark == "?" else statement.replace("?", self.dialect.mark)


def _rows(connection: Any, statement: str, values: Sequence[object]) -> list[Row]:  # noqa: ANN401
    cursor = connection.cursor()
    cursor.execute(statement, tuple(values))
    return list(cursor.fetchall())


@contextlib.contextmanager
def reading(uri: str) -> Iterator[Tables | None]:
    """Yield the tables of the database at ``uri``; None if they are not known, and MLflow's API has to read them.

    Raises:
        DestinationError: there can be no store at ``uri``.
        SinkUnavailable: the database cannot be read.
    """
    destination.check(uri, writes=False)
    store.probe(uri)
    found = database(uri) if store.exists(uri) else None
    if found is None:
        yield None
        return
    with contextlib.ExitStack() as stack:
        try:
            tables = _tables(found, stack)
        except (found.errors.Error, OSError):
            tables = None  # MLflow's API says what is wrong with it
        if tables is None:
            stack.close()
            yield None
            return
        with store.explained(uri, found.errors.Error):
            yield tables


def _tables(found: Database, stack: contextlib.ExitStack) -> Tables | None:
    connection = stack.enter_context(connected(found))
    cursor = connection.cursor()
    if not has_tables(found, cursor):
        return None
    revision = named_revision(found, cursor)
    if revision is None or not has_columns(cursor, revision):
        return None
    return Tables(found, connection, revision)
