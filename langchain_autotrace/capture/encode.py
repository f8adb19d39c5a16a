"""Any Python value as JSON. Total: no value loses a span.

The fast way is one ``orjson.dumps`` with a hook for the types of LangChain's world. What that refuses (cycles, lone
surrogates, integers over 64 bits, tuples as keys, a ``__repr__`` that raises) goes the slow way, a walk that guards
every step. Both read the value and change nothing in it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

import orjson
from langchain_core.documents import Document
from langchain_core.messages import BaseMessage
from langchain_core.prompt_values import ChatPromptValue, StringPromptValue
from langchain_core.runnables import Runnable
from pydantic import BaseModel, SecretBytes, SecretStr

from langchain_autotrace.span import Json

Converter: TypeAlias = Callable[[Any], object]

OPTIONS: Final = orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS
_MAX_DEPTH: Final = 100
_MAX_NODES: Final = 100_000
_MAX_REPR: Final = 10_000
_MAX_ROWS: Final = 1_000
_MIN_CLIP: Final = 64


class Encoded(NamedTuple):
    """One value as JSON."""

    json: Json
    cut_from: int | None
    """Bytes of JSON the whole value would have taken, when it was cut; ``None`` otherwise."""


def encode(value: object, limit: int) -> Encoded:
    """``value`` as at most ``limit`` bytes of JSON.

    Numbers that JSON does not know (NaN, infinities) become null, as in JavaScript and pydantic; bytes become
    text where they are UTF-8; an object of an unknown class becomes its ``repr``.
    """
    try:
        text = orjson.dumps(value, default=convert, option=OPTIONS)
    except Exception:  # noqa: BLE001 - user objects raise anything; the walk guards each step
        text = _walked(value)
    return Encoded(text, None) if len(text) <= limit else Encoded(_cut(text, limit), len(text))


def convert(value: object) -> object:
    """What orjson asks of a type that it does not know."""
    kind = type(value)
    converter = _converters.get(kind)
    if converter is None:
        converter = _converters[kind] = _find_converter(kind)
    return converter(value)


def _find_converter(kind: type) -> Converter:
    for base, converter in _BY_BASE:
        if issubclass(kind, base):
            return converter
    if dataclasses.is_dataclass(kind):
        return _from_dataclass
    return _BY_LIBRARY.get(kind.__module__.partition(".")[0], described)


def message(value: BaseMessage) -> dict[str, object]:
    """A message in LangChain's own form, without its empty fields."""
    fields = value.__dict__
    form: dict[str, object] = {"type": value.type, "content": value.content}
    if fields.keys() <= _PLAIN_MESSAGE:  # most of what people and systems say; no loop
        if value.id:
            form["id"] = value.id
        if value.name:
            form["name"] = value.name
        if value.additional_kwargs:
            form["additional_kwargs"] = value.additional_kwargs
        if value.response_metadata:
            form["response_metadata"] = value.response_metadata
        return form
    for name in _MESSAGE_FIELDS:
        field = fields.get(name)
        if field is not None and (name == "artifact" or field):  # an artifact may be neither true nor false
            form[name] = field
    return form


_PLAIN_MESSAGE: Final = frozenset(
    {"type", "content", "id", "name", "additional_kwargs", "response_metadata", "example"}
)
_MESSAGE_FIELDS: Final = (
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
        text = repr(value)
    except Exception as error:  # noqa: BLE001 - a user's __repr__ raises anything
        return f"<{type(value).__module__}.{type(value).__qualname__}: repr raised {type(error).__name__}>"
    return text if len(text) <= _MAX_REPR else f"{text[:_MAX_REPR]}… [cut, {len(text)} characters]"


def _from_model(value: BaseModel) -> object:
    return value.model_dump(warnings=False)


def _from_dataclass(value: Any) -> object:  # noqa: ANN401 - any dataclass
    if isinstance(value, type):
        return described(value)
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def _from_bytes(value: bytes | bytearray | memoryview) -> object:
    raw = bytes(value)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return described(raw)


def _from_frame(value: Any) -> object:  # noqa: ANN401 - pandas is not imported
    if type(value).__name__ == "DataFrame":
        return {"shape": value.shape, **value.head(_MAX_ROWS).to_dict("split")}
    return value.head(_MAX_ROWS).tolist() if type(value).__name__ == "Series" else described(value)


def _from_array(value: Any) -> object:  # noqa: ANN401 - numpy is not imported
    return value.tolist() if hasattr(value, "tolist") else described(value)


_BY_BASE: Final[tuple[tuple[type | tuple[type, ...], Converter], ...]] = (
    (BaseMessage, message),
    (Document, document),
    (ChatPromptValue, lambda value: {"messages": value.messages}),
    (StringPromptValue, lambda value: {"text": value.text}),
    ((SecretStr, SecretBytes), str),
    # A model or chain among the values would drag its HTTP client and its settings along.
    (Runnable, lambda value: f"<{type(value).__module__}.{type(value).__qualname__}>"),
    (BaseModel, _from_model),
    (BaseException, described),
    ((bytes, bytearray, memoryview), _from_bytes),
    (Mapping, dict),
    ((set, frozenset), list),
    (tuple, lambda value: value._asdict() if hasattr(value, "_asdict") else list(value)),
    (type, described),
)
_BY_LIBRARY: Final[dict[str, Converter]] = {"pandas": _from_frame, "numpy": _from_array, "decimal": str, "pathlib": str}
_converters: dict[type, Converter] = {}


def _walked(value: object) -> Json:
    try:
        return orjson.dumps(_Walk().plain(value, 0))
    except Exception as error:  # noqa: BLE001 - the last resort: out of stack or memory
        return orjson.dumps(f"<{type(value).__name__}: not serialized, {type(error).__name__}>")


class _Walk:
    """One slow conversion: remembers its path, for cycles, and counts what it has visited."""

    def __init__(self) -> None:
        self._path: set[int] = set()
        self._left = _MAX_NODES

    def plain(self, value: object, depth: int) -> object:
        """``value`` as what orjson takes without options."""
        self._left -= 1
        if value is None or value is True or value is False:
            return value
        if depth > _MAX_DEPTH or self._left < 0:
            return f"<{type(value).__name__}: cut, too {'deep' if depth > _MAX_DEPTH else 'large'}>"
        if id(value) in self._path:
            return f"<{type(value).__name__}: contains itself>"
        self._path.add(id(value))
        try:
            return self._inner(value, depth)
        except Exception as error:  # noqa: BLE001 - user objects raise anything
            return f"<{type(value).__name__}: {type(error).__name__}>"
        finally:
            self._path.discard(id(value))

    def _inner(self, value: object, depth: int) -> object:
        if isinstance(value, str):
            return _text(value)
        if isinstance(value, int | float):
            return _number(value)
        if isinstance(value, Mapping):
            return {_key(key): self.plain(item, depth + 1) for key, item in list(value.items())}
        if isinstance(value, list | tuple | set | frozenset):
            return self._items(list(value), depth)
        return self.plain(_native(value), depth + 1)

    def _items(self, items: Iterable[object], depth: int) -> list[object]:
        return [self.plain(item, depth + 1) for item in items if self._left >= 0]


def _native(value: object) -> object:
    """An object as orjson itself would write it (dates, UUIDs, enums, arrays), or as our hook converts it."""
    try:
        return orjson.loads(orjson.dumps(value, option=OPTIONS))
    except Exception:  # noqa: BLE001 - unknown to orjson: ours to convert
        return convert(value)


def _text(value: str) -> str:
    # UTF-8 has no lone surrogates: they are kept readable as \udXXX.
    return str(value).encode("utf-8", "backslashreplace").decode()


def _key(value: object) -> str:
    return _text(value) if isinstance(value, str) else _text(described(value))


def _number(value: float) -> object:
    try:
        orjson.dumps(value)
    except TypeError:
        return described(value)
    return value


def _cut(text: Json, limit: int) -> Json:
    data = orjson.loads(text)
    cap = limit // 2
    while cap >= _MIN_CLIP:
        shorter = orjson.dumps(_clip(data, cap))
        if len(shorter) <= limit:
            return shorter
        cap //= 4
    return orjson.dumps(_clip(text.decode(), limit // 8))


def _clip(data: object, cap: int) -> object:
    """``data`` with no string over ``cap`` characters and no container over ``cap // 8`` items."""
    if isinstance(data, str):
        return data if len(data) <= cap else f"{data[:cap]}… [cut, {len(data)} characters]"
    most = max(cap // 8, 1)
    if isinstance(data, list):
        kept = [_clip(item, cap) for item in data[:most]]
        return kept if len(data) <= most else [*kept, f"… [cut, {len(data)} items]"]
    if isinstance(data, dict):
        shown = {key[:cap]: _clip(item, cap) for key, item in list(data.items())[:most]}
        return shown if len(data) <= most else {**shown, "…": f"[cut, {len(data)} items]"}
    return data
