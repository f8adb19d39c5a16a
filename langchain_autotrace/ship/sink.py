"""The interface of sinks, which store finished traces, and a sink in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_autotrace.trace.spans import Span, Trace


class Sink(Protocol):
    """A store for traces. Writing a span again replaces it: its key is (trace id, span id)."""

    @property
    def notes(self) -> Sequence[str]:
        """One line of text for each model that could not be logged."""

    def write(self, batch: Sequence[Trace]) -> None:
        """Store all spans of all traces.

        Raises:
            SinkUnavailable: the store cannot take the batch now; some of it may be stored. Retry the whole batch later.
            TraceRejected: one of the traces can never be stored. Write the traces one by one to find out which.
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

    def write(self, batch: Sequence[Trace]) -> None:
        """Store all spans of all traces."""
        self.writes += 1
        for trace in batch:
            self.spans.setdefault(trace.trace_id, {}).update({span.span_id: span for span in trace.spans})
