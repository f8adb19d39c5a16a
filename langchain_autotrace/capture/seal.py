"""The careful way from values to a line that may be written: JSON, without secrets, each value within the size limit.

Most records go the fast way, one pass over all their values and one look for secrets (``recorder.py``). One that is
too large, cannot be serialized so, or might hold a secret comes here; so does every record when the user has a redact
hook.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar, cast

import orjson

from langchain_autotrace.capture import redact
from langchain_autotrace.capture.convert import beginning
from langchain_autotrace.capture.encode import encode
from langchain_autotrace.capture.status import error_text
from langchain_autotrace.settings import Settings
from langchain_autotrace.span import (
    Attr,
    Json,
    ModelForm,
    ModelSeen,
    Record,
    SpanEnd,
    SpanEvent,
    SpanFile,
    SpanStart,
    TraceUpdate,
)

_logger: Final = logging.getLogger("langchain_autotrace")

_CONTENT: Final = frozenset({Attr.METADATA, Attr.TAGS, Attr.INVOCATION_PARAMS, Attr.CHAT_TOOLS, Attr.TOOL_CALL_ID})
"""Attributes that are the user's, beside those of names that are neither ours nor MLflow's; the redact hook sees these
and all attributes of events."""
_OWN: Final = frozenset(value for name, value in vars(Attr).items() if name.isupper()) - _CONTENT
_OF_MLFLOW: Final = "mlflow."
_PREVIEWS: Final = ("request_preview", "response_preview")
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

    def line(self, record: SpanStart | SpanEvent | SpanEnd | SpanFile | TraceUpdate) -> bytes:
        """The line of a record whose values are any Python values; inputs and outputs as ``(value,)`` or None."""
        return self._encode(self._sealed(record))

    def model_line(self, record: ModelSeen, form: ModelForm) -> bytes:
        """The line of what is known of a chain. What is changed in it here cannot be built again."""
        shown: ModelForm = {**form, "name": self._text(form["name"])}
        for part in ("chain", "code"):
            shown[part], reason = self._part(form[part])
            if reason is not None:
                shown["problems"] = [*shown["problems"], ["", part, reason]]
        if form["example"] is not None:
            shown["example"] = [orjson.loads(self._redacted(redact.scrub(orjson.dumps(form["example"][0]))))]
        for labels in ("params", "tags"):
            shown[labels] = self._labels(form[labels])
        return self._encode(record._replace(form=orjson.dumps(shown)))

    def _part(self, given: object) -> tuple[Any, str | None]:
        """The part as it may be written, and why it is not as it was."""
        text = orjson.dumps(given)
        kept = self._redacted(redact.scrub(text))
        if kept == text or given is None:
            return given, None
        hidden = {"lc": 1, "type": "not_implemented", "id": [redact.REDACTED]} if isinstance(given, dict) else None
        return hidden, "it holds what looks like a secret, or what the redact hook takes out"

    def _sealed(self, record: SpanStart | SpanEvent | SpanEnd | SpanFile | TraceUpdate) -> Record:
        if isinstance(record, SpanFile):
            return record
        if isinstance(record, TraceUpdate):
            return record._replace(fields=self._fields(cast("dict[str, object]", record.fields)))
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
        given = _plain(record)
        theirs = {key: value for key, value in given.items() if _is_content(key)}
        own = {key: value for key, value in given.items() if key not in theirs}
        shown = self._user_object(theirs, cut, "attributes") if theirs else {}
        kept = orjson.loads(redact.scrub(encode(own, self._limit).json))
        notes = {f"{Attr.TRUNCATED}.{what}": size for what, size in cut.items()}
        return record._replace(attributes=orjson.dumps({**shown, **kept, **notes}))

    def _fields(self, given: dict[str, object]) -> Json:
        """A trace's own fields: labels, and previews, which are content."""
        sealed = orjson.loads(redact.scrub(encode(given, self._limit).json))
        previews = {key: self._user_text(sealed[key]) for key in _PREVIEWS if key in sealed}
        return orjson.dumps({**sealed, **previews})

    def _user_text(self, text: str) -> str:
        return str(orjson.loads(self._redacted(orjson.dumps(redact.scrub_text(text)))))

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
        clean = _valid(_cut(text, self._limit // 4))
        return self._user_text(clean) if clean else ""

    def _labels(self, pairs: Mapping[str, str]) -> dict[str, str]:
        sealed: dict[str, str] = orjson.loads(redact.scrub(encode(dict(pairs), self._limit).json))
        return sealed


_AnyRecord = TypeVar("_AnyRecord", bound="SpanStart | SpanEvent | SpanEnd | SpanFile | TraceUpdate")


def without_content(record: _AnyRecord) -> _AnyRecord | None:
    """The record without what was said; None where that is all of it."""
    shown: Any = record
    if isinstance(record, SpanFile):
        shown = None
    elif isinstance(record, TraceUpdate):
        fields = cast("Mapping[str, object]", record.fields)
        shown = _with(record, fields={key: v for key, v in fields.items() if key not in _PREVIEWS})
    elif isinstance(record, SpanEvent):
        kept = {key: v for key, v in _plain(record).items() if key == "exception.type"}
        shown = _with(record, attributes=kept)
    else:
        attributes = {key: v for key, v in _plain(record).items() if not _is_content(key)}
        shown = _with(record, inputs=None, attributes=attributes)
        if isinstance(record, SpanEnd):
            shown = _with(shown, outputs=None, message=record.message.partition(":")[0])
    return cast("_AnyRecord | None", shown)


def _with(record: Any, **fields: object) -> Any:  # noqa: ANN401 - a record whose values are not JSON yet
    return record._replace(**fields)


def _plain(record: SpanStart | SpanEvent | SpanEnd) -> Mapping[str, object]:
    return cast("Mapping[str, object]", record.attributes)  # not JSON yet


def _is_content(key: str) -> bool:
    return key in _CONTENT or (key not in _OWN and not key.startswith(_OF_MLFLOW))


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else beginning(text, most)


def _valid(text: str) -> str:
    """UTF-8 has no lone surrogates: they are kept, readable as escapes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
