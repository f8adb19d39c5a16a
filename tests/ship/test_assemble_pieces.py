"""Joining records in pieces, with restarts in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
from hypothesis import given
from hypothesis import strategies as st

from langchain_autotrace.span import Outcome, Record, SpanStart
from tests.ship.support import Spans, assembled, end, event, joined, start, trace_id

if TYPE_CHECKING:
    from langchain_autotrace.ship.assemble import FinishedTrace, SpanRecords


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
    assembler, stored, now = assembled(), Spans(), 0.0
    for record in records:
        assembler.add(record, now)
        now += data.draw(st.sampled_from([0.0, 1.0, 3.0]))
        if data.draw(st.booleans()):
            keep(stored, assembler.take(now, everything=data.draw(st.booleans())))
        if data.draw(st.booleans()):
            keep(stored, assembler.take(now))
            assembler = assembled(*assembler.unfinished())
    keep(stored, assembler.finish())

    expected = joined(records)
    found = {trace: {key: without_lost(span) for key, span in spans.items()} for trace, spans in stored.items()}
    assert found == expected
    assert assembler.orphans == 0


def keep(stored: Spans, traces: list[FinishedTrace]) -> None:
    """Store the traces."""
    for trace in traces:
        stored.setdefault(trace.trace_id, {}).update({span.start.span_id: span for span in trace.spans})


def without_lost(span: SpanRecords) -> SpanRecords:
    """The span as it stood in the journal."""
    is_lost = span.end is not None and orjson.loads(span.end.attributes).get("outcome") == Outcome.LOST
    return span._replace(end=None) if is_lost else span
