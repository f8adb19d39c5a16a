"""The base of sinks that store new traces themselves, in a fast way, and everything else through MLflow's API.

That includes models: they are logged through MLflow's API, after their traces were stored.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import Counter
from typing import TYPE_CHECKING

from langchain_autotrace.errors import DestinationError, SinkUnavailable
from langchain_autotrace.ship.known_models import KnownModels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from langchain_autotrace.records import PendingModel, TraceContext
    from langchain_autotrace.ship.mlflow_sink import MlflowSink
    from langchain_autotrace.ship.pending_models import StoredTrace
    from langchain_autotrace.trace.spans import Trace


class TwoWaySink(ABC):
    """A sink that stores new traces in a way of its own, and the others through MLflow's API.

    MLflow is imported for the first trace that only its API can store, and for the first model, by the thread that logs
    models: it takes two to three seconds.

    Attributes:
        in_bulk: number of traces stored without MLflow's API.
    """

    def __init__(self, tracking_uri: str, open_public: Callable[[], MlflowSink]) -> None:
        """Store to one destination.

        Args:
            tracking_uri: MLflow's, of the destination.
            open_public: imports MLflow and returns the sink that uses its API.
        """
        self.in_bulk = 0
        self._uri = tracking_uri
        self._open_public = open_public
        self._opened: MlflowSink | None = None
        self._opening = threading.Lock()
        self._none_known = KnownModels()
        self._written: dict[int, StoredTrace] = {}
        """Traces stored in the fast way by the call that is running, or by one that failed for others, which are given
        again; by the id() of the trace."""

    @property
    def notes(self) -> Sequence[str]:
        """One line of text for each model that could not be logged, with the reason."""
        return [*self._none_known.failures, *(() if self._opened is None else self._opened.notes)]

    @property
    def _known(self) -> KnownModels:
        """The models that this process knows: none before MLflow's API was needed. Never waits for its import."""
        return self._none_known if self._opened is None else self._opened.known_models

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
            SinkUnavailable: the store does not answer now.
        """
        self._public.log_models(models, self._link)

    def _link(self, trace_ids: Sequence[str], model_id: str) -> bool:  # noqa: ARG002 - for sinks that can
        """Link stored traces to their model in a fast way; return False where MLflow's API is to do it."""
        return False

    def write(self, batch: Sequence[Trace]) -> list[PendingModel]:
        """Store new traces in the fast way, then the others through MLflow's API.

        Returns:
            The models to log, and the traces to link to them, now that the traces are stored.

        Raises:
            SinkUnavailable: the store is down, busy or full, or the experiment was deleted.
            TraceRejected: the store refuses the content.
        """
        new = [trace for trace in _new(batch) if id(trace) not in self._written]
        homeless = self._write_new(new)
        if homeless and self._prepare([trace.context for trace in homeless]):
            homeless = self._write_new(homeless)
        if homeless:
            # MLflow creates the database and the experiment, or says why it does not.
            self._public.prepare([trace.context for trace in homeless])
            self._write_new(homeless)
        rest = [trace for trace in batch if id(trace) not in self._written]
        pending = self._public.write(rest) if rest else []
        written = [self._written.pop(id(trace)) for trace in batch if id(trace) in self._written]
        return [*self._known.pending(written), *pending]

    @abstractmethod
    def _write_new(self, batch: Sequence[Trace]) -> list[Trace]:
        """Store what can be stored in the fast way, and note it; leave the rest for MLflow's API.

        Returns:
            The traces whose experiment, or the whole database, does not exist yet.
        """

    def _prepare(self, contexts: Sequence[TraceContext | None]) -> bool:  # noqa: ARG002 - for sinks that can
        """Create what is missing for traces as MLflow would; return whether it is worth trying again."""
        return False

    def _note_written(self, stored: Iterable[StoredTrace]) -> None:
        """Note that traces are stored."""
        before = len(self._written)
        self._written |= {id(one.trace): one for one in stored}
        self.in_bulk += len(self._written) - before


def _new(batch: Sequence[Trace]) -> list[Trace]:
    """Return the traces that may be new and need nothing beside their rows.

    A trace that resumes another has to look for it, files are stored elsewhere. An id that is given twice is that of a
    trace and its late spans, or of traces of two programs.
    """
    counts = Counter(trace.trace_id for trace in batch)
    return [
        trace
        for trace in batch
        if trace.root is not None and counts[trace.trace_id] == 1 and trace.resumed_thread is None and not trace.files
    ]
