"""The sink of databases: new traces in bulk, and everything else through MLflow's API."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Final

from langchain_autotrace.errors import DestinationError, SinkUnavailable, TraceRejected
from langchain_autotrace.redaction import error_line
from langchain_autotrace.semconv import Attr
from langchain_autotrace.ship.bulk.bulk_writer import BulkWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from langchain_autotrace.records import PendingModel
    from langchain_autotrace.ship.bulk.databases import Database
    from langchain_autotrace.ship.mlflow_sink import MlflowSink
    from langchain_autotrace.trace.spans import Trace

_TRIES: Final = 3
"""How often a batch is written when another writer was faster with one of its traces."""


class BulkSink:
    """A sink that stores traces in one database of MLflow's.

    MLflow is imported when the first trace comes that cannot be written in bulk, as that takes two to three seconds.

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
        self.in_bulk = 0
        self._uri = tracking_uri
        self._database = database
        self._writer = BulkWriter(database)
        self._open_public = open_public
        self._opened: MlflowSink | None = None
        self._opening = threading.Lock()
        self._written: dict[int, Trace] = {}
        """Traces stored by a call that failed for others, by their id(): they are given again."""

    @property
    def notes(self) -> Sequence[str]:
        """One line of text for each model that could not be logged, with the reason."""
        return () if self._opened is None else self._opened.notes

    @property
    def _public(self) -> MlflowSink:
        """The sink that uses MLflow's API; asked for by the thread that logs models, too."""
        with self._opening:
            if self._opened is None:
                try:
                    self._opened = self._open_public()
                except DestinationError as error:
                    raise SinkUnavailable(str(error)) from error
            return self._opened

    def log_models(self, models: Sequence[PendingModel]) -> None:
        """Log models, and link traces to them.

        Raises:
            SinkUnavailable: the database does not answer now.
        """
        self._public.log_models(models)

    def write(self, batch: Sequence[Trace]) -> list[PendingModel]:
        """Store new traces in bulk, then the others through MLflow's API.

        Returns:
            The models to log, and the traces to link to them, now that the traces are stored.

        Raises:
            SinkUnavailable: the database is down, busy or full, or the experiment was deleted.
            TraceRejected: the database refuses the content.
        """
        new = [trace for trace in _new(batch) if id(trace) not in self._written]
        if homeless := self._write_in_bulk(new):
            # MLflow creates the database and the experiment, or says why it does not.
            self._public.prepare([trace.context for trace in homeless])
            self._write_in_bulk(homeless)
        rest = [trace for trace in batch if id(trace) not in self._written]
        pending = self._public.write(rest) if rest else []
        for trace in batch:
            self._written.pop(id(trace), None)
        return pending

    def _write_in_bulk(self, batch: Sequence[Trace]) -> list[Trace]:
        """Store what can be stored in bulk; return the traces whose experiment or database does not exist yet."""
        for tries_left in reversed(range(_TRIES)) if batch else ():
            try:
                written = self._writer.write(batch)
            except Exception as error:  # noqa: BLE001 - raised again, or by MLflow's API
                if isinstance(error, self._database.errors.IntegrityError) and tries_left:
                    continue  # known, when looked for again
                self._refuse(error, batch)
                break
            self._written |= {id(trace): trace for trace in written.stored}
            self.in_bulk += len(written.stored)
            return written.homeless
        return []

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


def _new(batch: Sequence[Trace]) -> list[Trace]:
    """Return the traces that may be new and need nothing beside their rows.

    A trace that resumes another has to look for it, one of a chain that is logged names its model, files are stored
    elsewhere. An id that is given twice is that of a trace and its late spans, or of traces of two programs.
    """
    counts = Counter(trace.trace_id for trace in batch)
    return [
        trace
        for trace in batch
        if trace.root is not None
        and counts[trace.trace_id] == 1
        and trace.resumed_thread is None
        and not trace.models
        and not trace.files
        and not any(Attr.CONTENT_HASH in span.attributes for span in trace.spans)
    ]
