"""Joins the records of a process into traces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from langchain_autotrace.records import (
    ModelSeen,
    ProcessInfo,
    Record,
    SpanEnd,
    SpanEvent,
    SpanStart,
    TraceFile,
    TraceRecord,
    TraceUpdate,
)
from langchain_autotrace.trace.agents import graphs
from langchain_autotrace.trace.endings import IN_CLOSED_STREAM, LOST, closed_streams
from langchain_autotrace.trace.tool_spans import ANSWERED, answered_calls

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_LATE_SECONDS: Final = 2.0
"""How long a trace whose root has ended waits for spans that have not: those of an abandoned stream end later."""


class SpanRecords(NamedTuple):
    """The records of one span."""

    start: SpanStart
    events: list[SpanEvent]
    end: SpanEnd | None
    """None while the span is open."""


class JoinedTrace(NamedTuple):
    """The records of a trace that can be delivered, or of the spans of one that ended after its delivery."""

    trace_id: str
    process: ProcessInfo | None
    root: SpanStart | None
    """None when the root was delivered before."""
    spans: list[SpanRecords]
    records: tuple[TraceRecord, ...]
    """All of it in the order in which it was written; joined again it makes the same trace."""
    update: TraceUpdate | None = None
    models: tuple[ModelSeen, ...] = ()
    """Chains that returned for the first time in it."""
    files: tuple[TraceFile, ...] = ()
    """Files that values of these spans, or of later ones, refer to."""


class _Open:
    """A trace that is being joined."""

    __slots__ = ("due_from", "files", "models", "open", "records", "root", "spans", "update")

    def __init__(self) -> None:
        self.records: list[TraceRecord] = []
        self.root: SpanStart | None = None
        self.spans: dict[str, SpanRecords] = {}
        self.update: TraceUpdate | None = None
        self.models: tuple[ModelSeen, ...] = ()
        self.files: tuple[TraceFile, ...] = ()
        self.open: set[str] = set()
        self.due_from: float | None = None
        """When it began to wait for its late spans: its root has ended, or one of the spans that came late."""


class Joiner:
    """Joins starts, events and ends, in the order of one process's journal."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self.process: ProcessInfo | None = None
        self.orphans = 0
        """Events and ends whose start was never seen: cut by a crash, or evicted."""
        self._traces: dict[str, _Open] = {}
        self._due: dict[str, None] = {}
        """Those of the traces that wait for late spans: few, where thousands may be open."""
        self._ready: dict[str, None] = {}
        self._last_time_ns = 0

    @property
    def open_traces(self) -> int:
        """Traces whose root has not ended."""
        return sum(trace.root is not None and trace.due_from is None for trace in self._traces.values())

    def add(self, record: Record, now: float) -> None:
        """Take the next record; ``now`` is a monotonic clock's seconds."""
        if isinstance(record, ProcessInfo):
            self.process = record
        elif isinstance(record, SpanStart):
            self._start(record)
        elif isinstance(record, SpanEnd):
            self._end(record, now)
        elif isinstance(record, SpanEvent):
            self._within(record)
        elif isinstance(record, TraceUpdate | ModelSeen | TraceFile):
            self._of_trace(record)

    def _of_trace(self, record: TraceUpdate | ModelSeen | TraceFile) -> None:
        trace = self._trace(record.trace_id)
        trace.records.append(record)
        if isinstance(record, TraceUpdate):
            trace.update = record
        elif isinstance(record, TraceFile):
            trace.files = (*trace.files, record)
        else:
            trace.models = (*trace.models, record)

    def _trace(self, trace_id: str) -> _Open:
        trace = self._traces.get(trace_id)
        if trace is None:
            trace = self._traces[trace_id] = _Open()
        return trace

    def _start(self, record: SpanStart) -> None:
        self._last_time_ns = max(self._last_time_ns, record.time_ns)
        trace = self._trace(record.trace_id)
        trace.records.append(record)
        if record.parent_id is None:
            trace.root = record
        # It may come again, when its inputs are known.
        known = trace.spans.get(record.span_id)
        trace.spans[record.span_id] = SpanRecords(record, [], None) if known is None else known._replace(start=record)
        trace.open.add(record.span_id)
        if record.trace_id in self._ready:
            del self._ready[record.trace_id]
            self._due[record.trace_id] = None

    def _within(self, record: SpanEvent) -> None:
        trace = self._traces.get(record.trace_id)
        span = trace.spans.get(record.span_id) if trace else None
        if trace is None or span is None:
            self.orphans += 1
            return
        trace.records.append(record)
        self._last_time_ns = max(self._last_time_ns, record.time_ns)
        span.events.append(record)

    def _end(self, record: SpanEnd, now: float) -> None:
        self._last_time_ns = max(self._last_time_ns, record.time_ns)
        trace = self._traces.get(record.trace_id)
        span = trace.spans.get(record.span_id) if trace else None
        if trace is None or span is None:
            self.orphans += 1
            return
        if record.time_ns < span.start.time_ns:  # the clock was set back
            record = record._replace(time_ns=span.start.time_ns)
        trace.records.append(record)
        trace.spans[record.span_id] = SpanRecords(span.start, span.events, record)
        trace.open.discard(record.span_id)
        if span.start.parent_id is None or (trace.root is None and trace.due_from is None):
            trace.due_from = now
        if trace.due_from is not None:
            (self._due if trace.open else self._ready)[record.trace_id] = None

    def take(self, now: float, *, everything: bool = False) -> list[JoinedTrace]:
        """Return the traces that can be delivered: whole ones, and those that have waited too long for late spans.

        Args:
            now: as for ``add``.
            everything: do not wait for late spans; somebody waits for what has ended.
        """
        for trace_id in self._due:
            due_from = self._traces[trace_id].due_from
            if due_from is not None and (everything or now - due_from >= _LATE_SECONDS):
                self._ready[trace_id] = None
        taken = [self._take_one(trace_id) for trace_id in self._ready]
        self._ready = {}
        return taken

    def peek(self, trace_id: str) -> JoinedTrace | None:
        """Return a trace as it is now, and go on joining it; None when it is not being joined."""
        trace = self._traces.get(trace_id)
        return None if trace is None else self._joined(trace_id, trace)

    def _joined(self, trace_id: str, trace: _Open) -> JoinedTrace:
        return JoinedTrace(
            trace_id,
            self.process,
            trace.root,
            list(trace.spans.values()),
            tuple(trace.records),
            trace.update,
            trace.models,
            trace.files,
        )

    def _take_one(self, trace_id: str) -> JoinedTrace:
        trace = self._traces.pop(trace_id)
        self._due.pop(trace_id, None)
        joined = self._joined(trace_id, trace)
        if trace.open:
            self._traces[trace_id] = self._rest_of(trace, joined)
        return joined

    def _rest_of(self, trace: _Open, joined: JoinedTrace) -> _Open:
        """Return what is open. It is delivered too, so that its children have their parent, and again when it ends."""
        rest = _Open()
        closed, known, answered = closed_streams(joined.records), graphs(joined.records), answered_calls(joined)
        for record in trace.records:
            if not isinstance(record, SpanStart | SpanEvent) or record.span_id not in trace.open:
                continue
            if isinstance(record, SpanStart):
                notes = known.notes(record.span_id)
                notes |= {IN_CLOSED_STREAM: True} if record.parent_id in closed else {}
                notes |= {ANSWERED: calls} if (calls := answered.get(record.span_id)) else {}
                rest.records.append(record._replace(details={**record.details, **notes}) if notes else record)
            else:
                rest.records.append(record)
        rest.spans = {span_id: span for span_id, span in trace.spans.items() if span_id in trace.open}
        rest.open = set(trace.open)
        return rest

    def finish(self) -> list[JoinedTrace]:
        """Return all traces that are left, for the process is dead: what is open was lost with it."""
        for trace in self._traces.values():
            self._lose(trace)
        self._ready = {trace_id: None for trace_id, trace in self._traces.items() if trace.spans}
        return self.take(0.0)

    def _lose(self, trace: _Open) -> None:
        for span_id, span in reversed(list(trace.spans.items())):  # children come before their parents
            if span.end is None:
                end = SpanEnd(
                    trace_id=span.start.trace_id,
                    span_id=span_id,
                    time_ns=max(span.start.time_ns, self._last_time_ns),
                    outputs=None,
                    details={"error": LOST},
                )
                trace.records.append(end)
                trace.spans[span_id] = span._replace(end=end)
        trace.open.clear()

    def unfinished(self) -> Iterable[TraceRecord]:
        """Return the records of the traces that are not ready, to go on from."""
        return _chained(trace.records for trace in self._traces.values())


def _chained(records: Iterable[Iterable[TraceRecord]]) -> Iterator[TraceRecord]:
    for some in records:
        yield from some
