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


def encode(record: Record, default: Callable[[Any], object] | None = None, option: int = 0) -> bytes:
    """The line of a record, newline included. It holds no NUL byte: JSON escapes control characters.

    Args:
        record: any record.
        default: what orjson asks for the JSON form of a value that it does not know. Capture hands over values as
            they are, to have them turned into JSON in the same pass; a value that is ``bytes`` is JSON already.
        option: orjson's options for such values.

    Raises:
        TypeError: a value has no JSON form.
    """
    return orjson.dumps(_FORMS[type(record)](record), default, option | orjson.OPT_APPEND_NEWLINE)


def _start_form(record: SpanStart) -> dict[str, object]:
    form: dict[str, object] = {
        "kind": "start",
        "trace": record.trace_id,
        "span": record.span_id,
        "parent": record.parent_id,
        "name": record.name,
        "type": record.type,
        "time": record.time_ns,
        "attributes": orjson.Fragment(attributes) if type(attributes := record.attributes) is bytes else attributes,
    }
    if record.inputs is not None:
        form["inputs"] = orjson.Fragment(inputs) if type(inputs := record.inputs) is bytes else inputs
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
        "attributes": orjson.Fragment(attributes) if type(attributes := record.attributes) is bytes else attributes,
    }
    if record.message:
        form["message"] = record.message
    if record.inputs is not None:
        form["inputs"] = orjson.Fragment(inputs) if type(inputs := record.inputs) is bytes else inputs
    if record.outputs is not None:
        form["outputs"] = orjson.Fragment(outputs) if type(outputs := record.outputs) is bytes else outputs
    return form


def _event_form(record: SpanEvent) -> dict[str, object]:
    return {
        "kind": "event",
        "trace": record.trace_id,
        "span": record.span_id,
        "name": record.name,
        "time": record.time_ns,
        "attributes": orjson.Fragment(attributes) if type(attributes := record.attributes) is bytes else attributes,
    }


def _flush_form(record: Flush) -> dict[str, object]:
    return {"kind": "flush", "number": record.number}


def _process_form(record: ProcessInfo) -> dict[str, object]:
    return {"kind": "process", "version": FORMAT, **record._asdict()}


_FORMS: Final[dict[type, Callable[[Any], dict[str, object]]]] = {
    SpanStart: _start_form,
    SpanEvent: _event_form,
    SpanEnd: _end_form,
    Flush: _flush_form,
    ProcessInfo: _process_form,
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
    """Whether the line is the first of a journal that another version wrote. This much never changes in the format:
    a JSON object with ``kind`` "process" and its ``version``.
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
