"""MLflow's spans as records: what they are when they start, when their inputs are known, and when they end."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import orjson
from mlflow.entities import LiveSpan
from mlflow.tracing.constant import TraceTagKey
from opentelemetry.trace import StatusCode

from langchain_autotrace.capture.guard import guarded
from langchain_autotrace.span import (
    TRACE_ID_PREFIX,
    Attr,
    SpanEnd,
    SpanEvent,
    SpanFile,
    SpanStart,
    Status,
    TraceContext,
    TraceUpdate,
)

if TYPE_CHECKING:
    from mlflow.entities import TraceInfo
    from opentelemetry.sdk.trace import ReadableSpan

    from langchain_autotrace.capture.place import Journal
    from langchain_autotrace.capture.recorder import Recorder

_UNKNOWN: Final = "UNKNOWN"
_APART: Final = frozenset({Attr.INPUTS, Attr.OUTPUTS, Attr.TRACE_REQUEST_ID, Attr.SPAN_TYPE})
"""Attributes that have fields of their own in the records."""
_IN_PROGRESS: Final = "IN_PROGRESS"


class JournaledSpan(LiveSpan):
    """A span of MLflow's that is written to the journal.

    Attributes:
        recorder: whose settings it is written with.
        journal: where its trace is written.
        context: what it says of its trace, as the first of it in this process.
    """

    recorder: Recorder
    journal: Journal
    context: dict[str, Any] | None = None

    def set_inputs(self, inputs: Any) -> None:  # noqa: ANN401 - any value
        """Set the inputs; they are written at once, so that they are known of a span that never ends."""
        super().set_inputs(inputs)
        self._write_again()

    @guarded
    def _write_again(self) -> None:
        if self._span.is_recording():  # type: ignore[attr-defined] # an open span is more than MLflow's types say
            self.write_start()

    def write_start(self) -> None:
        """Write what is known of the span."""
        span = self._span
        attributes = values(span.attributes)
        inputs = attributes.get(Attr.INPUTS)
        record = SpanStart(
            trace_id=f"{span.context.trace_id:032x}",
            span_id=f"{span.context.span_id:016x}",
            parent_id=None if span.parent is None else f"{span.parent.span_id:016x}",
            name=str(span.name),
            type=str(attributes.get(Attr.SPAN_TYPE) or _UNKNOWN),
            time_ns=span.start_time or 0,
            inputs=None if inputs is None else (inputs,),  # type: ignore[arg-type] # not JSON yet, as the next
            attributes={key: value for key, value in attributes.items() if key not in _APART},  # type: ignore[arg-type]
            trace=None if self.context is None else TraceContext(**self.context),
        )
        self.recorder.keep(record, self.journal)

    def write_end(self, ended: ReadableSpan) -> None:
        """Write how it ended, with its events and files before."""
        trace_id, span_id = f"{ended.context.trace_id:032x}", f"{ended.context.span_id:016x}"
        for name, time_ns, found in events_of(ended):
            event = SpanEvent(trace_id, span_id, name, time_ns, found)  # type: ignore[arg-type] # not JSON yet
            self.recorder.keep(event, self.journal)
        for file_id, file in getattr(self, "_attachments", {}).items():
            content = base64.b64encode(file.content_bytes).decode()
            self.recorder.keep(SpanFile(trace_id, span_id, file_id, content), self.journal)
        attributes = values(ended.attributes)
        inputs, outputs = attributes.get(Attr.INPUTS), attributes.get(Attr.OUTPUTS)
        own = {key: value for key, value in attributes.items() if key not in _APART}
        own[Attr.SPAN_TYPE] = attributes.get(Attr.SPAN_TYPE) or _UNKNOWN
        if links := getattr(self, "_links", None):  # since MLflow 3.13
            own[Attr.LINKS] = [link.to_dict() for link in links]
        status, message = status_of(ended)
        record = SpanEnd(
            trace_id=trace_id,
            span_id=span_id,
            time_ns=ended.end_time or 0,
            status=status or Status.OK.value,
            message=message,
            inputs=None if inputs is None else (inputs,),  # type: ignore[arg-type] # not JSON yet, as the next
            outputs=None if outputs is None else (outputs,),  # type: ignore[arg-type]
            attributes=own,  # type: ignore[arg-type]
        )
        self.recorder.keep(record, self.journal)


def values(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    """A span's attributes, which MLflow keeps as JSON texts, as plain values."""
    return {key: _value(text) for key, text in (attributes or {}).items()}


def _value(text: object) -> object:
    if not isinstance(text, str):
        return list(text) if isinstance(text, tuple) else text
    try:
        return orjson.loads(text)
    except ValueError:
        pass
    try:
        return json.loads(text)  # NaN, which is no JSON, and what is in Python's
    except (ValueError, RecursionError):
        return text


def events_of(span: ReadableSpan) -> list[tuple[str, int, dict[str, Any]]]:
    """Name, time and attributes of each of a span's events."""
    return [(event.name, event.timestamp, dict(event.attributes or {})) for event in span.events]


def status_of(span: ReadableSpan) -> tuple[str | None, str]:
    """Status and message of a span; None when nobody has set it."""
    if span.status.status_code is StatusCode.ERROR:
        return Status.ERROR.value, span.status.description or ""
    return (Status.OK.value if span.status.status_code is StatusCode.OK else None), ""


def update_of(info: TraceInfo) -> TraceUpdate:
    """A trace's own fields as they are now."""
    tags = {key: str(value) for key, value in info.tags.items()}
    fields: dict[str, Any] = {
        "name": tags.pop(TraceTagKey.TRACE_NAME, None),
        "client_request_id": info.client_request_id,
        "request_preview": info.request_preview,
        "response_preview": info.response_preview,
        "state": None if info.state.value == _IN_PROGRESS else info.state.value,
    }
    fields = {key: value for key, value in fields.items() if value is not None}
    fields["tags"] = tags
    fields["metadata"] = {key: str(value) for key, value in info.trace_metadata.items()}
    return TraceUpdate(info.trace_id.removeprefix(TRACE_ID_PREFIX), fields)  # type: ignore[arg-type] # not JSON yet
