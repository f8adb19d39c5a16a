"""A record as one line of JSON, and back."""

from __future__ import annotations

from typing import Any, Final

import orjson

from langchain_autotrace.errors import JournalFormatError
from langchain_autotrace.span import Flush, Json, ProcessInfo, Record, SpanEnd, SpanEvent, SpanStart, TraceContext

FORMAT: Final = 1
"""Version of the journal's format. A reader refuses every other."""

_EMPTY: Final = b"{}"


def encode(record: Record) -> bytes:
    """The line of a record, newline included. It holds no NUL byte: JSON escapes control characters."""
    return orjson.dumps(_form(record), option=orjson.OPT_APPEND_NEWLINE)


def _form(record: Record) -> dict[str, object]:  # the hot ones first
    if isinstance(record, SpanStart):
        return _start_form(record)
    if isinstance(record, SpanEnd):
        return _end_form(record)
    if isinstance(record, SpanEvent):
        return {
            "kind": "event",
            "trace": record.trace_id,
            "span": record.span_id,
            "name": record.name,
            "time": record.time_ns,
            "attributes": orjson.Fragment(record.attributes),
        }
    if isinstance(record, Flush):
        return {"kind": "flush", "number": record.number}
    return {"kind": "process", "version": FORMAT, **record._asdict()}


def _start_form(record: SpanStart) -> dict[str, object]:
    form: dict[str, object] = {
        "kind": "start",
        "trace": record.trace_id,
        "span": record.span_id,
        "parent": record.parent_id,
        "name": record.name,
        "type": record.type,
        "time": record.time_ns,
        "attributes": orjson.Fragment(record.attributes),
    }
    if record.inputs is not None:
        form["inputs"] = orjson.Fragment(record.inputs)
    if record.trace is not None:
        form["context"] = record.trace._asdict()
    return form


def _end_form(record: SpanEnd) -> dict[str, object]:
    form: dict[str, object] = {
        "kind": "end",
        "trace": record.trace_id,
        "span": record.span_id,
        "time": record.time_ns,
        "status": record.status,
        "attributes": orjson.Fragment(record.attributes),
    }
    if record.message:
        form["message"] = record.message
    if record.inputs is not None:
        form["inputs"] = orjson.Fragment(record.inputs)
    if record.outputs is not None:
        form["outputs"] = orjson.Fragment(record.outputs)
    return form


def decode(line: bytes) -> Record:
    """The record of a line.

    Raises:
        JournalFormatError: the line is no record of this version.
    """
    try:
        form = orjson.loads(line)
        return _DECODERS[form["kind"]](form)
    except JournalFormatError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        msg = f"not a journal record ({type(error).__name__}: {error}): {line[:80]!r}"
        raise JournalFormatError(msg) from None


def _json(form: dict[str, Any], name: str) -> Json | None:
    return orjson.dumps(form[name]) if name in form else None


def _attributes(form: dict[str, Any]) -> Json:
    return _json(form, "attributes") or _EMPTY


def _process(form: dict[str, Any]) -> ProcessInfo:
    version = form.pop("version")
    if version != FORMAT:
        msg = f"written in format {version!r}; this version reads format {FORMAT}. Use the version that wrote it."
        raise JournalFormatError(msg)
    form.pop("kind")
    return ProcessInfo(**form)


def _start(form: dict[str, Any]) -> SpanStart:
    context = form.get("context")
    return SpanStart(
        trace_id=form["trace"],
        span_id=form["span"],
        parent_id=form["parent"],
        name=form["name"],
        type=form["type"],
        time_ns=form["time"],
        inputs=_json(form, "inputs"),
        attributes=_attributes(form),
        trace=TraceContext(**context) if context else None,
    )


def _event(form: dict[str, Any]) -> SpanEvent:
    return SpanEvent(form["trace"], form["span"], form["name"], form["time"], _attributes(form))


def _end(form: dict[str, Any]) -> SpanEnd:
    return SpanEnd(
        trace_id=form["trace"],
        span_id=form["span"],
        time_ns=form["time"],
        status=form["status"],
        message=form.get("message", ""),
        inputs=_json(form, "inputs"),
        outputs=_json(form, "outputs"),
        attributes=_attributes(form),
    )


_DECODERS: Final = {
    "process": _process,
    "start": _start,
    "event": _event,
    "end": _end,
    "flush": lambda form: Flush(form["number"]),
}
