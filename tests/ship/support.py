"""Traces to deliver, a clock to turn, and sinks that fail as told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from langchain_autotrace.errors import SinkUnavailable, TraceRejected
from langchain_autotrace.ship.assemble import Assembler, FinishedTrace, SpanRecords
from langchain_autotrace.ship.shipper import Shipper
from langchain_autotrace.ship.sink import MemorySink
from langchain_autotrace.span import Record, SpanEnd, SpanEvent, SpanStart, Status, TraceContext
from tests.journal.support import INFO

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from langchain_autotrace.journal.folder import DestinationFolder
    from langchain_autotrace.journal.writer import Journal

SECOND: Final = 1_000_000_000
BEGIN: Final = 1_767_225_600 * SECOND
CONTEXT: Final = TraceContext(None, None, {}, {})


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
    attributes: dict[str, Any] | None = None,
    context: TraceContext = CONTEXT,
    **fields: Any,
) -> SpanStart:
    """The start of a span, ``at`` seconds after the first; a root when it has no parent."""
    return SpanStart(
        trace_id=trace_id(trace),
        span_id=span_id(span),
        parent_id=None if parent is None else span_id(parent),
        name=f"span {span}",
        type="CHAIN",
        time_ns=BEGIN + int(at * SECOND),
        inputs=None if inputs is None else orjson.dumps(f"inputs {span}" if inputs is ... else inputs),
        attributes=orjson.dumps(attributes or {}),
        trace=context if parent is None else None,
    )._replace(**fields)


def event(trace: int, span: int, name: str = "event", *, at: float = 0, **attributes: Any) -> SpanEvent:
    """Something that happened in a span."""
    return SpanEvent(trace_id(trace), span_id(span), name, BEGIN + int(at * SECOND), orjson.dumps(attributes))


def end(
    trace: int,
    span: int,
    *,
    at: float = 1,
    outputs: object = ...,
    attributes: dict[str, Any] | None = None,
    **fields: Any,
) -> SpanEnd:
    """The end of a span."""
    return SpanEnd(
        trace_id=trace_id(trace),
        span_id=span_id(span),
        time_ns=BEGIN + int(at * SECOND),
        status=Status.OK,
        message="",
        inputs=None,
        outputs=None if outputs is None else orjson.dumps(f"outputs {span}" if outputs is ... else outputs),
        attributes=orjson.dumps(attributes or {}),
    )._replace(**fields)


def whole(trace: int, spans: int = 2) -> list[Record]:
    """The records of a trace of a root and its children."""
    children = range(2, spans + 1)
    return [
        start(trace, 1),
        *(start(trace, child, 1) for child in children),
        *(end(trace, child) for child in children),
        end(trace, 1),
    ]


def finished(*records: Record) -> FinishedTrace:
    """The one trace that the records make."""
    assembler = Assembler()
    assembler.process = INFO
    for record in records:
        assembler.add(record, 0.0)
    (trace,) = assembler.take(0.0, everything=True) or assembler.finish()
    return trace


def write(journal: Journal, *records: Record) -> None:
    """Append the records."""
    for record in records:
        assert journal.append(record)


Spans = dict[str, dict[str, SpanRecords]]


def joined(records: Iterable[Record]) -> Spans:
    """What a store holds when the records were delivered."""
    found: Spans = {}
    for record in records:
        if isinstance(record, SpanStart):
            found.setdefault(record.trace_id, {})[record.span_id] = SpanRecords(record, [], None)
        elif isinstance(record, SpanEvent):
            found[record.trace_id][record.span_id].events.append(record)
        elif isinstance(record, SpanEnd):
            spans = found[record.trace_id]
            spans[record.span_id] = spans[record.span_id]._replace(end=record)
    return found


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

    def write(self, batch: Sequence[FinishedTrace]) -> None:
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


def assembled(*records: Record, now: float = 0.0) -> Assembler:
    """An assembler that has got the records."""
    assembler = Assembler()
    assembler.process = INFO
    for record in records:
        assembler.add(record, now)
    return assembler
