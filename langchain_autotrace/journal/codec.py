"""A record as one line of JSON, and back.

A span's record is an array: its kind, then the fields of the record in their order. A value that may be left out
(inputs, outputs) stands in an array of its own, so that a value of null is not one that is missing. Arrays are shorter
to write and to search for secrets than objects, and this is done on the program's thread. Other records are objects.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson

from langchain_autotrace.errors import JournalFormatError
from langchain_autotrace.span import (
    Flush,
    Json,
    ModelSeen,
    ProcessInfo,
    Record,
    SpanEnd,
    SpanEvent,
    SpanFile,
    SpanStart,
    TraceContext,
    TraceUpdate,
)

FORMAT: Final = 1
"""Version of the journal's format. A reader refuses every other."""

START: Final = "start"
EVENT: Final = "event"
END: Final = "end"
FILE: Final = "file"
UPDATE: Final = "trace"
MODEL: Final = "model"


def encode(record: Record) -> bytes:
    """The line of a record, newline included. It holds no NUL byte: JSON escapes control characters."""
    return _ENCODERS[type(record)](record)


dumps: Final = orjson.dumps
OPTIONS: Final = orjson.OPT_APPEND_NEWLINE | orjson.OPT_PASSTHROUGH_DATACLASS
"""``dumps((kind, *fields), None, OPTIONS)`` is the line of a span's record whose values are not JSON yet: inputs and
outputs as ``(value,)`` or None, the trace's context as a dict. It raises ``TypeError`` for types that orjson does not
know."""


def _start_record_line(record: SpanStart) -> bytes:
    context = None if record.trace is None else record.trace._asdict()
    fields = *record[:6], _fragments(record.inputs), orjson.Fragment(record.attributes), context
    return dumps((START, *fields), None, OPTIONS)


def _event_record_line(record: SpanEvent) -> bytes:
    return dumps((EVENT, *record[:4], orjson.Fragment(record.attributes)), None, OPTIONS)


def _end_record_line(record: SpanEnd) -> bytes:
    values = _fragments(record.inputs), _fragments(record.outputs)
    return dumps((END, *record[:5], *values, orjson.Fragment(record.attributes)), None, OPTIONS)


def _file_record_line(record: SpanFile) -> bytes:
    return dumps((FILE, *record), None, OPTIONS)


def _update_record_line(record: TraceUpdate) -> bytes:
    return dumps((UPDATE, record.trace_id, orjson.Fragment(record.fields)), None, OPTIONS)


def _model_record_line(record: ModelSeen) -> bytes:
    return dumps((MODEL, *record[:2], orjson.Fragment(record.form)), None, OPTIONS)


def _fragments(value: Json | None) -> tuple[orjson.Fragment] | None:
    return None if value is None else (orjson.Fragment(value),)


def _flush_record_line(record: Flush) -> bytes:
    return orjson.dumps({"kind": "flush", "number": record.number}, option=orjson.OPT_APPEND_NEWLINE)


def _process_record_line(record: ProcessInfo) -> bytes:
    form = {"kind": "process", "version": FORMAT, **record._asdict()}
    return orjson.dumps(form, option=orjson.OPT_APPEND_NEWLINE)


_ENCODERS: Final[dict[type, Callable[[Any], bytes]]] = {
    SpanStart: _start_record_line,
    SpanEvent: _event_record_line,
    SpanEnd: _end_record_line,
    SpanFile: _file_record_line,
    TraceUpdate: _update_record_line,
    ModelSeen: _model_record_line,
    Flush: _flush_record_line,
    ProcessInfo: _process_record_line,
}


def decode(text: bytes) -> Record:
    """The record of a line.

    Raises:
        JournalFormatError: the line is no record of this version.
    """
    try:
        form = orjson.loads(text)
        return _SPAN_DECODERS[form[0]](*form[1:]) if type(form) is list else _DECODERS[form["kind"]](form)
    except JournalFormatError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        msg = f"not a journal record ({type(error).__name__}: {error}): {text[:80]!r}"
        raise JournalFormatError(msg) from None


def is_of_other_version(text: bytes) -> bool:
    """Whether the line is the first of a journal that another version wrote.

    This much of the format never changes: a JSON object with ``kind`` "process" and a ``version``.
    """
    try:
        form = orjson.loads(text)
    except ValueError:
        return False
    return isinstance(form, dict) and form.get("kind") == "process" and form.get("version", FORMAT) != FORMAT


def _process(form: dict[str, Any]) -> ProcessInfo:
    version = form.pop("version")
    if version != FORMAT:
        msg = f"written in format {version!r}; this version reads format {FORMAT}. Use the version that wrote it."
        raise JournalFormatError(msg)
    form.pop("kind")
    return ProcessInfo(**form)


def _start(  # noqa: PLR0913, PLR0917 - the fields of a record
    trace_id: str,
    span_id: str,
    parent_id: str | None,
    name: str,
    kind: str,
    time_ns: int,
    inputs: list[object] | None,
    attributes: dict[str, object],
    context: dict[str, Any] | None,
) -> SpanStart:
    trace = None if context is None else TraceContext(**context)
    known = _value(inputs), orjson.dumps(attributes)
    return SpanStart(trace_id, span_id, parent_id, name, kind, _number(time_ns), *known, trace)


def _event(trace_id: str, span_id: str, name: str, time_ns: int, attributes: dict[str, object]) -> SpanEvent:
    return SpanEvent(trace_id, span_id, name, _number(time_ns), orjson.dumps(attributes))


def _end(  # noqa: PLR0913, PLR0917 - as above
    trace_id: str,
    span_id: str,
    time_ns: int,
    status: str,
    message: str,
    inputs: list[object] | None,
    outputs: list[object] | None,
    attributes: dict[str, object],
) -> SpanEnd:
    values = _value(inputs), _value(outputs), orjson.dumps(attributes)
    return SpanEnd(trace_id, span_id, _number(time_ns), status, message, *values)


def _update(trace_id: str, fields: dict[str, object]) -> TraceUpdate:
    return TraceUpdate(trace_id, orjson.dumps(fields))


def _model(trace_id: str, content_hash: str, form: dict[str, object]) -> ModelSeen:
    return ModelSeen(trace_id, content_hash, orjson.dumps(form))


def _number(value: object) -> int:
    if type(value) is not int:
        raise TypeError("time is no number")
    return value


def _value(given: list[object] | None) -> Json | None:
    return None if given is None else orjson.dumps(given[0])


_SPAN_DECODERS: Final[dict[str, Callable[..., Record]]] = {
    START: _start,
    EVENT: _event,
    END: _end,
    FILE: SpanFile,
    UPDATE: _update,
    MODEL: _model,
}
_DECODERS: Final[dict[str, Callable[[dict[str, Any]], Record]]] = {
    "process": _process,
    "flush": lambda form: Flush(form["number"]),
}
