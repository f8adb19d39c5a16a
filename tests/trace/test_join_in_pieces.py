"""Joining records in pieces, with restarts in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from langchain_autotrace.records import Record, SpanEnd, SpanEvent, SpanStart
from langchain_autotrace.trace.endings import LOST
from langchain_autotrace.trace.join import SpanRecords
from tests.trace.support import end, event, joiner, start, trace_id

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langchain_autotrace.trace.join import JoinedTrace

Stored = dict[str, dict[str, SpanRecords]]
"""What a store holds: the last delivery of each span, by the ids of its trace and its own."""


@st.composite
def journals(draw: st.DrawFn) -> list[Record]:
    """Records of a few traces in an order in which a process may write them, not all of them to the end."""
    written: list[Record] = []
    open_spans: dict[int, list[int]] = {}
    ids = iter(range(1, 100))
    for _ in range(draw(st.integers(1, 25))):
        trace = draw(st.integers(1, 3))
        spans = open_spans.setdefault(trace, [])
        known = any(record.trace_id == trace_id(trace) for record in written if isinstance(record, SpanStart))
        what = draw(st.sampled_from(["start", "event", "end"]))
        if what == "start" and (spans or not known):
            spans.append(next(ids))
            written.append(start(trace, spans[-1], draw(st.sampled_from(spans[:-1])) if known else None))
        elif what == "event" and spans:
            written.append(event(trace, draw(st.sampled_from(spans))))
        elif what == "end" and spans:
            span = draw(st.sampled_from(spans))
            spans.remove(span)
            written.append(end(trace, span))
    return written


@given(records=journals(), data=st.data())
def test_delivery_in_pieces_with_restarts(records: list[Record], data: st.DataObject) -> None:
    """However a journal is taken in pieces and begun again from what is unfinished, all of it is delivered."""
    stored: Stored = {}
    made, now, orphans = joiner(), 0.0, 0
    for record in records:
        made.add(record, now)
        now += data.draw(st.sampled_from([0.0, 1.0, 3.0]))
        if data.draw(st.booleans()):
            keep(stored, made.take(now, everything=data.draw(st.booleans())))
        if data.draw(st.booleans()):
            keep(stored, made.take(now))
            orphans += made.orphans
            made = joiner(*made.unfinished())
    keep(stored, made.finish())

    found = {trace: {key: without_lost(span) for key, span in spans.items()} for trace, spans in stored.items()}
    assert found == spans_by_id(records)
    assert orphans + made.orphans == 0


def keep(stored: Stored, traces: list[JoinedTrace]) -> None:
    """Store the traces."""
    for trace in traces:
        spans = {span.start.span_id: span._replace(events=[*span.events]) for span in trace.spans}
        stored.setdefault(trace.trace_id, {}).update(spans)


def without_lost(span: SpanRecords) -> SpanRecords:
    """The span as it stood in the journal."""
    return span._replace(end=None) if span.end is not None and span.end.details == {"error": LOST} else span


def spans_by_id(records: Iterable[Record]) -> Stored:
    """What a store holds when all the records were delivered at once."""
    found: Stored = {}
    for record in records:
        if isinstance(record, SpanStart):
            found.setdefault(record.trace_id, {})[record.span_id] = SpanRecords(record, [], None)
        elif isinstance(record, SpanEvent):
            found[record.trace_id][record.span_id].events.append(record)
        elif isinstance(record, SpanEnd):
            spans = found[record.trace_id]
            spans[record.span_id] = spans[record.span_id]._replace(end=record)
    return found
