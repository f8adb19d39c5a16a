"""The sink of databases: new traces in bulk, and everything else through MLflow's API."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from langchain_autotrace.errors import SinkUnavailable, TraceRejected
from langchain_autotrace.redaction import error_line, without_password
from langchain_autotrace.ship import new_database
from langchain_autotrace.ship.bulk.bulk_writer import BulkWriter
from langchain_autotrace.ship.two_ways import TwoWaySink

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from langchain_autotrace.records import TraceContext
    from langchain_autotrace.ship.bulk.databases import Database
    from langchain_autotrace.ship.mlflow_sink import MlflowSink
    from langchain_autotrace.trace.spans import Trace

_logger: Final = logging.getLogger("langchain_autotrace.ship")

_TRIES: Final = 3
"""How often a batch is written when another writer was faster with one of its traces."""


class BulkSink(TwoWaySink):
    """A sink that stores traces in one database of MLflow's.

    Attributes:
        in_bulk: number of traces stored in bulk.
    """

    def __init__(self, tracking_uri: str, database: Database, open_public: Callable[[], MlflowSink]) -> None:
        """Store to a database.

        Args:
            tracking_uri: MLflow's, of the database.
            database: the same to write to in bulk.
            open_public: imports MLflow and returns the sink that uses its API.
        """
        super().__init__(tracking_uri, open_public)
        self._database = database
        self._writer = BulkWriter(database)

    def _prepare(self, contexts: Sequence[TraceContext | None]) -> bool:
        """Create the database and the experiments of traces as MLflow would, and return whether nothing failed."""
        names = {context["experiment"] for context in contexts if context is not None}
        try:
            new_database.prepare(self._uri)
            self._writer.create_experiments(sorted(filter(None, names)))
        except Exception as error:  # noqa: BLE001 - MLflow's API says what is wrong
            _logger.debug("%s: %s", without_password(self._uri), error_line(error))
            return False
        return True

    def _write_new(self, batch: Sequence[Trace]) -> list[Trace]:
        """Store what can be stored in bulk; return the traces whose experiment or database does not exist yet."""
        for tries_left in reversed(range(_TRIES)) if batch else ():
            try:
                written = self._writer.write(batch, self._known)
            except Exception as error:  # noqa: BLE001 - raised again, or by MLflow's API
                if isinstance(error, self._database.errors.IntegrityError) and tries_left:
                    continue  # known, when looked for again
                self._refuse(error, batch)
                break
            self._note_written(written.stored)
            self._written |= {id(one.trace): one for one in written.known}
            return written.homeless
        return []

    def _link(self, trace_ids: Sequence[str], model_id: str) -> bool:
        """Link stored traces to their model, hundreds in a statement; return False where MLflow's API is to do it."""
        return self._writer.link(trace_ids, model_id)

    def _refuse(self, error: Exception, batch: Sequence[Trace]) -> None:
        """Raise what the error means; return where MLflow's API is to say it, of a single trace."""
        driver = self._database.errors
        blames_values = (
            driver.DataError, driver.IntegrityError, driver.InterfaceError, driver.NotSupportedError,
            driver.ProgrammingError,
        )  # fmt: skip
        if isinstance(error, (driver.Error, OSError)) and not isinstance(error, blames_values):
            raise self._unavailable(error) from error
        if len(batch) > 1:
            raise TraceRejected(error_line(error)) from error

    def _unavailable(self, error: Exception) -> SinkUnavailable:
        """Return the error that says why the database fails, with what to do about it."""
        # Slow, but only where something is wrong.
        import sqlalchemy.exc  # noqa: PLC0415

        from langchain_autotrace.ship.mlflow_errors import unavailable  # noqa: PLC0415

        base = self._database.errors.Error
        if isinstance(error, base):
            error = sqlalchemy.exc.DBAPIError.instance(None, None, error, base)
        return unavailable(self._uri, error)
