"""A record as one line of JSON, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson

from langchain_autotrace.errors import JournalFormatError
from langchain_autotrace.span import Flush, Json, ProcessInfo, Record, SpanEnd, SpanEvent, SpanStart, TraceContext

FORMAT: Final = 1
"""Version of the journal's format. A reader refuses every other."""

_EMPTY: Final = b"{}"


_LIVE: Final = orjson.OPT_APPEND_NEWLINE | orjson.OPT_PASSTHROUGH_DATACLASS


def encode(record: Record) -> bytes:
    """The line of a record, newline included. It holds no NUL byte: JSON escapes control characters."""
    return _ENCODERS[type(record)](record)


def start_line(  # noqa: PLR0913, PLR0917 - the fields of a record, by position: the hottest call of the package
    trace_id: str,
    span_id: str,
    parent_id: str | None,
    name: str,
    kind: str,
    time_ns: int,
    inputs: object,
    attributes: object,
    context: object,
) -> bytes:
    """The line of a :class:`SpanStart` from plain values, which become JSON in the same pass.

    Raises:
        TypeError: a value is not of the types that orjson knows.
    """
    form = {
        "kind": "start",
        "trace": trace_id,
        "span": span_id,
        "parent": parent_id,
        "name": name,
        "type": kind,
        "time": time_ns,
        "attributes": attributes,
    }
    if inputs is not None:
        form["inputs"] = inputs
    if context is not None:
        form["context"] = context
    return orjson.dumps(form, option=_LIVE)


def end_line(  # noqa: PLR0913, PLR0917 - as above
    trace_id: str,
    span_id: str,
    time_ns: int,
    status: str,
    message: str,
    inputs: object,
    outputs: object,
    attributes: object,
) -> bytes:
    """The line of a :class:`SpanEnd` from plain values, which become JSON in the same pass.

    Raises:
        TypeError: a value is not of the types that orjson knows.
    """
    form = {
        "kind": "end",
        "trace": trace_id,
        "span": span_id,
        "time": time_ns,
        "status": status,
        "attributes": attributes,
    }
    if message:
        form["message"] = message
    if inputs is not None:
        form["inputs"] = inputs
    if outputs is not None:
        form["outputs"] = outputs
    return orjson.dumps(form, option=_LIVE)


def _start_record_line(record: SpanStart) -> bytes:
    context = None if record.trace is None else record.trace._asdict()
    return start_line(*record[:6], _fragment(record.inputs), _fragment(record.attributes), context)


def _end_record_line(record: SpanEnd) -> bytes:
    return end_line(*record[:5], _fragment(record.inputs), _fragment(record.outputs), _fragment(record.attributes))


def _fragment(value: Json | None) -> orjson.Fragment | None:
    return None if value is None else orjson.Fragment(value)


def _event_record_line(record: SpanEvent) -> bytes:
    form = {
        "kind": "event",
        "trace": record.trace_id,
        "span": record.span_id,
        "name": record.name,
        "time": record.time_ns,
        "attributes": _fragment(record.attributes),
    }
    return orjson.dumps(form, option=orjson.OPT_APPEND_NEWLINE)


def _flush_record_line(record: Flush) -> bytes:
    return orjson.dumps({"kind": "flush", "number": record.number}, option=orjson.OPT_APPEND_NEWLINE)


def _process_record_line(record: ProcessInfo) -> bytes:
    form = {"kind": "process", "version": FORMAT, **record._asdict()}
    return orjson.dumps(form, option=orjson.OPT_APPEND_NEWLINE)


_ENCODERS: Final[dict[type, Callable[[Any], bytes]]] = {
    SpanStart: _start_record_line,
    SpanEvent: _event_record_line,
    SpanEnd: _end_record_line,
    Flush: _flush_record_line,
    ProcessInfo: _process_record_line,
}


def decode(line: bytes) -> Record:
    """The record of a line.

    Raises:
        JournalFormatError: the line is no record of this version.
    """
    try:
        form = orjson.loads(line)
        if not isinstance(form.get("time", 0), int):
            raise TypeError("time is no number")  # noqa: TRY301 - one message for all
        return _DECODERS[form["kind"]](form)
    except JournalFormatError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        msg = f"not a journal record ({type(error).__name__}: {error}): {line[:80]!r}"
        raise JournalFormatError(msg) from None


def is_of_other_version(line: bytes) -> bool:
    """Whether the line is the first of a journal that another version wrote.

    This much of the format never changes: a JSON object with ``kind`` "process" and a ``version``.
    """
    try:
        form = orjson.loads(line)
    except ValueError:
        return False
    return isinstance(form, dict) and form.get("kind") == "process" and form.get("version", FORMAT) != FORMAT


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


_DECODERS: Final[dict[str, Callable[[dict[str, Any]], Record]]] = {
    "process": _process,
    "start": _start,
    "event": _event,
    "end": _end,
    "flush": lambda form: Flush(form["number"]),
}
