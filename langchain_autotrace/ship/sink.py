"""The interface of sinks, which store finished traces, and a sink in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_autotrace.records import ModelSeen, PendingModel
    from langchain_autotrace.trace.spans import Span, Trace


class Sink(Protocol):
    """A store for traces. Writing a span again replaces it: its key is (trace id, span id)."""

    @property
    def notes(self) -> Sequence[str]:
        """One line of text for each model that could not be logged."""

    @property
    def in_bulk(self) -> int:
        """Number of traces that this sink has stored without MLflow's API: in a database in bulk, or at a server."""

    def write(self, batch: Sequence[Trace]) -> Sequence[PendingModel] | None:
        """Store all spans of all traces; return the models to log now that they are stored, or None.

        Raises:
            SinkUnavailable: the store cannot take the batch now; some of it may be stored. Retry the whole batch later.
            TraceRejected: one of the traces can never be stored. Write the traces one by one to find out which.
        """

    def log_models(self, models: Sequence[PendingModel]) -> None:
        """Log models and link traces to them. Called in a thread of its own, while :meth:`write` goes on.

        A model that cannot be logged becomes one of the ``notes``. Logging a model again changes nothing.

        Raises:
            SinkUnavailable: the store does not answer now. Retry all of them later.
        """


class MemorySink:
    """A sink that keeps traces in memory, for tests and for inspecting what would be sent."""

    def __init__(self) -> None:
        """Start empty."""
        self.spans: dict[str, dict[str, Span]] = {}
        """Trace id -> span id -> span."""
        self.writes = 0
        """Number of calls of :meth:`write`."""
        self.notes: list[str] = []
        self.in_bulk = 0
        self.models: list[ModelSeen] = []
        """Chains that returned for the first time, in the traces written."""

    def write(self, batch: Sequence[Trace]) -> None:
        """Store all spans of all traces, and their models."""
        self.writes += 1
        for trace in batch:
            self.spans.setdefault(trace.trace_id, {}).update({span.span_id: span for span in trace.spans})
            self.models += [model for model in trace.models if model not in self.models]

    def log_models(self, models: Sequence[PendingModel]) -> None:
        """Do nothing: models are stored with their traces."""
