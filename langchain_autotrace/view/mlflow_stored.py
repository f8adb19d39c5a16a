"""Turns traces as MLflow's client has them into the plain records of ``stored.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_autotrace.semconv import TraceKey
from langchain_autotrace.view.stored import StoredInfo, StoredSpan, StoredTrace, numbers_in

if TYPE_CHECKING:
    from mlflow.entities import Span, Trace, TraceInfo


def trace_of(trace: Trace) -> StoredTrace:
    """Return a trace with its spans."""
    return StoredTrace(info_of(trace.info), list(map(span_of, trace.data.spans)))


def info_of(info: TraceInfo) -> StoredInfo:
    """Return a trace without its spans."""
    return StoredInfo(
        trace_id=info.trace_id,
        experiment_id=info.experiment_id,
        state=info.state.value,
        start_ms=info.request_time,
        duration_ms=info.execution_duration,
        tags=info.tags,
        metadata=info.trace_metadata,
        usage=numbers_in(info.trace_metadata.get(TraceKey.TOKEN_USAGE)),
        cost=numbers_in(info.trace_metadata.get(TraceKey.COST)),
        request=info.request_preview,
        response=info.response_preview,
    )


def span_of(span: Span) -> StoredSpan:
    """Return a span."""
    return StoredSpan(
        span_id=span.span_id,
        parent_id=span.parent_id,
        name=span.name,
        status=span.status.status_code.value,
        message=span.status.description,
        start_ns=span.start_time_ns,
        end_ns=span.end_time_ns,
        attributes=dict(span.attributes),
        events=[{"name": event.name, "time_ns": event.timestamp, **event.attributes} for event in span.events],
    )
