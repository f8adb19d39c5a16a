"""Traces to deliver, a clock to turn, and sinks that fail as told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from langchain_autotrace.errors import SinkUnavailable, TraceRejected
from langchain_autotrace.records import Record, SpanEnd, SpanEvent, SpanStart, TraceContext
from langchain_autotrace.semconv import Kind, SpanType, Status
from langchain_autotrace.ship.shipper import Shipper
from langchain_autotrace.ship.sink import MemorySink
from langchain_autotrace.trace.join import JoinedTrace, Joiner, SpanRecords
from langchain_autotrace.trace.spans import Span, Trace, trace_of
from tests.journal.support import INFO

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from langchain_autotrace.journal.folder import DestinationFolder
    from langchain_autotrace.journal.writer import Journal
    from langchain_autotrace.records import TraceRecord

SECOND: Final = 1_000_000_000
BEGIN: Final = 1_767_225_600 * SECOND
CONTEXT: Final = TraceContext(experiment=None, experiment_id=None, tags={}, metadata={})


def trace_id(number: int) -> str:
    """The id of the ``number``-th trace."""
    return f"{number:032x}"


def span_id(number: int) -> str:
    """The id of a span."""
    return f"{number:016x}"


def start(
    trace: int,
    span: int,
    parent: int | None = None,
    *,
    at: float = 0,
    inputs: object = ...,
    type: str | None = None,  # noqa: A002 - a span's type
    attributes: dict[str, Any] | None = None,
    context: TraceContext = CONTEXT,
    **fields: Any,
) -> SpanStart:
    """The start of a run, ``at`` seconds after the first, a root when it has no parent.

    With a type or attributes it is the start of a span of MLflow's own API, which has them ready.
    """
    is_run = type is None and attributes is None
    return SpanStart(
        trace_id=trace_id(trace),
        span_id=span_id(span),
        parent_id=None if parent is None else span_id(parent),
        time_ns=BEGIN + int(at * SECOND),
        kind=Kind.CHAIN if is_run else Kind.SPAN,
        name=f"span {span}",
        run_id=None,
        tags=None,
        context=context if parent is None else None,
        inputs=None if inputs is None else [f"inputs {span}" if inputs is ... else inputs],
        details={} if is_run else {"type": type or SpanType.CHAIN, "attributes": attributes or {}},
    )._replace(**fields)


def event(trace: int, span: int, name: str = "event", *, at: float = 0, **attributes: Any) -> SpanEvent:
    """Something that happened in a span."""
    return SpanEvent(trace_id(trace), span_id(span), BEGIN + int(at * SECOND), name, attributes)


def end(
    trace: int,
    span: int,
    *,
    at: float = 1,
    outputs: object = ...,
    attributes: dict[str, Any] | None = None,
    status: str | None = None,
    message: str = "",
) -> SpanEnd:
    """The end of a run; with attributes or a status, that of a span of MLflow's own API."""
    is_run = attributes is None and status is None
    details = {"attributes": attributes or {}, "status": status or Status.OK, "message": message}
    return SpanEnd(
        trace_id=trace_id(trace),
        span_id=span_id(span),
        time_ns=BEGIN + int(at * SECOND),
        outputs=None if outputs is None else [f"outputs {span}" if outputs is ... else outputs],
        details={} if is_run else details,
    )


def whole(trace: int, spans: int = 2) -> list[Record]:
    """The records of a trace of a root and its children."""
    children = range(2, spans + 1)
    return [
        start(trace, 1),
        *(start(trace, child, 1) for child in children),
        *(end(trace, child) for child in children),
        end(trace, 1),
    ]


def joiner_of(*records: Record, now: float = 0.0) -> Joiner:
    """A joiner that has got the records."""
    joiner = Joiner()
    joiner.process = INFO
    for record in records:
        joiner.add(record, now)
    return joiner


def finished(*records: Record) -> Trace:
    """The one trace that the records make."""
    joiner = joiner_of(*records)
    (joined,) = joiner.take(0.0, everything=True) or joiner.finish()
    return trace_of(joined)


def write(journal: Journal, *records: Record) -> None:
    """Append the records."""
    for record in records:
        assert journal.append(record)


Spans = dict[str, dict[str, Span]]


def spans_of(records: Iterable[Record]) -> Spans:
    """What a store holds, by trace id and span id, when the records of runs were delivered."""
    joined: dict[str, dict[str, SpanRecords]] = {}
    known: dict[str, list[TraceRecord]] = {}
    for record in records:
        assert isinstance(record, SpanStart | SpanEvent | SpanEnd)
        known.setdefault(record.trace_id, []).append(record)
        spans = joined.setdefault(record.trace_id, {})
        if isinstance(record, SpanStart):
            spans[record.span_id] = SpanRecords(record, [], None)
        elif isinstance(record, SpanEvent):
            spans[record.span_id].events.append(record)
        else:
            spans[record.span_id] = spans[record.span_id]._replace(end=record)
    return {
        name: {
            span.span_id: span
            for span in trace_of(JoinedTrace(name, INFO, None, list(spans.values()), tuple(known[name]))).spans
        }
        for name, spans in joined.items()
    }


class Clock:
    """A clock that goes on when somebody sleeps."""

    def __init__(self) -> None:
        """Begin at a time that is not zero."""
        self.now = 1_000.0

    def __call__(self) -> float:
        """The time in seconds."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let the seconds pass."""
        self.now += seconds


class ScriptedSink(MemorySink):
    """A store in memory that fails as told."""

    def __init__(
        self, faults: Iterable[Exception | None] = (), poison: Iterable[int] = (), trouble: Iterable[int] = ()
    ) -> None:
        """Fail with each of ``faults``, refuse traces of these numbers, and be out of order at those in ``trouble``."""
        super().__init__()
        self.faults = list(faults)
        self.poison = {trace_id(number) for number in poison}
        self.trouble = {trace_id(number) for number in trouble}
        self.batches: list[int] = []

    def write(self, batch: Sequence[Trace]) -> None:
        """Fail, or store."""
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None:
            raise fault
        if any(trace.trace_id in self.trouble for trace in batch):
            raise SinkUnavailable("error 500")
        bad = [trace.trace_id for trace in batch if trace.trace_id in self.poison]
        if bad:
            msg = f"{len(batch)} traces with {bad[0][-3:]}"
            raise TraceRejected(msg)
        self.batches.append(len(batch))
        super().write(batch)


DOWN = SinkUnavailable("the store is down")


def shipper_of(folder: DestinationFolder, sink: MemorySink, clock: Clock) -> Shipper:
    """A shipper whose time the test makes."""
    return Shipper(folder, sink, clock=clock, sleep=clock.sleep)


def run(shipper: Shipper, clock: Clock, seconds: float, *, longest: float = 0.1) -> None:
    """Let a shipper work for some time, as ``serve`` does, with ever longer pauses where there is nothing to do."""
    end_at, pause = clock() + seconds, 0.01
    while clock() < end_at:
        if shipper.step():
            pause = 0.01
        else:
            clock.sleep(pause)
            pause = min(pause * 1.5, longest)


def left_in(folder: DestinationFolder) -> set[str]:
    """The files of processes that are there."""
    return {
        path.suffix for path in folder.path.iterdir() if path.suffix in {".jsonl", ".alive", ".checkpoint", ".part"}
    }


def status_of(folder: DestinationFolder) -> dict[str, object]:
    """The status, without its times."""
    return {key: value for key, value in folder.read_status().items() if "time" not in key and "since" not in key}


def a_status(delivered: int, **fields: object) -> dict[str, object]:
    """A status without trouble."""
    return {
        "delivered": delivered, "rejected": 0, "torn": 0, "orphans": 0, "error": None, "unreadable": {}, **fields
    }  # fmt: skip
