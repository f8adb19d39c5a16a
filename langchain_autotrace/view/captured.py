"""Reads traces that are stored nowhere, as the stage ``trace/`` makes them: what ``ship/`` and a store do otherwise."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, Final

from langchain_autotrace.ids import TRACE_ID_PREFIX
from langchain_autotrace.semconv import Attr, Status
from langchain_autotrace.trace import labels, totals
from langchain_autotrace.trace.cost import cost_of
from langchain_autotrace.view import attachments, traces
from langchain_autotrace.view.traces import SpanNode, TraceRow, TraceTree

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_autotrace.trace.spans import Span, Trace
    from langchain_autotrace.view.attachments import Attachment
    from langchain_autotrace.view.export import Exported

_USAGE: Final = ("input_tokens", "output_tokens", "total_tokens", "cache_read_input_tokens")


def tree_of(trace: Trace) -> TraceTree:
    """Return a trace that has a root as a tree, with the cost of its spans by this package's price list."""
    spans = [_with_cost(span) for span in trace.spans]
    nodes = tuple(_node(span, depth) for span, depth in traces.in_order(spans, lambda span: span.start_ns))
    return TraceTree(_row(trace, spans), nodes)


class InMemory:
    """A trace that is stored nowhere, as the source of a :class:`~langchain_autotrace.view.trace_objects.Trace`."""

    def __init__(self, trace: Trace) -> None:
        """Read a trace that has a root."""
        self._trace = trace
        self._tree = tree_of(trace)

    def tree(self) -> TraceTree:
        """Return the trace."""
        return self._tree

    def exported(self, *, content: bool) -> Exported:
        """Return the trace without secrets, with its files."""
        from langchain_autotrace.view import export  # noqa: PLC0415 - rich is slow to import

        return export.without_secrets(self._tree, self._files, content=content)

    def _files(self, tree: TraceTree) -> dict[str, Attachment]:
        named, files = attachments.references_in(tree), self._trace.files
        return attachments.filled(named, lambda one: _content(files.get(one)), room=attachments.MAX_BYTES)


def _content(encoded: str | None) -> bytes | None:
    try:
        return None if encoded is None else base64.b64decode(encoded)
    except binascii.Error:
        return None


def _with_cost(span: Span) -> Span:
    """Return the span with the cost of its call, unless the program has set one or no price is known."""
    cost = None if Attr.COST in span.attributes else cost_of(span.attributes, span.start_ns)
    return span if cost is None else span._replace(attributes={**span.attributes, Attr.COST: cost})


def _row(trace: Trace, spans: list[Span]) -> TraceRow:
    root = trace.root or spans[0]
    given: Mapping[str, Any] = trace.context or {}
    ended = root.start_ns if root.end_ns is None else root.end_ns
    return TraceRow(
        trace_id=TRACE_ID_PREFIX + trace.trace_id,
        name=trace.update.get("name", root.name),
        status=trace.update.get("state", "ERROR" if root.status == Status.ERROR else "OK"),
        start_ms=root.start_ns // 1_000_000,
        duration_ms=(ended - root.start_ns) // 1_000_000,
        tokens=traces.tokens_of(
            totals.totals(spans, totals.usage_of, _USAGE), sum(map(totals.reasoning_of, spans)) or None
        ),
        cost_usd=totals.totals(spans, totals.costs_of, totals.COST_KEYS).get("total_cost"),
        experiment_id=None,
        session=_first(spans, Attr.SESSION),
        user=_first(spans, Attr.USER),
        tags=traces.users_tags(labels.trace_tags(spans) | trace.update.get("tags", given.get("tags", {}))),
        metadata=traces.shown_metadata(
            labels.trace_metadata(spans) | trace.update.get("metadata", given.get("metadata", {}))
        ),
    )


def _first(spans: list[Span], name: str) -> str | None:
    found = next((span.attributes[name] for span in spans if span.attributes.get(name)), None)
    return None if found is None else str(found)


def _node(span: Span, depth: int) -> SpanNode:
    attributes = {key: value for key, value in span.attributes.items() if key not in traces.NAMED_BY_SPANS}
    events = [{"name": event.name, "time_ns": event.time_ns, **event.attributes} for event in span.events]
    status = span.status or "UNSET"
    return SpanNode(
        span_id=span.span_id,
        parent_id=span.parent_id,
        depth=depth,
        name=span.name,
        type=span.type,
        status=status,
        start_ns=span.start_ns,
        duration_ns=None if span.end_ns is None else span.end_ns - span.start_ns,
        outcome=attributes.get(Attr.OUTCOME),
        error=traces.error_of(status, events, span.message),
        model=attributes.get(Attr.MODEL),
        tokens=traces.tokens_of(attributes.get(Attr.TOKEN_USAGE), attributes.get(Attr.REASONING_TOKENS)),
        inputs=span.inputs[0] if span.inputs else None,
        outputs=span.outputs[0] if span.outputs else None,
        attributes=attributes,
        events=events,
    )
