"""Converts objects to plain values: strings, numbers, and containers.

Values are only read, never changed. Fields that a pydantic or dataclass model hides (``exclude=True``,
``repr=False``) and pydantic's secrets are not read.
"""

from __future__ import annotations

import argparse
import base64
import dataclasses
import datetime as dt
import decimal
import io
import math
import pathlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence, ValuesView
from collections.abc import Set as AbstractSet
from enum import Enum
from itertools import islice
from types import SimpleNamespace
from typing import Any, Final, TypeAlias
from uuid import UUID

import orjson
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.outputs import Generation, LLMResult
from langchain_core.prompt_values import ChatPromptValue, StringPromptValue
from langchain_core.runnables import Runnable
from pydantic import BaseModel, SecretBytes, SecretStr

from langchain_autotrace.capture.describe import STOPPED, beginning, class_name, described, digits, number_text
from langchain_autotrace.capture.objects import ObjectReader, from_buffer, from_image, from_tensor, reads_fields
from langchain_autotrace.capture.schemas import from_class

JSON_SCALARS: Final = frozenset({str, int, float, bool, type(None), UUID})
"""Types that orjson writes directly."""

Converter: TypeAlias = Callable[[Any], object]

_PLAIN_MESSAGES: Final[frozenset[type[BaseMessage]]] = frozenset({AIMessage, HumanMessage, SystemMessage})
_MAX_ITEMS: Final = 100_000
_MAX_KINDS: Final = 2_000
_MAX_ROWS: Final = 1_000
_MAX_KEY: Final = 1_000
_MAX_BYTES: Final = 20_000_000


def convert(value: object) -> object:
    """Return an object as a string, a number, or a container whose items may still have to be converted."""
    return converter_of(type(value))(value)


def converter_of(kind: type) -> Converter:
    """Return the function that converts values of a class.

    The function returns a scalar, a new dict or list, or another object that still has to be converted. It raises
    whatever the value's methods raise.
    """
    converter = converters.get(kind)
    if converter is None:
        if len(converters) > _MAX_KINDS:  # programs create classes at run time: each MagicMock has its own
            converters.clear()
        converter = converters[kind] = _find_converter(kind)
    return converter


def _find_converter(kind: type) -> Converter:
    for base, converter in _BY_BASE:
        if issubclass(kind, base):
            return converter
    if issubclass(kind, BaseMessage):
        return _message_converter(kind)
    if issubclass(kind, Document):
        return _without_hidden(kind, _document)
    if issubclass(kind, BaseModel):
        return _model_converter(kind)
    if dataclasses.is_dataclass(kind):
        return _from_dataclass
    known = _BY_LIBRARY.get(str(kind.__module__).partition(".")[0])
    return known or (ObjectReader(kind, converter_of) if reads_fields(kind) else described)


def _message(value: BaseMessage) -> dict[str, object]:
    """Return a message's fields under LangChain's own names, without the empty ones."""
    fields = value.__dict__
    form: dict[str, object] = {"type": fields.get("type"), "content": fields.get("content")}
    for name in _MESSAGE_FIELDS:
        field = fields.get(name)
        if field is not None and (name == "artifact" or field):  # bool() of an artifact may raise, as for an array
            form[name] = field
    return form


def _plain_message(value: BaseMessage) -> dict[str, object]:
    """Return a message's fields; faster than ``_message`` for a message with only type, content and id."""
    fields = value.__dict__
    if any(map(fields.get, _UNUSUAL_FIELDS)):
        return _message(value)
    form = {"type": fields["type"], "content": fields["content"]}
    if fields["id"]:
        form["id"] = fields["id"]
    return form


_MESSAGE_FIELDS: Final = (
    *("id", "name", "role", "tool_calls", "invalid_tool_calls", "tool_call_id", "status", "artifact"),
    *("usage_metadata", "response_metadata", "additional_kwargs"),
)


_UNUSUAL_FIELDS: Final = (
    *("name", "tool_calls", "invalid_tool_calls", "usage_metadata", "response_metadata", "additional_kwargs"),
)


def _message_converter(kind: type[BaseMessage]) -> Converter:
    """Return the converter of a message class; a user's subclass gets the type of the LangChain class it extends."""
    if kind in _PLAIN_MESSAGES:
        return _plain_message
    known = next((name for base, name in _TYPES if issubclass(kind, base)), None)
    if known is None or kind.__module__.startswith("langchain_core."):
        return _without_hidden(kind, _message)
    return _without_hidden(kind, lambda value: {**_message(value), "type": known})


def _without_hidden(kind: type[BaseModel], converter: Callable[[Any], dict[str, object]]) -> Converter:
    """Return the converter without LangChain's fields that a user's subclass has hidden."""
    base = next(one for one in kind.__mro__ if one.__module__.startswith("langchain_core."))
    # LangChain declares some of its own fields with repr=False.
    if not (hidden := _hidden_fields(kind) - _hidden_fields(base)):
        return converter
    return lambda value: {name: field for name, field in converter(value).items() if name not in hidden}


def _hidden_fields(kind: Any) -> set[str]:  # noqa: ANN401 - a class with or without fields
    is_model = issubclass(kind, BaseModel)
    fields = kind.model_fields if is_model else getattr(kind, "__pydantic_fields__", {})  # of pydantic's dataclasses
    computed = kind.model_computed_fields if is_model else {}
    hidden = {name for name, field in fields.items() if field.exclude or not field.repr}
    return hidden | {name for name, field in computed.items() if not field.repr}


_TYPES: Final = ((AIMessage, "ai"), (HumanMessage, "human"), (SystemMessage, "system"), (ToolMessage, "tool"))


def _document(value: Document) -> dict[str, object]:
    """Return a document with the fields of ``mlflow.entities.Document``."""
    return {"page_content": value.page_content, "metadata": value.metadata, "id": value.id}


def _generation(value: Generation) -> dict[str, object]:
    """Return a model's answer as its message, or as its text if it has no message."""
    fields = value.__dict__
    held = "message" if "message" in fields else "text"  # a chat model's answer repeats the message's text
    form = {held: fields.get(held)}
    if fields.get("generation_info"):
        form["generation_info"] = fields["generation_info"]
    return form


def _result(value: LLMResult) -> dict[str, object]:
    fields = value.__dict__
    form = {"generations": fields.get("generations")}
    if fields.get("llm_output"):
        form["llm_output"] = fields["llm_output"]
    return form


def _model_converter(kind: type[BaseModel]) -> Converter:
    """Return a converter that reads a model field by field, or dumps it with pydantic if it has custom serializers.

    A user's serializer may mask a field.
    """
    decorators = kind.__pydantic_decorators__
    if decorators.model_serializers or kind.model_dump is not BaseModel.model_dump:
        return _dumped
    named = {name for one in decorators.field_serializers.values() for name in one.info.fields}
    hidden = _hidden_fields(kind)
    shown = {
        name: not named.isdisjoint((name, "*")) or "Serializer" in f"{field.annotation!r}{field.metadata!r}"
        for name, field in kind.model_fields.items()
        if name not in hidden
    }
    computed = [name for name in kind.model_computed_fields if name not in hidden]

    def form(value: BaseModel) -> object:
        fields: dict[str, object] = {}
        for name, serialized in shown.items():
            if serialized:
                fields |= _dumped_field(value, name)
            elif name in value.__dict__:
                fields[name] = value.__dict__[name]
        fields |= {name: _attribute(value, name) for name in computed}
        return fields | (value.__pydantic_extra__ or {})

    return form


def _dumped(value: BaseModel) -> object:
    kind = type(value)
    hidden = _hidden_fields(kind)
    shown = [name for name in (*kind.model_fields, *kind.model_computed_fields) if name not in hidden]
    try:
        return _own(value.model_dump(warnings=False, include=set(shown), exclude=_hidden_within(value.__dict__)))
    except STOPPED:
        raise
    except BaseException:  # noqa: BLE001 - one of the user's fields or serializers; the others are kept
        kept: dict[str, object] = {}
        for name in shown:
            kept |= _dumped_field(value, name)
        return kept


def _dumped_field(value: BaseModel, name: str) -> dict[str, object]:
    try:
        held = {name: value.__dict__.get(name)}
        return BaseModel.model_dump(value, include={name}, exclude=_hidden_within(held), warnings=False)
    except STOPPED:
        raise
    except BaseException as error:  # noqa: BLE001 - as above
        return {name: f"<{class_name(error)}>"}


def _hidden_within(value: object) -> dict[Any, Any]:
    """Return the fields that models within a value hide, in the form of pydantic's ``exclude``.

    pydantic itself leaves out only those with ``exclude=True``.
    """
    items: Iterable[tuple[Any, object]] = ()
    hidden: set[str] = set()
    if isinstance(value, list | tuple):
        items = enumerate(value)
    elif isinstance(value, dict):
        items = value.items()
    elif isinstance(value, BaseModel):
        items, hidden = value.__dict__.items(), _hidden_fields(type(value))
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        items = _from_dataclass(value).items()
        hidden = {field.name for field in dataclasses.fields(value)}.difference(name for name, _ in items)
    found: dict[Any, Any] = {name: within for name, item in items if (within := _hidden_within(item))}
    return found | dict.fromkeys(hidden, True)


def _from_dataclass(value: Any) -> dict[str, object]:  # noqa: ANN401 - any dataclass
    hidden = _hidden_fields(type(value))
    shown = [field.name for field in dataclasses.fields(value) if field.repr and field.name not in hidden]
    return {name: _attribute(value, name) for name in shown}


def _attribute(value: object, name: str) -> object:
    try:
        return getattr(value, name)
    except STOPPED:
        raise
    except BaseException as error:  # noqa: BLE001 - a user's property, an unset slot
        return f"<{class_name(error)}>"


def _from_enum(value: Enum) -> object:
    return _own(value.value)


def _own(held: Any) -> object:  # noqa: ANN401 - any value
    """Return a copy of a container that the program may have too, since what is converted is written to."""
    return held.copy() if type(held) in (dict, list) else held


def from_bytes(value: bytes | bytearray | memoryview) -> str:
    """Return the text of UTF-8, and a data URL of other bytes."""
    raw = bytes(value)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        if len(raw) > _MAX_BYTES:
            return f"<bytes: {len(raw)}>"
        return f"data:application/octet-stream;base64,{base64.b64encode(raw).decode()}"


def _from_tuple(value: tuple[object, ...]) -> object:
    names, items = getattr(value, "_fields", None), list(tuple.__iter__(value))
    return dict(zip(names, items, strict=True)) if isinstance(names, tuple) else items


def _from_mapping(value: Mapping[object, object]) -> object:
    items = dict(islice(value.items(), _MAX_ITEMS))  # a user's mapping may be endless
    return items if len(items) < _MAX_ITEMS else {**items, "…": "[cut]"}


def _from_items(value: Iterable[object]) -> object:
    items = list(islice(value, _MAX_ITEMS))  # a range may be longer than memory
    return items if len(items) < _MAX_ITEMS else [*items, "… [cut]"]


def _from_frame(value: Any) -> object:  # noqa: ANN401 - pandas is not imported
    name = type(value).__name__
    if name == "DataFrame":
        return {"shape": value.shape, **value.head(_MAX_ROWS).to_dict("split")}
    if name == "Series":
        return value.head(_MAX_ROWS).tolist()
    return value[:_MAX_ROWS].tolist() if name.endswith("Index") else described(value)


def _from_array(value: Any) -> object:  # noqa: ANN401 - numpy is not imported
    if not hasattr(value, "tolist"):
        return described(value)
    if value.size <= _MAX_ITEMS:
        return _own(value.tolist())
    return {"shape": value.shape, "dtype": str(value.dtype), "beginning": value.flat[:_MAX_ROWS].tolist()}


_BY_BASE: Final[tuple[tuple[type | tuple[type, ...], Converter], ...]] = (
    (LLMResult, _result),
    (Generation, _generation),
    (ChatPromptValue, lambda value: {"messages": value.messages}),
    (StringPromptValue, lambda value: {"text": value.text}),
    ((SecretStr, SecretBytes), str),
    # Not field by field: a model or chain would bring its HTTP client and its settings along.
    (Runnable, lambda value: f"<{class_name(value)}>"),
    (BaseException, described),
    (Enum, _from_enum),
    # The base class's C methods: a subclass may override them, for example with an endless iterator.
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
    (dict, lambda value: dict(dict.items(value))),
    (list, lambda value: list.__getitem__(value, slice(None))),
    (tuple, _from_tuple),
    ((dt.date, dt.time), lambda value: value.isoformat()),
    ((dt.timedelta, decimal.Decimal, pathlib.PurePath), str),
    ((bytes, bytearray, memoryview), from_bytes),
    (Mapping, _from_mapping),
    ((set, frozenset, deque), list),
    ((AbstractSet, Sequence, ValuesView), _from_items),
    (type, from_class),
    ((SimpleNamespace, argparse.Namespace), lambda value: value.__dict__.copy()),
    (io.BytesIO, from_buffer),
)
_BY_LIBRARY: Final[dict[str, Converter]] = {
    "pandas": _from_frame,
    "numpy": _from_array,
    "PIL": from_image,
    "torch": from_tensor,
}
converters: Final[dict[type, Converter]] = {dict: dict.copy, list: list.copy, tuple: list}
"""Cache of converters by class."""


def key_text(key: object) -> str:
    """Return a mapping's key as a string: as orjson would write it, else its ``repr``."""
    try:
        plain = key if type(key) in JSON_SCALARS else convert(key)
        if type(plain) not in JSON_SCALARS:
            text = described(key)
        elif type(plain) is str:
            text = plain
        else:
            text = digits(plain) if type(plain) is int else _scalar_text(plain)
    except STOPPED:
        raise
    except BaseException as error:  # noqa: BLE001 - a user's class may be a key
        text = f"<{class_name(key)}: {class_name(error)}>"
    return text if len(text) <= _MAX_KEY else f"{beginning(text, _MAX_KEY)}…"


def _scalar_text(value: Any) -> str:  # noqa: ANN401 - a scalar of JSON
    if type(value) is float and not math.isfinite(value):
        return number_text(value)
    return orjson.dumps(value).decode().strip('"')
