"""Turns a trace into the JSON data that the trace page draws."""

from __future__ import annotations

import base64
import json
import math
import re
from typing import TYPE_CHECKING, Any, Final

from langchain_autotrace.semconv import Attr
from langchain_autotrace.view.terminal import row_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_autotrace.view.attachments import Attachment
    from langchain_autotrace.view.traces import SpanNode, Tokens, TraceTree

_SHOWN_ELSEWHERE: Final = frozenset({Attr.TOKEN_USAGE, Attr.COST, Attr.MODEL, Attr.PROVIDER, Attr.CHAT_TOOLS})
_MAX_INTEGER: Final = 2**53
_LARGE_NUMBER: Final = re.compile(r"[:,\[]-?\d{16}")
"""Matches every JSON text with an integer too long for JavaScript, and rarely one without: digits within a text."""
_TOKEN_FIELDS: Final = ("input", "output", "total", "cached", "reasoning")


def trace_data(tree: TraceTree, files: Mapping[str, Attachment], *, start_ns: int | None = None) -> dict[str, Any]:
    """Return the data of one trace: ``{"format", "trace", "spans", "files"}``.

    Times of spans are in microseconds since the start of the first span: JavaScript's numbers do not hold nanoseconds
    since 1970.

    Args:
        tree: the trace.
        files: file id -> file that values refer to.
        start_ns: start of the first span, where the tree is a part of a trace only.
    """
    start = first_start(tree) if start_ns is None else start_ns
    row = {**row_json(tree.row), "duration_us": _duration_us(tree, start)}
    spans = [_span(span, start) for span in tree.spans]
    return {"format": 1, "trace": row, "spans": spans, "files": {name: _file(one) for name, one in files.items()}}


def first_start(tree: TraceTree) -> int:
    """Return the start of a trace's first span in nanoseconds since the Unix epoch."""
    return min((span.start_ns for span in tree.spans), default=tree.row.start_ms * 1_000_000)


def json_text(data: object) -> str:
    """Return a dict or list as JSON that JavaScript reads without loss.

    Integers that are too large for it become strings, and so do NaN and infinities.
    """
    try:
        text = _dumped(data)
    except ValueError:  # NaN or an infinity
        return _dumped(_exact(data))
    return _dumped(_exact(data)) if _LARGE_NUMBER.search(text) else text


def _dumped(data: object) -> str:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"), default=str, allow_nan=False)


def _duration_us(tree: TraceTree, start_ns: int) -> float | None:
    """Return how long a trace took: until its last span ended, since MLflow has whole milliseconds only."""
    if tree.row.duration_ms is None:
        return None
    ends = [span.start_ns + span.duration_ns for span in tree.spans if span.duration_ns is not None]
    return (max(ends) - start_ns) / 1000 if ends else tree.row.duration_ms * 1000


def _span(span: SpanNode, start_ns: int) -> dict[str, Any]:
    attributes = span.attributes
    wait, cost = attributes.get(Attr.TIME_TO_FIRST_TOKEN), attributes.get(Attr.COST)
    return {
        "id": span.span_id,
        "parent": span.parent_id,
        "name": span.name,
        "type": span.type,
        "status": span.status,
        "start_us": (span.start_ns - start_ns) / 1000,
        "duration_us": None if span.duration_ns is None else span.duration_ns / 1000,
        "outcome": span.outcome,
        "error": span.error,
        "model": span.model,
        "provider": attributes.get(Attr.PROVIDER),
        "tokens": _tokens(span.tokens),
        "cost": cost.get("total_cost") if isinstance(cost, dict) else None,
        "ttft_us": wait * 1_000_000 if isinstance(wait, int | float) else None,
        "tools": attributes.get(Attr.CHAT_TOOLS),
        "call_id": attributes.get(Attr.TOOL_CALL_ID),
        "plumbing": attributes.get(Attr.PLUMBING) is True,
        "inputs": span.inputs,
        "outputs": span.outputs,
        "attributes": {key: value for key, value in attributes.items() if key not in _SHOWN_ELSEWHERE},
        "events": [_event(event, start_ns) for event in span.events],
    }


def _tokens(tokens: Tokens) -> dict[str, int | None] | None:
    known = {name: getattr(tokens, name) for name in _TOKEN_FIELDS}
    return known if any(number is not None for number in known.values()) else None


def _event(event: Mapping[str, Any], start_ns: int) -> dict[str, Any]:
    attributes = {key: value for key, value in event.items() if key not in {"name", "time_ns"}}
    return {"name": event["name"], "time_us": (event["time_ns"] - start_ns) / 1000, "attributes": attributes}


def _file(file: Attachment) -> dict[str, Any]:
    data = None if file.content is None else base64.b64encode(file.content).decode()
    return {"type": file.type, "size": file.size, "data": data}


def _exact(value: object) -> object:
    if isinstance(value, dict):
        return {key: _exact(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_exact(one) for one in value]
    if isinstance(value, bool):
        return value
    is_odd = isinstance(value, int) and abs(value) >= _MAX_INTEGER
    return str(value) if is_odd or (isinstance(value, float) and not math.isfinite(value)) else value
