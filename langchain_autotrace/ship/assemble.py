"""Joins the records of a process into traces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import orjson

from langchain_autotrace.span import Attr, Outcome, ProcessInfo, Record, SpanEnd, SpanEvent, SpanStart, Status

_LATE_SECONDS: Final = 2.0
"""How long a trace whose root has ended waits for spans that have not: those of an abandoned stream end later."""


class SpanRecords(NamedTuple):
    """All that is known of one span."""

    start: SpanStart
    events: list[SpanEvent]
    end: SpanEnd | None
    """None while the span is open."""


class FinishedTrace(NamedTuple):
    """A trace that can be delivered, or the spans of one that ended after its delivery."""

    trace_id: str
    process: ProcessInfo | None
    root: SpanStart | None
    """None when the root was delivered before."""
    spans: list[SpanRecords]

    def records(self) -> Iterator[Record]:
        """The records it was made of, in an order that makes it again."""
        for span in self.spans:
            yield from _records(span)


def _records(span: SpanRecords) -> Iterator[Record]:
    yield span.start
    yield from span.events
    if span.end is not None:
        yield span.end


class _Open:
    """A trace that is being joined."""

    __slots__ = ("events", "open", "root", "root_ended_at", "spans")

    def __init__(self) -> None:
        self.root: SpanStart | None = None
        self.spans: dict[str, SpanRecords] = {}
        self.open: set[str] = set()
        self.root_ended_at: float | None = None


class Assembler:
    """Joins starts, events and ends, in the order of one process's journal."""

    def __init__(self) -> None:
        self.process: ProcessInfo | None = None
        self.orphans = 0
        """Events and ends whose start was never seen: cut by a crash, or evicted."""
        self._traces: dict[str, _Open] = {}
        self._ready: dict[str, None] = {}
        self._last_time_ns = 0

    @property
    def open_traces(self) -> int:
        """Traces whose root has not ended."""
        return sum(trace.root_ended_at is None for trace in self._traces.values())

    def add(self, record: Record, now: float) -> None:
        """Take the next record; ``now`` is a monotonic clock's seconds."""
        if isinstance(record, SpanStart):
            self._start(record)
        elif isinstance(record, SpanEvent):
            self._event(record)
        elif isinstance(record, SpanEnd):
            self._end(record, now)

    def _start(self, record: SpanStart) -> None:
        self._last_time_ns = max(self._last_time_ns, record.time_ns)
        trace = self._traces.get(record.trace_id)
        if trace is None:
            trace = self._traces[record.trace_id] = _Open()
        if record.parent_id is None:
            trace.root = record
        trace.spans[record.span_id] = SpanRecords(record, [], None)
        trace.open.add(record.span_id)

    def _event(self, record: SpanEvent) -> None:
        self._last_time_ns = max(self._last_time_ns, record.time_ns)
        trace = self._traces.get(record.trace_id)
        span = trace.spans.get(record.span_id) if trace else None
        if span is None:
            self.orphans += 1
        else:
            span.events.append(record)

    def _end(self, record: SpanEnd, now: float) -> None:
        self._last_time_ns = max(self._last_time_ns, record.time_ns)
        trace = self._traces.get(record.trace_id)
        span = trace.spans.get(record.span_id) if trace else None
        if trace is None or span is None:
            self.orphans += 1
            return
        trace.spans[record.span_id] = span._replace(end=record)
        trace.open.discard(record.span_id)
        if span.start.parent_id is None:
            trace.root_ended_at = now
        if not trace.open and (trace.root_ended_at is not None or trace.root is None):
            self._ready[record.trace_id] = None

    def take(self, now: float, *, everything: bool = False) -> list[FinishedTrace]:
        """Traces that can be delivered: whole ones, and those whose stragglers let them wait too long.

        Args:
            now: as for ``add``.
            everything: do not wait for stragglers; somebody waits for what has ended.
        """
        for trace_id, trace in self._traces.items():
            if trace.root_ended_at is not None and (everything or now - trace.root_ended_at >= _LATE_SECONDS):
                self._ready[trace_id] = None
        taken = [self._take_one(trace_id) for trace_id in self._ready]
        self._ready = {}
        return taken

    def _take_one(self, trace_id: str) -> FinishedTrace:
        trace = self._traces.pop(trace_id)
        finished = FinishedTrace(trace_id, self.process, trace.root, _settled(trace.spans))
        if trace.open:
            # What is still open goes along, so that its children have their parent, and comes again when it ends.
            rest = self._traces[trace_id] = _Open()
            rest.spans = {span_id: trace.spans[span_id] for span_id in trace.open}
            rest.open = set(trace.open)
        return finished

    def finish(self) -> list[FinishedTrace]:
        """The process is dead: what is open was lost with it."""
        for trace in self._traces.values():
            for span_id in sorted(trace.open):
                span = trace.spans[span_id]
                trace.spans[span_id] = span._replace(end=_lost(span.start, self._last_time_ns))
            trace.open.clear()
        self._ready = dict.fromkeys(self._traces)
        return self.take(0.0)

    def unfinished(self) -> Iterable[Record]:
        """Records of the traces that are not ready, to go on from."""
        for trace in self._traces.values():
            for span in trace.spans.values():
                yield from _records(span)


def _lost(start: SpanStart, last_time_ns: int) -> SpanEnd:
    return SpanEnd(
        trace_id=start.trace_id,
        span_id=start.span_id,
        time_ns=max(start.time_ns, last_time_ns),
        status=Status.ERROR,
        message="the process ended while this was running",
        inputs=None,
        outputs=None,
        attributes=orjson.dumps({Attr.OUTCOME: Outcome.LOST}),
    )


def _settled(spans: dict[str, SpanRecords]) -> list[SpanRecords]:
    return list(spans.values())
