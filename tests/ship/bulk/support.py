"""Two databases to write to, one in bulk and one through MLflow's API, and all that is in them."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy

from langchain_autotrace.errors import SinkError
from langchain_autotrace.journal.folder import DestinationFolder, state_dir
from langchain_autotrace.ship.bulk.bulk_sink import BulkSink
from langchain_autotrace.ship.bulk.databases import database
from langchain_autotrace.ship.mlflow_sink import MlflowSink
from langchain_autotrace.ship.two_ways import TwoWaySink
from tests.journal.support import ROOT, new_journal
from tests.ship.support import write

if TYPE_CHECKING:
    from langchain_autotrace.records import Record
    from langchain_autotrace.trace.spans import Trace

Tables = dict[str, list[dict[str, Any]]]
"""Table -> its rows."""


def bulk_sink(uri: str, open_public: Any = None) -> BulkSink:
    """A sink that writes in bulk."""
    found = database(uri)
    assert found is not None
    return BulkSink(uri, found, open_public or (lambda: MlflowSink(uri)))


def no_public() -> MlflowSink:
    """In place of the public way where it must not be gone."""
    raise AssertionError("not all was written in bulk")


def tables(uri: str, trace_id: str | None = None) -> Tables:
    """All rows of all tables, those of a table in order; with a trace's id, only its own."""
    engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        found = {name: _rows(connection, name, keys, trace_id) for name, keys in _keys(connection).items()}
    engine.dispose()
    return {name: sorted(rows, key=repr) for name, rows in found.items() if rows}


_KEYS: Final[dict[str, str | None]] = {}


def _keys(connection: sqlalchemy.Connection) -> dict[str, str | None]:
    """The names of the tables, each with the column of the trace's id, if any."""
    if not _KEYS:
        inspector = sqlalchemy.inspect(connection)
        for table in inspector.get_table_names():
            columns = {column["name"] for column in inspector.get_columns(table)}
            _KEYS[table] = min(columns & {"request_id", "trace_id"}, default=None)
    return _KEYS


def _rows(connection: sqlalchemy.Connection, table: str, key: str | None, trace_id: str | None) -> list[dict[str, Any]]:
    if trace_id and key is None:
        return []
    where = sqlalchemy.text(f"{key} = '{trace_id}'") if trace_id else sqlalchemy.true()
    found = connection.execute(
        sqlalchemy.select(sqlalchemy.text("*")).select_from(sqlalchemy.table(table)).where(where)
    )
    return [dict(row._mapping) for row in found]


class Pair:
    """Two databases that are to hold the same."""

    def __init__(self, bulk: str, public: str) -> None:
        self.uris = (bulk, public)
        self.bulk: TwoWaySink = bulk_sink(bulk)
        self.public = MlflowSink(public)

    def write(self, *batch: Trace) -> tuple[str | None, str | None]:
        """Write a batch to both; return the names of the errors that were raised."""
        return self._outcome(self.bulk, batch), self._outcome(self.public, batch)

    def _outcome(self, sink: TwoWaySink | MlflowSink, batch: Sequence[Trace]) -> str | None:
        with contextlib.suppress(SinkError):
            try:
                sink.write(batch)
            except SinkError as error:
                return type(error).__name__
        return None

    def rows_of(self, number: int) -> tuple[Tables, Tables]:
        """All that is in both of the ``number``-th trace."""
        bulk, public = (tables(uri, f"tr-{number:032x}") for uri in self.uris)
        return bulk, public

    def tables(self) -> tuple[Tables, Tables]:
        """What is in both."""
        bulk, public = (tables(uri) for uri in self.uris)
        return bulk, public


DELIVERY: Final = """
import sys
from langchain_autotrace.ship.__main__ import main
assert main(sys.argv[1]) == 0
print(sorted({"mlflow", "sqlalchemy", "pandas"} & set(sys.modules)))
"""


def imported_by_delivery(uri: str, *records: Record) -> tuple[str, str]:
    """Deliver records by a shipper's process; return what it has imported of MLflow's packages, and its errors."""
    folder = DestinationFolder(state_dir() / "destination")
    folder.create(uri)
    journal = new_journal(folder)
    write(journal, *records)
    journal.close()
    done = subprocess.run(
        [sys.executable, "-c", DELIVERY, str(folder.path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    return done.stdout, done.stderr
