"""The careful way from values to a line that may be written: JSON, without secrets, each value within the size limit.

Most records go the fast way, one pass over all their values and one look for secrets (``recorder.py``). One that is
too large, cannot be serialized so, or might hold a secret comes here; so does every record when the user has a redact
hook.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Final, TypeVar, cast

import orjson

from langchain_autotrace.capture import redact
from langchain_autotrace.capture.convert import beginning
from langchain_autotrace.capture.encode import encode
from langchain_autotrace.capture.status import error_text
from langchain_autotrace.settings import Settings
from langchain_autotrace.span import Attr, Json, Record, SpanEnd, SpanEvent, SpanStart

_logger: Final = logging.getLogger("langchain_autotrace")

_CONTENT: Final = frozenset({Attr.METADATA, Attr.TAGS, Attr.INVOCATION_PARAMS, Attr.CHAT_TOOLS, Attr.TOOL_CALL_ID})
"""Attributes that are the user's; the redact hook sees these and all attributes of events."""
_MAX_NAME: Final = 1_000
_Span = TypeVar("_Span", SpanStart, SpanEnd)


class Sealer:
    """Makes lines the careful way, for one set of settings.

    Attributes:
        redact_failures: values lost to an exception of the user's hook.
    """

    def __init__(self, settings: Settings, encode_record: Callable[[Record], bytes]) -> None:
        self.redact_failures = 0
        self._hook = settings.redact
        self._limit = settings.max_value_bytes
        self._encode = encode_record
        self._lock = threading.Lock()

    def line(self, record: SpanStart | SpanEvent | SpanEnd) -> bytes:
        """The line of a record whose values are any Python values; inputs and outputs as ``(value,)`` or None."""
        return self._encode(self._sealed(record))

    def _sealed(self, record: SpanStart | SpanEvent | SpanEnd) -> Record:
        if isinstance(record, SpanEvent):
            attributes = self._user_object(record.attributes, {}, "attributes")
            return record._replace(name=self._text(record.name), attributes=orjson.dumps(attributes))
        cut: dict[str, int] = {}
        if isinstance(record, SpanStart):
            start = record._replace(name=self._text(record.name), inputs=self._given(record.inputs, cut, "inputs"))
            if start.trace is not None:
                tags, metadata = self._labels(start.trace.tags), self._labels(start.trace.metadata)
                start = start._replace(trace=start.trace._replace(tags=tags, metadata=metadata))
            return self._with_attributes(start, cut)
        end = record._replace(
            message=self._message(record.message),
            inputs=self._given(record.inputs, cut, "inputs"),
            outputs=self._given(record.outputs, cut, "outputs"),
        )
        return self._with_attributes(end, cut)

    def _with_attributes(self, record: _Span, cut: dict[str, int]) -> _Span:
        """Attributes with the user's part through the hook, and a note of what was cut from what size."""
        given = cast("Mapping[str, object]", record.attributes)  # not JSON yet
        theirs = {key: value for key, value in given.items() if key in _CONTENT}
        own = {key: value for key, value in given.items() if key not in _CONTENT}
        shown = self._user_object(theirs, cut, "attributes") if theirs else {}
        kept = orjson.loads(redact.scrub(encode(own, self._limit).json))
        notes = {f"{Attr.TRUNCATED}.{what}": size for what, size in cut.items()}
        return record._replace(attributes=orjson.dumps({**shown, **kept, **notes}))

    def _given(self, given: object, cut: dict[str, int], what: str) -> Json | None:
        return None if given is None else self._value(cast("tuple[object]", given)[0], cut, what)

    def _value(self, value: object, cut: dict[str, int], what: str) -> Json:
        text, cut_from = encode(value, self._limit)
        if cut_from is not None:
            cut[what] = cut_from
        return self._redacted(redact.scrub(text))

    def _user_object(self, value: object, cut: dict[str, int], what: str) -> dict[str, object]:
        sealed = orjson.loads(self._value(value, cut, what))
        return sealed if isinstance(sealed, dict) else {"redacted": sealed}

    def _redacted(self, text: Json) -> Json:
        if self._hook is None:
            return text
        kept, error = redact.apply(self._hook, text)
        if error is not None:
            self._note_failure(error)
        return kept

    def _note_failure(self, error: Exception) -> None:
        with self._lock:
            self.redact_failures += 1
            first = self.redact_failures == 1
        if first:
            _logger.warning("the redact hook raised %s: the value was dropped.", error_text(error))

    def _text(self, text: str) -> str:
        """A name: scrubbed and cut, but no content for the hook."""
        return redact.scrub_text(_valid(_cut(text, _MAX_NAME)))

    def _message(self, text: str) -> str:
        clean = redact.scrub_text(_valid(_cut(text, self._limit // 4)))
        return str(orjson.loads(self._redacted(orjson.dumps(clean)))) if clean else ""

    def _labels(self, pairs: Mapping[str, str]) -> dict[str, str]:
        sealed: dict[str, str] = orjson.loads(redact.scrub(encode(dict(pairs), self._limit).json))
        return sealed


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else beginning(text, most)


def _valid(text: str) -> str:
    """UTF-8 has no lone surrogates: they are kept, readable as escapes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
