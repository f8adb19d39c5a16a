"""Reads the spans of a trace from the JSON that MLflow stores of each."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any, Final

from langchain_autotrace.semconv import Attr, SpanType
from langchain_autotrace.view.stored import StoredSpan

if TYPE_CHECKING:
    from collections.abc import Mapping

_CODE: Final = "STATUS_CODE_"
_UNTRANSLATED: Final = ("mlflow.", "langchain.", "langchain_autotrace.", "langgraph.")
"""Beginnings of attributes in which MLflow does not look for the type of a span."""


class UnknownSpanError(Exception):
    """A span is stored in another form than the present one; MLflow can read it."""


def stored_span(content: str) -> StoredSpan:
    """Return a span of its JSON, as MLflow's ``Span.from_dict`` reads it.

    Raises:
        UnknownSpanError: only MLflow can read it.
    """
    try:
        return _span(json.loads(content))
    except (ValueError, TypeError, LookupError, AttributeError, binascii.Error) as error:
        raise UnknownSpanError from error


def _span(values: Mapping[str, Any]) -> StoredSpan:
    attributes = {key: _value(text) for key, text in values["attributes"].items()}
    if "context" in values or not attributes.get(Attr.TRACE_REQUEST_ID) or _is_translated(attributes):
        raise UnknownSpanError
    status, ended = values["status"], values.get("end_time_unix_nano")
    return StoredSpan(
        span_id=_hexadecimal(values["span_id"]),
        parent_id=_hexadecimal(values["parent_span_id"]) if values["parent_span_id"] else None,
        name=values["name"],
        status=_status(status["code"]),
        message=status.get("message", ""),
        start_ns=int(values["start_time_unix_nano"]),
        end_ns=int(ended) if ended else None,
        attributes=attributes,
        events=[_event(event) for event in values.get("events", [])],
    )


def _is_translated(attributes: Mapping[str, Any]) -> bool:
    """Return whether MLflow may know the type of the span by the attributes of another tracer."""
    if attributes.get(Attr.SPAN_TYPE) not in {None, SpanType.UNKNOWN}:
        return False
    return not all(key.startswith(_UNTRANSLATED) for key in attributes)


def _value(text: Any) -> Any:  # noqa: ANN401 - JSON
    """Return the value of an attribute, which is JSON in a string; what is not JSON stands for itself."""
    if not text:
        return None
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return text


def _status(code: str) -> str:
    if not code.startswith(_CODE):
        raise UnknownSpanError
    return code.removeprefix(_CODE)


def _hexadecimal(base64_id: str) -> str:
    """Return an id as MLflow shows it: 16 digits, without the zeros before a longer one."""
    return f"{int.from_bytes(base64.b64decode(base64_id, validate=True)):016x}"


def _event(event: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": event["name"], "time_ns": int(event["time_unix_nano"]), **(event.get("attributes") or {})}
