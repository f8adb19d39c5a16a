"""Joining records into traces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_autotrace.records import Flush, Record, SpanEnd, SpanStart, TraceUpdate
from langchain_autotrace.trace.endings import LOST, closed_streams
from langchain_autotrace.trace.join import JoinedTrace, SpanRecords
from tests.trace.support import (
    CLOSED,
    INFO,
    end,
    event,
    failed,
    file,
    joined,
    joiner,
    model_seen,
    span_id,
    start,
    trace_id,
    whole,
)

if TYPE_CHECKING:
    from langchain_autotrace.records import TraceRecord


def lost(span_start: SpanStart, *, at_ns: int) -> SpanEnd:
    """The end that a span gets when its process dies."""
    return SpanEnd(span_start.trace_id, span_start.span_id, at_ns, None, {"error": LOST})


def test_a_trace() -> None:
    """A trace comes when its root has ended, with all its spans and what happened in them, and once."""
    records: list[TraceRecord] = [start(1, 1), start(1, 2, 1), event(1, 2, "a"), event(1, 2, "b"), end(1, 2)]
    made = joiner(*records, event(1, 1))
    before = made.take(0.0)
    made.add(end(1, 1), 0.0)

    assert before == []
    assert made.take(0.0) == [
        JoinedTrace(
            trace_id(1),
            INFO,
            start(1, 1),
            [
                SpanRecords(start(1, 1), [event(1, 1)], end(1, 1)),
                SpanRecords(start(1, 2, 1), [event(1, 2, "a"), event(1, 2, "b")], end(1, 2)),
            ],
            (*records, event(1, 1), end(1, 1)),
        )
    ]
    assert (made.take(99.0, everything=True), made.finish(), made.orphans) == ([], [], 0)
    assert list(made.unfinished()) == []


def test_the_first_record_of_a_file_and_a_flush() -> None:
    """The process is named by its own record, and what belongs to no trace makes none."""
    made = joiner(Flush(1))

    assert (made.process, made.take(9.0), made.open_traces) == (INFO, [], 0)


def test_a_clock_that_was_set_back() -> None:
    """A span that ended before it started took no time."""
    late = end(1, 1)._replace(time_ns=start(1, 1).time_ns - 5)
    mended = late._replace(time_ns=start(1, 1).time_ns)

    assert joined(start(1, 1), late) == JoinedTrace(
        trace_id(1), INFO, start(1, 1), [SpanRecords(start(1, 1), [], mended)], (start(1, 1), mended)
    )


def test_interleaved_traces() -> None:
    """Records of several traces are told apart by their ids, and traces come in the order of their ends."""
    first, second, third = whole(1, 3), whole(2, 3), whole(3, 3)
    mixed = [record for group in zip(third, first, second, strict=True) for record in group]

    assert joiner(*mixed).take(0.0) == [joined(*one) for one in (third, first, second)]


def test_a_trace_made_again_from_its_records() -> None:
    """The records of a trace make the same trace."""
    update = TraceUpdate(trace_id(1), {"tags": {"k": "v"}})
    records = (start(1, 1), update, start(1, 2, 1), event(1, 2), file(1, "f", "AAAA"), end(1, 2), model_seen(1))
    trace = joined(*records, end(1, 1))

    assert trace.records == (*records, end(1, 1))
    assert joined(*trace.records) == trace


def test_a_start_that_comes_again() -> None:
    """A start that comes again, when its inputs are known, takes the place of the first and keeps what happened."""
    again = start(1, 2, 1, inputs=["known now"])
    trace = joined(start(1, 1), start(1, 2, 1, inputs=None), event(1, 2), again, end(1, 2), end(1, 1))

    assert trace.spans == [
        SpanRecords(start(1, 1), [], end(1, 1)),
        SpanRecords(again, [event(1, 2)], end(1, 2)),
    ]


def test_files_updates_and_models() -> None:
    """A trace has its files, the last of its updates, and its chains to be logged."""
    updates = [TraceUpdate(trace_id(1), {"tags": {"k": value}}) for value in "ab"]
    files = [file(1, "f1", "AAAA"), file(1, "f2", "BBBB")]
    records = (start(1, 1), updates[0], files[0], updates[1], files[1], model_seen(1), end(1, 1))

    assert joined(*records) == JoinedTrace(
        trace_id(1),
        INFO,
        start(1, 1),
        [SpanRecords(start(1, 1), [], end(1, 1))],
        records,
        updates[1],
        (model_seen(1),),
        tuple(files),
    )


def test_an_update_before_the_first_span() -> None:
    """What is said of a trace before its root starts belongs to it."""
    update = TraceUpdate(trace_id(1), {"name": "n"})

    assert joined(update, start(1, 1), end(1, 1)).update == update


def test_a_span_that_ends_after_its_root() -> None:
    """A trace waits two seconds for late spans, goes with the open ones then, and those come again when they end."""
    records: list[TraceRecord] = [start(1, 1), start(1, 2, 1), start(1, 3, 2), end(1, 1)]
    made = joiner(*records, now=10.0)

    assert made.take(11.9) == []
    assert made.take(12.0) == [
        JoinedTrace(
            trace_id(1),
            INFO,
            start(1, 1),
            [
                SpanRecords(start(1, 1), [], end(1, 1)),
                SpanRecords(start(1, 2, 1), [], None),
                SpanRecords(start(1, 3, 2), [], None),
            ],
            tuple(records),
        )
    ]
    for record in (event(1, 3), end(1, 3), end(1, 2)):
        made.add(record, 20.0)
    assert made.take(20.0) == [
        JoinedTrace(
            trace_id(1),
            INFO,
            None,
            [SpanRecords(start(1, 2, 1), [], end(1, 2)), SpanRecords(start(1, 3, 2), [event(1, 3)], end(1, 3))],
            (start(1, 2, 1), start(1, 3, 2), event(1, 3), end(1, 3), end(1, 2)),
        )
    ]


def test_late_spans_with_what_had_happened_in_them() -> None:
    """A span that comes again has what happened before its trace was delivered; what is of the trace does not."""
    update = TraceUpdate(trace_id(1), {"name": "n"})
    made = joiner(*(start(1, 1), update, file(1, "f", "AAAA"), start(1, 2, 1), event(1, 2), event(1, 1), end(1, 1)))
    made.take(2.0)
    made.add(end(1, 2), 5.0)

    assert made.take(5.0) == [
        JoinedTrace(
            trace_id(1),
            INFO,
            None,
            [SpanRecords(start(1, 2, 1), [event(1, 2)], end(1, 2))],
            (start(1, 2, 1), event(1, 2), end(1, 2)),
        )
    ]


def test_late_spans_of_which_some_go_on() -> None:
    """Late spans that have ended wait two seconds too, and not for others that may never end."""
    made = joiner(start(1, 1), start(1, 2, 1), end(1, 1))
    made.take(2.0)
    made.add(start(1, 3, 2), 50.0)
    made.add(end(1, 3), 50.0)

    assert made.take(51.9) == []
    assert made.take(52.0) == [
        JoinedTrace(
            trace_id(1),
            INFO,
            None,
            [SpanRecords(start(1, 2, 1), [], None), SpanRecords(start(1, 3, 2), [], end(1, 3))],
            (start(1, 2, 1), start(1, 3, 2), end(1, 3)),
        )
    ]
    assert made.take(99.0, everything=True) == []


def test_a_span_that_starts_when_its_trace_is_ready() -> None:
    """A trace that is ready waits again when another of its spans starts before it is taken."""
    made = joiner(*whole(1), start(1, 9, 1))

    assert made.take(1.9) == []
    assert [len(trace.spans) for trace in made.take(2.0)] == [3]


def test_a_span_that_starts_after_its_trace_was_delivered() -> None:
    """A span of a trace that is gone comes by itself."""
    made = joiner(*whole(1))
    made.take(0.0)
    made.add(start(1, 9, 1), 5.0)
    made.add(end(1, 9), 6.0)

    assert made.take(6.0) == [
        JoinedTrace(trace_id(1), INFO, None, [SpanRecords(start(1, 9, 1), [], end(1, 9))], (start(1, 9, 1), end(1, 9)))
    ]


def test_somebody_who_waits() -> None:
    """Everything that has ended comes at once when somebody waits for it, and nothing whose root goes on."""
    made = joiner(start(1, 1), start(1, 2, 1), end(1, 1), start(2, 1), start(2, 2, 1), end(2, 2))

    assert [(trace.trace_id, len(trace.spans)) for trace in made.take(0.0, everything=True)] == [(trace_id(1), 2)]
    assert made.open_traces == 1


def test_a_process_that_died() -> None:
    """What was open is lost: it ends with the last that is known of the process, its children first."""
    records: list[Record] = [
        start(1, 1),
        start(1, 2, 1),
        event(1, 2),
        start(2, 1, at=5),
        end(2, 1, at=7),
        start(3, 1, at=9),
    ]
    made = joiner(*records)
    whole_before = made.take(0.0)
    last = start(3, 1, at=9).time_ns
    ends = [lost(start(1, 1), at_ns=last), lost(start(1, 2, 1), at_ns=last), lost(start(3, 1), at_ns=last)]

    assert [trace.trace_id for trace in whole_before] == [trace_id(2)]
    assert made.finish() == [
        JoinedTrace(
            trace_id(1),
            INFO,
            start(1, 1),
            [SpanRecords(start(1, 1), [], ends[0]), SpanRecords(start(1, 2, 1), [event(1, 2)], ends[1])],
            (start(1, 1), start(1, 2, 1), event(1, 2), ends[1], ends[0]),
        ),
        JoinedTrace(
            trace_id(3),
            INFO,
            start(3, 1, at=9),
            [SpanRecords(start(3, 1, at=9), [], ends[2])],
            (start(3, 1, at=9), ends[2]),
        ),
    ]
    assert made.finish() == []


def test_a_late_span_that_was_lost() -> None:
    """A span that was still open after its trace was delivered comes again as lost."""
    made = joiner(start(1, 1), start(1, 2, 1), end(1, 1))
    made.take(2.0)
    late = lost(start(1, 2, 1), at_ns=end(1, 1).time_ns)

    assert made.finish() == [
        JoinedTrace(
            trace_id(1), INFO, None, [SpanRecords(start(1, 2, 1), [], late)], (start(1, 2, 1), late)
        )
    ]  # fmt: skip


def test_records_without_a_start() -> None:
    """Events and ends whose start is missing are counted, and make no trace."""
    made = joiner(event(1, 1), end(1, 1), start(2, 1), end(2, 2), event(2, 2), end(2, 1))

    assert made.take(0.0) == [joined(start(2, 1), end(2, 1))]
    assert made.orphans == 4


def test_a_file_before_and_after_the_delivery_of_its_trace() -> None:
    """A file comes before the first value that names it: the root's inputs, or a late span's outputs."""
    made = joiner(file(1, "f1", "AAAA"), start(1, 1), start(1, 2, 1), end(1, 1))
    (first,) = made.take(2.0)
    for record in (file(1, "f2", "BBBB"), end(1, 2)):
        made.add(record, 5.0)
    (second,) = made.take(5.0)

    assert (first.files, second.files) == ((file(1, "f1", "AAAA"),), (file(1, "f2", "BBBB"),))
    assert made.orphans == 0


def test_a_file_of_a_trace_that_never_starts() -> None:
    """A file whose trace's first start was cut off by a crash makes no trace."""
    assert joiner(file(1, "f", "AAAA")).finish() == []


def test_late_spans_below_a_stream_that_its_consumer_closed() -> None:
    """The starts of late spans say that they are below a closed stream, which was delivered before."""
    made = joiner(
        start(1, 1, inputs=None),
        *(start(1, 2, 1, inputs=None), start(1, 3, 2), start(1, 4, 1)),
        failed(1, 4, CLOSED),
        end(1, 1, inputs=["question"]),
    )
    (first,) = made.take(2.0)
    made.add(end(1, 3), 5.0)
    made.add(end(1, 2), 5.0)
    (second,) = made.take(5.0)

    told: Any = {"in_closed_stream": True}
    assert not any(told.items() <= record.details.items() for record in first.records if isinstance(record, SpanStart))
    assert second.records == (
        start(1, 2, 1, inputs=None, **told),
        start(1, 3, 2, **told),
        end(1, 3),
        end(1, 2),
    )
    assert closed_streams(second.records) == {span_id(2), span_id(3)}


def test_late_spans_that_go_on_below_a_closed_stream() -> None:
    """What was closed stays known until the last late span has come."""
    made = joiner(start(1, 1, inputs=None), start(1, 2, 1), end(1, 1, inputs=["question"]))
    made.take(2.0)
    made.add(start(1, 3, 2), 5.0)
    made.add(end(1, 3), 5.0)
    (second,) = made.take(7.0)
    made.add(end(1, 2), 9.0)
    (third,) = made.take(9.0)

    assert closed_streams(second.records) == {span_id(2), span_id(3)}
    assert closed_streams(third.records) == {span_id(2)}


def test_a_restart() -> None:
    """Another joiner goes on from the records of the traces that are not ready."""
    made = joiner(start(1, 1), event(1, 1), start(2, 1), start(2, 2, 1), end(2, 1), *whole(3))
    made.take(0.0)
    left = list(made.unfinished())
    again = joiner(*left, end(1, 1))

    assert left == [start(1, 1), event(1, 1), start(2, 1), start(2, 2, 1), end(2, 1)]
    assert again.take(0.0) == [joined(start(1, 1), event(1, 1), end(1, 1))]
    assert [trace.trace_id for trace in again.take(2.0)] == [trace_id(2)]
