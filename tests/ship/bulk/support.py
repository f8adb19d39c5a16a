"""Two databases to write to, one in bulk and one through MLflow's API, and all that is in them."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy

from langchain_autotrace.errors import SinkError
from langchain_autotrace.ship.bulk.bulk_sink import BulkSink
from langchain_autotrace.ship.bulk.databases import database
from langchain_autotrace.ship.mlflow_sink import MlflowSink

if TYPE_CHECKING:
    from langchain_autotrace.trace.spans import Trace

Tables = dict[str, list[dict[str, Any]]]
"""Table -> its rows."""
_CHANGING: Final = ("jobs", "scheduler")


def bulk_sink(uri: str, open_public: Any = None) -> BulkSink:
    """A sink that writes in bulk."""
    found = database(uri)
    assert found is not None
    return BulkSink(uri, found, open_public or (lambda: MlflowSink(uri)))


def no_public() -> MlflowSink:
    """In place of the public way where it must not be gone."""
    raise AssertionError("not all was written in bulk")


def tables(uri: str, artifacts: str = "") -> Tables:
    """All rows of all tables, those of a table in order; ``artifacts`` is the folder that differs between databases."""
    engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        names = sqlalchemy.inspect(connection).get_table_names()
        found = {
            name: [dict(row._mapping) for row in connection.execute(sqlalchemy.text(f'SELECT * FROM "{name}"'))]
            for name in names
        }
    engine.dispose()
    rows = {name: sorted(rows, key=repr) for name, rows in found.items() if rows and name not in _CHANGING}
    for row in itertools.chain(rows.get("trace_tags", ()), rows.get("experiments", ())):
        for key, value in row.items():
            if artifacts and isinstance(value, str):
                row[key] = value.replace(artifacts, "ARTIFACTS")
    return rows


class Pair:
    """Two databases that are to hold the same."""

    def __init__(self, bulk: str, public: str) -> None:
        self.uris = (bulk, public)
        self.bulk, self.public = bulk_sink(bulk), MlflowSink(public)

    def write(self, *batch: Trace) -> tuple[str | None, str | None]:
        """Write a batch to both; return the names of the errors that were raised."""
        return self._outcome(self.bulk, batch), self._outcome(self.public, batch)

    def _outcome(self, sink: BulkSink | MlflowSink, batch: Sequence[Trace]) -> str | None:
        with contextlib.suppress(SinkError):
            try:
                sink.write(batch)
            except SinkError as error:
                return type(error).__name__
        return None

    def tables(self) -> tuple[Tables, Tables]:
        """What is in both."""
        bulk, public = (tables(uri) for uri in self.uris)
        return bulk, public
