"""Encode records as lines of JSON, and decode them.

A record that belongs to a trace is an array: its kind, then its fields in order. Arrays are shorter than objects, so
writing them and searching them for secrets, both on the program's thread, takes less time. Other records are objects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import orjson

from langchain_autotrace.errors import JournalFormatError
from langchain_autotrace.ids import span_digits, trace_digits
from langchain_autotrace.records import (
    END,
    EVENT,
    START,
    Flush,
    ModelSeen,
    ProcessInfo,
    Record,
    SpanEnd,
    SpanEvent,
    SpanStart,
    TraceFile,
    TraceRecord,
    TraceUpdate,
)

FORMAT: Final = 2
"""Version of the journal format. Readers reject any other."""

OPTIONS: Final = orjson.OPT_APPEND_NEWLINE | orjson.OPT_PASSTHROUGH_DATACLASS
"""Options of orjson for encoding a line."""

_Types = tuple[type, ...]
_TEXT: Final[_Types] = (str,)
_NUMBER: Final[_Types] = (int,)
_LIST: Final[_Types] = (list,)
_OBJECT: Final[_Types] = (dict,)
_NONE: Final[_Types] = (type(None),)
_FORMS: Final[dict[str, tuple[Callable[..., TraceRecord], tuple[_Types, ...]]]] = {
    START: (
        SpanStart,
        (
            *(_TEXT, _TEXT, _TEXT + _NONE, _NUMBER, _TEXT, _TEXT + _NONE, _TEXT + _NONE, _LIST + _NONE),
            *(_OBJECT + _NONE, _LIST + _NONE, _OBJECT),
        ),
    ),
    EVENT: (SpanEvent, (_TEXT, _TEXT, _NUMBER, _TEXT, _OBJECT)),
    END: (SpanEnd, (_TEXT, _TEXT, _NUMBER, _LIST + _NONE, _OBJECT)),
    "file": (TraceFile, (_TEXT, _TEXT, _TEXT)),
    "trace": (TraceUpdate, (_TEXT, _OBJECT)),
    "model": (ModelSeen, (_TEXT, _TEXT, _OBJECT)),
}
"""Kind -> record class and the allowed JSON types of each field, for records that belong to a trace."""
_OF_SPANS: Final = frozenset({START, EVENT, END})
"""Kinds of the records whose second field is the id of a span."""
_UUID: Final = 36
"""Number of characters of a run id in a line."""
_KINDS: Final = {record: kind for kind, (record, _) in _FORMS.items()}


def encode(record: Record) -> bytes:
    """Return the record as a line of JSON, newline included.

    The line contains no NUL byte, because JSON escapes control characters.

    Raises:
        TypeError: a value is of a type that JSON does not have.
    """
    if isinstance(record, ProcessInfo):
        return orjson.dumps({"kind": "process", "version": FORMAT, **record._asdict()}, option=OPTIONS)
    if isinstance(record, Flush):
        return orjson.dumps({"kind": "flush", "number": record.number}, option=OPTIONS)
    return orjson.dumps((_KINDS[type(record)], *record), option=OPTIONS)


def decode(line: bytes) -> Record:
    """Return the record that a line contains.

    Raises:
        JournalFormatError: the line is not a record of this version.
    """
    try:
        data = orjson.loads(line)
        return _trace_record(*data) if type(data) is list else _process_record(data)
    except JournalFormatError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        msg = f"not a journal record ({type(error).__name__}: {error}): {line[:80]!r}"
        raise JournalFormatError(msg) from None


def is_of_other_version(line: bytes) -> bool:
    """Return whether the line is the first one of a journal that another version wrote.

    One part of the format never changes: the first line is a JSON object with ``kind`` "process" and a ``version``.
    """
    try:
        data = orjson.loads(line)
    except ValueError:
        return False
    return isinstance(data, dict) and data.get("kind") == "process" and data.get("version", FORMAT) != FORMAT


def _trace_record(kind: str, *fields: Any) -> TraceRecord:  # noqa: ANN401 - JSON
    record, types = _FORMS[kind]
    _check_types(fields, types)
    trace_id, own_id, *others = fields
    if len(trace_id) == _UUID:
        trace_id = trace_digits(trace_id)
    if kind not in _OF_SPANS or len(own_id) != _UUID:
        return record(trace_id, own_id, *others)
    if kind == START:
        parent_id, time_ns, span_kind, name, run_id, *rest = others
        parent_id = None if parent_id is None else span_digits(parent_id)
        others = [parent_id, time_ns, span_kind, name, run_id or own_id, *rest]
    return record(trace_id, span_digits(own_id), *others)


def _check_types(fields: Iterable[object], types: Iterable[_Types]) -> None:
    for field, allowed in zip(fields, types, strict=True):
        if type(field) not in allowed:
            msg = f"a field has the wrong type {type(field).__name__}"
            raise TypeError(msg)


def _process_record(data: dict[str, Any]) -> Record:
    kind = data.pop("kind")
    if kind == "flush":
        _check_types(data.values(), (_NUMBER,))
        return Flush(**data)
    if kind != "process":
        msg = f"unknown kind {kind!r}"
        raise LookupError(msg)
    version = data.pop("version")
    if version != FORMAT:
        msg = f"written in format {version!r}; this version reads format {FORMAT}. Use the version that wrote it."
        raise JournalFormatError(msg)
    info = ProcessInfo(**data)
    _check_types(info, (_NUMBER, _TEXT, _NUMBER, *4 * (_TEXT,)))
    return info
