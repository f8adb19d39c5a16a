"""Joins the records of a process into traces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import orjson

from langchain_autotrace.span import (
    Attr,
    ModelSeen,
    Outcome,
    ProcessInfo,
    Record,
    SpanEnd,
    SpanEvent,
    SpanFile,
    SpanStart,
    Status,
    TraceUpdate,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from langchain_autotrace.span import Json

_LATE_SECONDS: Final = 2.0
"""How long a trace whose root has ended waits for spans that have not: those of an abandoned stream end later."""


class SpanRecords(NamedTuple):
    """All that is known of one span."""

    start: SpanStart
    events: list[SpanEvent]
    end: SpanEnd | None
    """None while the span is open."""
    files: tuple[SpanFile, ...] = ()

    @property
    def inputs(self) -> Json | None:
        """The span's inputs: those of a stream's step are known at its end only."""
        return self.end.inputs if self.end is not None and self.end.inputs is not None else self.start.inputs


class FinishedTrace(NamedTuple):
    """A trace that can be delivered, or the spans of one that ended after its delivery."""

    trace_id: str
    process: ProcessInfo | None
    root: SpanStart | None
    """None when the root was delivered before."""
    spans: list[SpanRecords]
    update: TraceUpdate | None = None
    models: tuple[ModelSeen, ...] = ()
    """Chains that ran to their end for the first time in it."""

    def records(self) -> Iterator[Record]:
        """The records it was made of, in an order that makes it again."""
        return _records(self.spans, self.update, self.models)


def _records(spans: Iterable[SpanRecords], update: TraceUpdate | None, models: Iterable[ModelSeen]) -> Iterator[Record]:
    if update is not None:
        yield update
    yield from models
    for span in spans:
        yield from _records_of(span)


def _records_of(span: SpanRecords) -> Iterator[Record]:
    yield span.start
    yield from span.events
    yield from span.files
    if span.end is not None:
        yield span.end


class _Open:
    """A trace that is being joined."""

    __slots__ = ("abandoned", "due_from", "models", "open", "root", "spans", "update")

    def __init__(self) -> None:
        self.root: SpanStart | None = None
        self.spans: dict[str, SpanRecords] = {}
        self.update: TraceUpdate | None = None
        self.models: tuple[ModelSeen, ...] = ()
        self.open: set[str] = set()
        self.due_from: float | None = None
        """When it began to wait for its stragglers: its root has ended, or one of the spans that came late."""
        self.abandoned = False
        """Whether its root was a stream that the consumer closed."""


class Assembler:
    """Joins starts, events and ends, in the order of one process's journal."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self.process: ProcessInfo | None = None
        self.orphans = 0
        """Events and ends whose start was never seen: cut by a crash, or evicted."""
        self._traces: dict[str, _Open] = {}
        self._due: dict[str, None] = {}
        """Those of the traces that wait for their stragglers: few, where thousands may be open."""
        self._ready: dict[str, None] = {}
        self._last_time_ns = 0

    @property
    def open_traces(self) -> int:
        """Traces whose root has not ended."""
        return sum(trace.root is not None and trace.due_from is None for trace in self._traces.values())

    def add(self, record: Record, now: float) -> None:
        """Take the next record; ``now`` is a monotonic clock's seconds."""
        if isinstance(record, SpanStart):
            self._start(record)
        elif isinstance(record, SpanEvent):
            self._event(record)
        elif isinstance(record, SpanEnd):
            self._end(record, now)
        elif isinstance(record, SpanFile):
            self._file(record)
        elif isinstance(record, TraceUpdate):
            self._trace(record.trace_id).update = record
        elif isinstance(record, ModelSeen):
            trace = self._trace(record.trace_id)
            trace.models = (*trace.models, record)

    def _start(self, record: SpanStart) -> None:
        self._last_time_ns = max(self._last_time_ns, record.time_ns)
        trace = self._trace(record.trace_id)
        if record.parent_id is None:
            trace.root = record
        # It may come again, when its inputs are known.
        known = trace.spans.get(record.span_id)
        trace.spans[record.span_id] = SpanRecords(record, [], None) if known is None else known._replace(start=record)
        trace.open.add(record.span_id)
        if record.trace_id in self._ready:
            del self._ready[record.trace_id]
            self._due[record.trace_id] = None

    def _trace(self, trace_id: str) -> _Open:
        trace = self._traces.get(trace_id)
        if trace is None:
            trace = self._traces[trace_id] = _Open()
        return trace

    def _event(self, record: SpanEvent) -> None:
        self._last_time_ns = max(self._last_time_ns, record.time_ns)
        trace = self._traces.get(record.trace_id)
        span = trace.spans.get(record.span_id) if trace else None
        if span is None:
            self.orphans += 1
        else:
            span.events.append(record)

    def _file(self, record: SpanFile) -> None:
        trace = self._traces.get(record.trace_id)
        span = trace.spans.get(record.span_id) if trace else None
        if trace is None or span is None:
            self.orphans += 1
        else:
            trace.spans[record.span_id] = span._replace(files=(*span.files, record))

    def _end(self, record: SpanEnd, now: float) -> None:
        self._last_time_ns = max(self._last_time_ns, record.time_ns)
        trace = self._traces.get(record.trace_id)
        span = trace.spans.get(record.span_id) if trace else None
        if trace is None or span is None:
            self.orphans += 1
            return
        if record.time_ns < span.start.time_ns:  # the clock was set back
            record = record._replace(time_ns=span.start.time_ns)
        trace.spans[record.span_id] = span._replace(end=record)
        trace.open.discard(record.span_id)
        if span.start.parent_id is None:
            trace.due_from = now
            trace.abandoned = _outcome(record) == Outcome.ABANDONED
        elif trace.root is None and trace.due_from is None:
            trace.due_from = now
        if trace.due_from is not None:
            (self._due if trace.open else self._ready)[record.trace_id] = None

    def take(self, now: float, *, everything: bool = False) -> list[FinishedTrace]:
        """Traces that can be delivered: whole ones, and those whose stragglers let them wait too long.

        Args:
            now: as for ``add``.
            everything: do not wait for stragglers; somebody waits for what has ended.
        """
        for trace_id in self._due:
            due_from = self._traces[trace_id].due_from
            if due_from is not None and (everything or now - due_from >= _LATE_SECONDS):
                self._ready[trace_id] = None
        taken = [self._take_one(trace_id) for trace_id in self._ready]
        self._ready = {}
        return taken

    def _take_one(self, trace_id: str) -> FinishedTrace:
        trace = self._traces.pop(trace_id)
        self._due.pop(trace_id, None)
        spans = [_excused(span) for span in trace.spans.values()] if trace.abandoned else list(trace.spans.values())
        if trace.open:
            # What is still open goes along, so that its children have their parent, and comes again when it ends.
            rest = self._traces[trace_id] = _Open()
            rest.spans = {span_id: trace.spans[span_id] for span_id in trace.spans if span_id in trace.open}
            rest.open = set(trace.open)
            rest.abandoned = trace.abandoned
        return FinishedTrace(trace_id, self.process, trace.root, spans, trace.update, trace.models)

    def finish(self) -> list[FinishedTrace]:
        """The process is dead: what is open was lost with it."""
        for trace in self._traces.values():
            _lose(trace.spans, self._last_time_ns)
            trace.open.clear()
        self._ready = {trace_id: None for trace_id, trace in self._traces.items() if trace.spans}
        return self.take(0.0)

    def unfinished(self) -> Iterable[Record]:
        """Records of the traces that are not ready, to go on from."""
        for trace in self._traces.values():
            yield from _records(trace.spans.values(), trace.update, trace.models)


def _lose(spans: dict[str, SpanRecords], last_time_ns: int) -> None:
    """End the open spans.

    A step of a stream tells its inputs at its end: a lost one takes those of its first child that has some, which was
    given the same.
    """
    given: dict[str | None, Json] = {}
    for span_id, span in reversed(list(spans.items())):  # children come before their parents, the first one last
        if span.end is None:
            inputs = given.get(span_id) if span.start.inputs is None else None
            span = spans[span_id] = span._replace(end=_lost(span.start, inputs, last_time_ns))  # noqa: PLW2901
        if span.inputs is not None:
            given[span.start.parent_id] = span.inputs


def _lost(start: SpanStart, inputs: Json | None, last_time_ns: int) -> SpanEnd:
    return SpanEnd(
        trace_id=start.trace_id,
        span_id=start.span_id,
        time_ns=max(start.time_ns, last_time_ns),
        status=Status.ERROR,
        message="the process ended while this was running",
        inputs=inputs,
        outputs=None,
        attributes=orjson.dumps({Attr.OUTCOME: Outcome.LOST}),
    )


def _excused(span: SpanRecords) -> SpanRecords:
    """A span below a stream that was closed: the cancellation that closing it sent down is no error."""
    end = span.end
    if end is None or end.status != Status.ERROR or _outcome(end) != Outcome.CANCELLED:
        return span
    attributes = orjson.dumps({**orjson.loads(end.attributes), Attr.OUTCOME: Outcome.ABANDONED})
    return span._replace(end=end._replace(status=Status.OK, message="", attributes=attributes))


def _outcome(end: SpanEnd) -> object:
    return orjson.loads(end.attributes).get(Attr.OUTCOME) if b"outcome" in end.attributes else None
