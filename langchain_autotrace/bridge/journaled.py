"""Writes MLflow spans to the journal: when they start, again when their inputs are set, and when they end."""

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
from langchain_autotrace.ids import TRACE_ID_PREFIX
from langchain_autotrace.records import SpanEnd, SpanEvent, SpanStart, TraceContext, TraceFile, TraceUpdate
from langchain_autotrace.semconv import Attr, Kind, SpanType, Status

if TYPE_CHECKING:
    from mlflow.entities import TraceInfo
    from opentelemetry.sdk.trace import ReadableSpan

    from langchain_autotrace.capture.interfaces import Journal
    from langchain_autotrace.capture.recorder import Recorder

_OWN_FIELDS: Final = frozenset({Attr.INPUTS, Attr.OUTPUTS, Attr.TRACE_REQUEST_ID, Attr.SPAN_TYPE})
"""Attributes that the records keep in fields of their own."""
_IN_PROGRESS: Final = "IN_PROGRESS"


class JournaledSpan(LiveSpan):
    """An MLflow span that is written to the journal.

    Attributes:
        recorder: writes its records, with that recorder's settings.
        journal: the journal of its trace.
        context: context of its trace, if it is the trace's first span in this process; else None.
    """

    recorder: Recorder
    journal: Journal
    context: TraceContext | None = None

    def set_inputs(self, inputs: Any) -> None:  # noqa: ANN401 - any value
        """Set the inputs, and write them at once so that they are kept if the span never ends."""
        super().set_inputs(inputs)
        self._write_again()

    @guarded
    def _write_again(self) -> None:
        if self._span.is_recording():  # type: ignore[attr-defined] # MLflow types it as a ReadableSpan
            self.write_start()

    def write_start(self) -> None:
        """Write the span's start with the attributes it has now."""
        span = self._span
        attributes = values(span.attributes)
        inputs = attributes.get(Attr.INPUTS)
        record = SpanStart(
            trace_id=f"{span.context.trace_id:032x}",
            span_id=f"{span.context.span_id:016x}",
            parent_id=None if span.parent is None else f"{span.parent.span_id:016x}",
            time_ns=span.start_time or 0,
            kind=Kind.SPAN,
            name=str(span.name),
            run_id=None,
            tags=None,
            context=self.context,
            inputs=None if inputs is None else [inputs],
            details=_details(attributes),
        )
        self.recorder.write_span(record, self.journal)

    def write_end(self, ended: ReadableSpan) -> None:
        """Write the span's events and files, and then its end."""
        trace_id, span_id = f"{ended.context.trace_id:032x}", f"{ended.context.span_id:016x}"
        for file_id, file in getattr(self, "_attachments", {}).items():
            content = base64.b64encode(file.content_bytes).decode()
            self.recorder.write_span(TraceFile(trace_id, file_id, content), self.journal)
        for name, time_ns, found in events_of(ended):
            self.recorder.write_span(SpanEvent(trace_id, span_id, time_ns, name, found), self.journal)
        attributes = values(ended.attributes)
        inputs, outputs = attributes.get(Attr.INPUTS), attributes.get(Attr.OUTPUTS)
        status, message = status_of(ended)
        details = {**_details(attributes), "name": ended.name, "status": status or Status.OK, "message": message}
        if inputs is not None:
            details["inputs"] = [inputs]
        if links := getattr(self, "_links", None):  # since MLflow 3.13
            details["links"] = [link.to_dict() for link in links]
        record = SpanEnd(trace_id, span_id, ended.end_time or 0, None if outputs is None else [outputs], details)
        self.recorder.write_span(record, self.journal)


def _details(attributes: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in attributes.items() if key not in _OWN_FIELDS}
    return {"type": str(attributes.get(Attr.SPAN_TYPE) or SpanType.UNKNOWN), "attributes": kept}


def values(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a span's attributes as plain values; MLflow stores them as JSON strings."""
    return {key: _value(text) for key, text in (attributes or {}).items()}


def _value(text: object) -> object:
    if not isinstance(text, str):
        return list(text) if isinstance(text, tuple) else text
    try:
        return orjson.loads(text)
    except ValueError:
        pass
    try:
        return json.loads(text)  # accepts NaN and Infinity, which are not JSON and which orjson refuses
    except (ValueError, RecursionError):
        return text


def events_of(span: ReadableSpan) -> list[tuple[str, int, dict[str, Any]]]:
    """Return name, time (nanoseconds since the Unix epoch) and attributes of each event of a span."""
    return [(event.name, event.timestamp, dict(event.attributes or {})) for event in span.events]


def status_of(span: ReadableSpan) -> tuple[str | None, str]:
    """Return status and message of a span; the status is None if it was not set."""
    if span.status.status_code is StatusCode.ERROR:
        return Status.ERROR, span.status.description or ""
    return (Status.OK if span.status.status_code is StatusCode.OK else None), ""


def update_of(info: TraceInfo) -> TraceUpdate:
    """Return a ``TraceUpdate`` with a trace's own fields as they are now."""
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
    return TraceUpdate(info.trace_id.removeprefix(TRACE_ID_PREFIX), fields)
