"""Where finished traces go. A sink is one method; the one in memory is as real as MLflow's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_autotrace.ship.assemble import FinishedTrace, SpanRecords


class Sink(Protocol):
    """Stores traces. Writing the same span again replaces it: (trace id, span id) is its key.

    A sink may have ``notes`` beside: what it could not store of what is no trace, models, in a line each.
    """

    def write(self, batch: Sequence[FinishedTrace]) -> None:
        """Store all spans of all traces, or raise.

        Raises:
            SinkUnavailable: nothing may have been stored; the same batch may go through later.
            TraceRejected: one of the traces can never be stored; with a batch of one it is known which.
        """


class MemorySink:
    """Keeps traces in a dict, for tests and for looking at what would be sent."""

    def __init__(self) -> None:
        """Empty."""
        self.spans: dict[str, dict[str, SpanRecords]] = {}
        """Trace id to span id to what is known of the span."""
        self.writes = 0

    def write(self, batch: Sequence[FinishedTrace]) -> None:
        """Store the batch."""
        self.writes += 1
        for trace in batch:
            self.spans.setdefault(trace.trace_id, {}).update({span.start.span_id: span for span in trace.spans})
