"""Removes from a trace what must not leave the machine: secrets, and content where it is not wanted."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from langchain_autotrace.redaction import error_class, scrub, scrub_text
from langchain_autotrace.semconv import WITHOUT_CONTENT
from langchain_autotrace.view.traces import SpanNode, TraceRow, TraceTree

if TYPE_CHECKING:
    from collections.abc import Mapping

_EVENT_FIELDS: Final = ("name", "time_ns", "exception.type")


def scrubbed(tree: TraceTree) -> TraceTree:
    """Return a trace with ``[REDACTED]`` in place of secrets: spans that others have stored may hold some."""
    return TraceTree(_scrubbed_row(tree.row), tuple(map(_scrubbed_span, tree.spans)))


def without_content(tree: TraceTree) -> TraceTree:
    """Return a trace without inputs, outputs, error messages, and other attributes that hold content.

    Names, times, types, models, tokens, costs, statuses, and the trace's session, user, tags and metadata stay.
    """
    return TraceTree(tree.row, tuple(map(_span_without_content, tree.spans)))


def _scrubbed_row(row: TraceRow) -> TraceRow:
    return replace(
        row,
        name=scrub_text(row.name),
        session=_scrubbed_text(row.session),
        user=_scrubbed_text(row.user),
        tags=scrub(row.tags),
        metadata=scrub(row.metadata),
    )


def _scrubbed_span(span: SpanNode) -> SpanNode:
    return replace(
        span,
        name=scrub_text(span.name),
        error=_scrubbed_text(span.error),
        inputs=scrub(span.inputs),
        outputs=scrub(span.outputs),
        attributes=scrub(span.attributes),
        events=scrub(span.events),
    )


def _scrubbed_text(text: str | None) -> str | None:
    return None if text is None else scrub_text(text)


def _span_without_content(span: SpanNode) -> SpanNode:
    return replace(
        span,
        error=error_class(span.error or "") or None,
        inputs=None,
        outputs=None,
        attributes={key: value for key, value in span.attributes.items() if key in WITHOUT_CONTENT},
        events=[_event_without_content(event) for event in span.events],
    )


def _event_without_content(event: Mapping[str, Any]) -> dict[str, Any]:
    return {key: event[key] for key in _EVENT_FIELDS if key in event}
