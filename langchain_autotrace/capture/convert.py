"""What objects hold: each class of value as a text, a number, or a container of values.

All of it reads the value and changes nothing in it.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import pathlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence, ValuesView
from collections.abc import Set as AbstractSet
from enum import Enum
from itertools import islice
from typing import Any, Final, TypeAlias

import orjson
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.prompt_values import ChatPromptValue, StringPromptValue
from langchain_core.runnables import Runnable
from pydantic import BaseModel, SecretBytes, SecretStr

from langchain_autotrace.capture.atoms import ATOMS, STOPPED, is_plain

Converter: TypeAlias = Callable[[Any], object]

PLAIN_MESSAGES: Final[frozenset[type[BaseMessage]]] = frozenset({AIMessage, HumanMessage, SystemMessage})
_WORD: Final = "".join(chr(code) for code in range(33, 127) if chr(code) not in "\"',;&<>()[]{}")
"""Characters of which secrets are made; the others end one."""
_MAX_ITEMS: Final = 100_000
_MAX_KINDS: Final = 2_000
_MAX_REPR: Final = 10_000
_MAX_ROWS: Final = 1_000
_MAX_KEY: Final = 1_000
_MAX_SECRET: Final = 512


def convert(value: object) -> object:
    """What an object holds: a text, a number, or a container of what may be objects again."""
    return converter_of(type(value))(value)


def converter_of(kind: type) -> Converter:
    """What converts values of a class; it raises whatever their methods raise."""
    converter = _converters.get(kind)
    if converter is None:
        if len(_converters) > _MAX_KINDS:  # programs make classes as they run: each MagicMock is of its own
            _converters.clear()
        converter = _converters[kind] = _find_converter(kind)
    return converter


def _find_converter(kind: type) -> Converter:
    for base, converter in _BY_BASE:
        if issubclass(kind, base):
            return converter
    if issubclass(kind, BaseModel):
        return _model_converter(kind)
    if dataclasses.is_dataclass(kind):
        return _from_dataclass
    return _BY_LIBRARY.get(str(kind.__module__).partition(".")[0], described)


def message(value: BaseMessage) -> dict[str, object]:
    """A message in LangChain's own form, without its empty fields."""
    fields = value.__dict__
    form: dict[str, object] = {"type": fields.get("type"), "content": fields.get("content")}
    if type(value) in PLAIN_MESSAGES:
        for name, field in fields.items():
            if field:
                form[name] = field  # noqa: PERF403 - a comprehension is a call in Python 3.11
        return form
    for name in MESSAGE_FIELDS:
        field = fields.get(name)
        if field is not None and (name == "artifact" or field):  # an artifact may be neither true nor false
            form[name] = field
    return form


MESSAGE_FIELDS: Final = (
    "id",
    "name",
    "role",
    "tool_calls",
    "invalid_tool_calls",
    "tool_call_id",
    "status",
    "artifact",
    "usage_metadata",
    "response_metadata",
    "additional_kwargs",
)


def document(value: Document) -> dict[str, object]:
    """A document in MLflow's form (``mlflow.entities.Document``)."""
    return {"page_content": value.page_content, "metadata": value.metadata, "id": value.id}


def described(value: object) -> str:
    """An object of an unknown class: its ``repr``, or what went wrong with that."""
    try:
        text = str.__str__(repr(value))
    except STOPPED:
        raise
    except BaseException as error:  # noqa: BLE001 - a user's __repr__ raises anything
        return f"<{class_name(value)}: repr raised {class_name(error)}>"
    return text if len(text) <= _MAX_REPR else f"{beginning(text, _MAX_REPR)}… [cut, {len(text)} characters]"


def class_name(value: object) -> str:
    """The name of a value's class, even where a metaclass of the user's answers for it."""
    kind = type(value)
    name: str = type.__dict__["__name__"].__get__(kind)
    module = type.__dict__["__dict__"].__get__(kind).get("__module__")
    return f"{module}.{name}" if isinstance(module, str) and module != "builtins" else name


def _model_converter(kind: type[BaseModel]) -> Converter:
    """Field by field, as what they hold is converted in its turn; by pydantic, where the user's serializers mask it."""
    decorators = kind.__pydantic_decorators__
    if decorators.model_serializers or kind.model_dump is not BaseModel.model_dump:
        return _dumped
    named = {name for one in decorators.field_serializers.values() for name in one.info.fields}
    shown = {
        name: not named.isdisjoint((name, "*")) or "Serializer" in f"{field.annotation!r}{field.metadata!r}"
        for name, field in kind.model_fields.items()
        if not field.exclude
    }

    def form(value: BaseModel) -> object:
        fields: dict[str, object] = {}
        for name, serialized in shown.items():
            if serialized:
                fields |= _dumped_field(value, name)
            elif name in value.__dict__:
                fields[name] = value.__dict__[name]
        fields |= {name: _attribute(value, name) for name in kind.model_computed_fields}
        return fields | (value.__pydantic_extra__ or {})

    return form


def _dumped(value: BaseModel) -> object:
    for field in value.__dict__.values():
        is_plain(field)  # raises for what is vast, which pydantic would write out
    try:
        return value.model_dump(warnings=False)
    except STOPPED:
        raise
    except BaseException:  # noqa: BLE001 - a field, property or serializer of the user's; the others are kept
        kept: dict[str, object] = {}
        for name in (*type(value).model_fields, *type(value).model_computed_fields):
            kept |= _dumped_field(value, name)
        return kept


def _dumped_field(value: BaseModel, name: str) -> dict[str, object]:
    try:
        return BaseModel.model_dump(value, include={name}, warnings=False)
    except STOPPED:
        raise
    except BaseException as error:  # noqa: BLE001 - as above
        return {name: f"<{class_name(error)}>"}


def _from_dataclass(value: Any) -> object:  # noqa: ANN401 - any dataclass
    return {field.name: _attribute(value, field.name) for field in dataclasses.fields(value)}


def _attribute(value: object, name: str) -> object:
    try:
        return getattr(value, name)
    except STOPPED:
        raise
    except BaseException as error:  # noqa: BLE001 - a property of the user's, an empty slot
        return f"<{class_name(error)}>"


def _from_bytes(value: bytes | bytearray | memoryview) -> object:
    raw = bytes(value)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return f"{raw[:100]!r}" if len(raw) <= 100 else f"{raw[:100]!r}… [cut, {len(raw)} bytes]"  # noqa: PLR2004


def _from_tuple(value: tuple[object, ...]) -> object:
    names, items = getattr(value, "_fields", None), list(tuple.__iter__(value))
    return dict(zip(names, items, strict=True)) if isinstance(names, tuple) else items


def _from_mapping(value: Mapping[object, object]) -> object:
    items = dict(islice(value.items(), _MAX_ITEMS))  # of the user's class: it may have no end
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
        return value.tolist()
    return {"shape": value.shape, "dtype": str(value.dtype), "beginning": value.flat[:_MAX_ROWS].tolist()}


_BY_BASE: Final[tuple[tuple[type | tuple[type, ...], Converter], ...]] = (
    (BaseMessage, message),
    (Document, document),
    (ChatPromptValue, lambda value: {"messages": value.messages}),
    (StringPromptValue, lambda value: {"text": value.text}),
    ((SecretStr, SecretBytes), str),
    # A model or chain among the values would drag its HTTP client and its settings along.
    (Runnable, lambda value: f"<{class_name(value)}>"),
    (BaseException, described),
    (Enum, lambda value: value.value),
    # Subclasses as C sees them: what the user's methods make of them may have no end.
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
    (dict, lambda value: dict(dict.items(value))),
    (list, lambda value: list.__getitem__(value, slice(None))),
    (tuple, _from_tuple),
    ((dt.date, dt.time), lambda value: value.isoformat()),
    ((dt.timedelta, decimal.Decimal, pathlib.PurePath), str),
    ((bytes, bytearray, memoryview), _from_bytes),
    (Mapping, _from_mapping),
    ((set, frozenset, deque), list),
    ((AbstractSet, Sequence, ValuesView), _from_items),
    (type, described),
)
_BY_LIBRARY: Final[dict[str, Converter]] = {"pandas": _from_frame, "numpy": _from_array}
_converters: dict[type, Converter] = {}


def key_text(key: object) -> str:
    """A key as text: as orjson would write it, else as its ``repr``."""
    try:
        plain = key if type(key) in ATOMS else convert(key)
        if type(plain) not in ATOMS:
            text = described(key)
        elif type(plain) is str:
            text = plain
        else:
            text = digits(plain) if type(plain) is int else orjson.dumps(plain).decode().strip('"')
    except STOPPED:
        raise
    except BaseException as error:  # noqa: BLE001 - a key of the user's
        text = f"<{class_name(key)}: {class_name(error)}>"
    return text if len(text) <= _MAX_KEY else f"{beginning(text, _MAX_KEY)}…"


def digits(value: int) -> str:
    """An integer of any size; Python refuses to print the longest in decimal."""
    return str(value) if value.bit_length() < 10_000 else f"{value:#x}"  # noqa: PLR2004


def beginning(text: str, most: int) -> str:
    """At most ``most`` first characters of a longer text, without a last word that may be half of a secret.

    Redaction comes after the cut, and would not know the half of a key by its shape. A run of over 512 characters is
    no key (an image in Base64) and is cut where it is.
    """
    tail = text[max(most - _MAX_SECRET - 1, 0) : most]
    half = len(tail) - len(tail.rstrip(_WORD))
    return text[:most] if half > _MAX_SECRET else text[: most - half]
