"""Joining records into traces."""

from __future__ import annotations

import pytest

from langchain_autotrace.ship.assemble import FinishedTrace, SpanRecords
from langchain_autotrace.span import Outcome, Record, SpanEnd, SpanStart, Status
from tests.journal.support import INFO
from tests.ship.support import assembled, end, event, finished, start, trace_id, whole


def lost(span_start: SpanStart, *, at: int, inputs: bytes | None = None) -> SpanEnd:
    """The end that a span gets when its process dies."""
    return SpanEnd(
        span_start.trace_id,
        span_start.span_id,
        at,
        Status.ERROR,
        "the process ended while this was running",
        inputs,
        None,
        b'{"outcome":"lost"}',
    )


def test_a_trace() -> None:
    """A trace comes when its root has ended, with all its spans and what happened in them, and once."""
    records: list[Record] = [start(1, 1), start(1, 2, 1), event(1, 2, "a"), event(1, 2, "b"), end(1, 2), event(1, 1)]
    assembler = assembled(*records)
    before = assembler.take(0.0)
    assembler.add(end(1, 1), 0.0)

    assert before == []
    assert assembler.take(0.0) == [
        FinishedTrace(
            trace_id(1),
            INFO,
            start(1, 1),
            [
                SpanRecords(start(1, 1), [event(1, 1)], end(1, 1)),
                SpanRecords(start(1, 2, 1), [event(1, 2, "a"), event(1, 2, "b")], end(1, 2)),
            ],
        )
    ]
    assert (assembler.take(99.0, everything=True), assembler.finish(), assembler.orphans) == ([], [], 0)


def test_a_clock_that_was_set_back() -> None:
    """A span that ended before it started took no time."""
    records: list[Record] = [start(1, 1), end(1, 1)._replace(time_ns=start(1, 1).time_ns - 5)]
    (trace,) = assembled(*records).take(0.0)

    assert trace.spans[0].end == end(1, 1)._replace(time_ns=start(1, 1).time_ns)


def test_interleaved_traces() -> None:
    """Records of several traces are told apart by their ids, and traces come in the order of their ends."""
    first, second, third = whole(1, 3), whole(2, 3), whole(3, 3)
    mixed = [record for group in zip(third, first, second, strict=True) for record in group]

    taken = assembled(*mixed).take(0.0)

    assert [trace.trace_id for trace in taken] == [trace_id(3), trace_id(1), trace_id(2)]
    assert [list(trace.records()) for trace in taken] == [
        list(finished(*one).records()) for one in (third, first, second)
    ]


def test_a_trace_made_again_from_its_records() -> None:
    """The records of a trace make the same trace."""
    trace = finished(start(1, 1), start(1, 2, 1), event(1, 2), end(1, 2), end(1, 1))

    assert finished(*trace.records()) == trace


def test_a_span_that_ends_after_its_root() -> None:
    """A trace waits two seconds for late spans, goes with the open ones then, and those come again when they end."""
    assembler = assembled(start(1, 1), start(1, 2, 1), start(1, 3, 2), end(1, 1), now=10.0)

    assert assembler.take(11.9) == []
    assert assembler.take(12.0) == [
        FinishedTrace(
            trace_id(1),
            INFO,
            start(1, 1),
            [
                SpanRecords(start(1, 1), [], end(1, 1)),
                SpanRecords(start(1, 2, 1), [], None),
                SpanRecords(start(1, 3, 2), [], None),
            ],
        )
    ]
    for record in (event(1, 3), end(1, 3), end(1, 2)):
        assembler.add(record, 20.0)
    assert assembler.take(20.0) == [
        FinishedTrace(
            trace_id(1),
            INFO,
            None,
            [SpanRecords(start(1, 2, 1), [], end(1, 2)), SpanRecords(start(1, 3, 2), [event(1, 3)], end(1, 3))],
        )
    ]


def test_late_spans_of_which_some_go_on() -> None:
    """Late spans that have ended wait two seconds too, and not for others that may never end."""
    assembler = assembled(start(1, 1), start(1, 2, 1), end(1, 1))
    assembler.take(2.0)
    assembler.add(start(1, 3, 2), 50.0)
    assembler.add(end(1, 3), 50.0)

    assert assembler.take(51.9) == []
    assert assembler.take(52.0) == [
        FinishedTrace(
            trace_id(1), INFO, None, [SpanRecords(start(1, 2, 1), [], None), SpanRecords(start(1, 3, 2), [], end(1, 3))]
        )
    ]
    assert assembler.take(99.0, everything=True) == []


def test_a_span_that_starts_after_its_trace_was_delivered() -> None:
    """A span of a trace that is gone comes by itself."""
    assembler = assembled(*whole(1))
    assembler.take(0.0)
    assembler.add(start(1, 9, 1), 5.0)
    assembler.add(end(1, 9), 6.0)

    assert assembler.take(6.0) == [FinishedTrace(trace_id(1), INFO, None, [SpanRecords(start(1, 9, 1), [], end(1, 9))])]


def test_somebody_who_waits() -> None:
    """Everything that has ended comes at once when somebody waits for it, and nothing whose root goes on."""
    assembler = assembled(start(1, 1), start(1, 2, 1), end(1, 1), start(2, 1), start(2, 2, 1), end(2, 2))

    assert [(trace.trace_id, len(trace.spans)) for trace in assembler.take(0.0, everything=True)] == [(trace_id(1), 2)]
    assert assembler.open_traces == 1


def test_a_process_that_died() -> None:
    """What was open is lost: it ends with the last that is known of the process, as an error, its inputs kept."""
    records: list[Record] = [
        start(1, 1),
        start(1, 2, 1),
        event(1, 2),
        start(2, 1, at=5),
        end(2, 1, at=7),
        start(3, 1, at=9),
    ]
    assembler = assembled(*records)
    whole_before = assembler.take(0.0)
    last = start(3, 1, at=9).time_ns

    assert [trace.trace_id for trace in whole_before] == [trace_id(2)]
    assert assembler.finish() == [
        FinishedTrace(
            trace_id(1),
            INFO,
            start(1, 1),
            [
                SpanRecords(start(1, 1), [], lost(start(1, 1), at=last)),
                SpanRecords(start(1, 2, 1), [event(1, 2)], lost(start(1, 2, 1), at=last)),
            ],
        ),
        FinishedTrace(
            trace_id(3), INFO, start(3, 1, at=9), [SpanRecords(start(3, 1, at=9), [], lost(start(3, 1, at=9), at=last))]
        ),
    ]
    assert assembler.finish() == []


def test_a_stream_that_was_lost() -> None:
    """A lost step of a stream, whose inputs would have come with its end, takes those of its first child with some."""
    records: list[Record] = [
        start(1, 1, inputs=None),
        start(1, 2, 1, inputs=None),
        start(1, 3, 2, inputs=None),
        end(1, 3, inputs=b'"what the prompt was given"'),
        start(1, 4, 2, inputs="what the model was given"),
        start(1, 5, 1, inputs=None),
    ]
    (trace,) = assembled(*records).finish()

    assert {span.start.name: span.inputs for span in trace.spans} == {
        "span 1": b'"what the prompt was given"',
        "span 2": b'"what the prompt was given"',
        "span 3": b'"what the prompt was given"',
        "span 4": b'"what the model was given"',
        "span 5": None,
    }


def test_a_late_span_that_was_lost() -> None:
    """A span that was still open after its trace was delivered comes again as lost."""
    assembler = assembled(start(1, 1), start(1, 2, 1), end(1, 1))
    assembler.take(2.0)

    assert assembler.finish() == [
        FinishedTrace(
            trace_id(1),
            INFO,
            None,
            [SpanRecords(start(1, 2, 1), [], lost(start(1, 2, 1), at=end(1, 1).time_ns))],
        )
    ]


def test_records_without_a_start() -> None:
    """Events and ends whose start is missing are counted, and make no trace."""
    assembler = assembled(event(1, 1), end(1, 1), start(2, 1), end(2, 2), event(2, 2), end(2, 1))

    assert [trace.trace_id for trace in assembler.take(0.0)] == [trace_id(2)]
    assert assembler.orphans == 4


def cancelled(trace: int, span: int) -> SpanEnd:
    """The end of a span that was cancelled."""
    attributes = {"outcome": Outcome.CANCELLED, "kept": 1}
    return end(trace, span, attributes=attributes, status=Status.ERROR, message="CancelledError", outputs=None)


@pytest.mark.parametrize("late", [False, True])
def test_a_stream_that_its_consumer_closed(*, late: bool) -> None:
    """What closing a stream cancelled below it was abandoned with it, and is no error; other errors stay errors."""
    failed = end(1, 3, status=Status.ERROR, message="ValueError: no")
    root = end(1, 1, attributes={"outcome": Outcome.ABANDONED})
    ends = [failed, root, cancelled(1, 2)] if late else [failed, cancelled(1, 2), root]
    assembler = assembled(start(1, 1), start(1, 2, 1), start(1, 3, 1), *ends[:-1])
    taken = assembler.take(9.0) if late else []
    assembler.add(event(1, 2, "exception"), 9.0)
    assembler.add(ends[-1], 9.0)
    taken += assembler.take(9.0)

    excused = end(1, 2, attributes={"outcome": Outcome.ABANDONED, "kept": 1}, outputs=None)
    kept = {span.start.span_id: span for trace in taken for span in trace.spans}
    assert list(kept.values()) == [
        SpanRecords(start(1, 1), [], root),
        SpanRecords(start(1, 2, 1), [event(1, 2, "exception")], excused),
        SpanRecords(start(1, 3, 1), [], failed),
    ]


@pytest.mark.parametrize("outcome", [None, Outcome.CANCELLED])
def test_a_task_that_was_cancelled(outcome: Outcome | None) -> None:
    """What was cancelled under a root that was not abandoned is an error."""
    root = end(1, 1, attributes={"outcome": outcome} if outcome else {})
    trace = finished(start(1, 1), start(1, 2, 1), cancelled(1, 2), root)

    assert [span.end for span in trace.spans] == [root, cancelled(1, 2)]
