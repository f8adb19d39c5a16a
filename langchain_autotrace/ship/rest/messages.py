"""Makes the messages that a tracking server takes: the same that MLflow's client would send."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import orjson
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1 import trace_pb2

from langchain_autotrace.ids import TRACE_ID_PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue

    from langchain_autotrace.ship.trace_values import InfoValues

_STATES: Final = frozenset({"OK", "ERROR", "IN_PROGRESS"})
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND: Final = 1_000
_TRACE_ID_BYTES: Final = 16
_SPAN_ID_BYTES: Final = 8


class UnknownTraceError(Exception):
    """It is not known what MLflow's client would send."""


def start_trace(info: InfoValues, experiment_id: str) -> bytes:
    """Return the JSON that creates or replaces a trace's row (MLflow's ``StartTraceV3``).

    Raises:
        UnknownTraceError: MLflow has no such state.
    """
    if info.state not in _STATES:
        raise UnknownTraceError
    row = {
        "trace_id": info.trace_id,
        "client_request_id": info.client_request_id,
        "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment_id}},
        "request_preview": info.request_preview,
        "response_preview": info.response_preview,
        "request_time": _timestamp(info.request_time_ms),
        "execution_duration": _duration(info.duration_ms),
        "state": info.state,
        "trace_metadata": info.metadata,
        "tags": info.tags,
    }
    return orjson.dumps({"trace": {"trace_info": {key: value for key, value in row.items() if value is not None}}})


def _timestamp(milliseconds: int) -> str:
    moment = _EPOCH + timedelta(milliseconds=milliseconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _duration(milliseconds: int) -> str:
    seconds, rest = divmod(abs(milliseconds), _SECOND)
    return f"{'-' if milliseconds < 0 else ''}{seconds}.{rest:03d}s"


def otlp_spans(spans: Sequence[Mapping[str, Any]]) -> bytes:
    """Return spans as a message of OTLP. The messages of several traces, one after the other, are a message too.

    Args:
        spans: as :func:`~langchain_autotrace.ship.trace_values.trace_values` makes them.

    Raises:
        UnknownTraceError: a span has ids that OTLP does not have.
        ValueError: a number is too large for OTLP.
    """
    message = ExportTraceServiceRequest()
    resource = message.resource_spans.add()
    resource.resource.SetInParent()
    scope = resource.scope_spans.add()
    for values in spans:
        _set_span(scope.spans.add(), values)
    return bytes(message.SerializeToString())


def _set_span(span: trace_pb2.Span, values: Mapping[str, Any]) -> None:
    span.trace_id = _checked_id(base64.b64decode(values["trace_id"]), _TRACE_ID_BYTES)
    span.span_id = _checked_id(base64.b64decode(values["span_id"]), _SPAN_ID_BYTES)
    if values["parent_span_id"]:
        span.parent_span_id = _checked_id(base64.b64decode(values["parent_span_id"]), _SPAN_ID_BYTES)
    span.name = values["name"]
    span.start_time_unix_nano = values["start_time_unix_nano"]
    span.end_time_unix_nano = values["end_time_unix_nano"] or 0
    span.status.code = trace_pb2.Status.StatusCode.Value(values["status"]["code"])
    span.status.message = values["status"]["message"]
    for key, text in values["attributes"].items():
        attribute = span.attributes.add()
        attribute.key = key
        # MLflow's client sends the values, not their JSON, and the server makes its own JSON of them.
        _set_value(attribute.value, orjson.loads(text))
    for event in values["events"]:
        _set_event(span.events.add(), event)
    for link in values["links"]:
        _set_link(span.links.add(), link)


def _checked_id(found: bytes, length: int) -> bytes:
    if len(found) != length or not any(found):
        raise UnknownTraceError
    return found


def _set_value(target: AnyValue, value: Any) -> None:  # noqa: ANN401 - JSON
    if isinstance(value, str):
        target.string_value = value
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int):
        target.int_value = value
    elif isinstance(value, float):
        target.double_value = value
    elif isinstance(value, list):
        target.array_value.SetInParent()
        for item in value:
            _set_value(target.array_value.values.add(), item)
    elif isinstance(value, dict):
        target.kvlist_value.SetInParent()
        for key, item in value.items():
            pair = target.kvlist_value.values.add()
            pair.key = key
            _set_value(pair.value, item)


def _set_event(target: trace_pb2.Span.Event, event: Mapping[str, Any]) -> None:
    target.name = event["name"]
    target.time_unix_nano = event["time_unix_nano"]
    for key, value in event["attributes"].items():
        attribute = target.attributes.add()
        attribute.key = key
        _set_value(attribute.value, value)


def _set_link(target: trace_pb2.Span.Link, link: Mapping[str, Any]) -> None:
    target.trace_id = _checked_id(bytes.fromhex(link["trace_id"].removeprefix(TRACE_ID_PREFIX)), _TRACE_ID_BYTES)
    target.span_id = _checked_id(bytes.fromhex(link["span_id"]), _SPAN_ID_BYTES)
    for key, value in (link.get("attributes") or {}).items():
        attribute = target.attributes.add()
        attribute.key = key
        _set_value(attribute.value, value)
