"""Any Python value as JSON. Total: no value loses a span.

Objects are replaced by plain values *before* orjson sees them (``settled``); then one ``orjson.dumps`` writes all. Its
``default`` hook would do both in one pass, but Python code that runs within orjson lets other threads run, and when
one of these changes a list or dict that orjson is in the midst of, the process dies of a segmentation fault. What
orjson refuses (cycles, lone surrogates, integers over 64 bits, a ``__repr__`` that raises) and what is over the limit
is written piece by piece (``_Writer``). All of it reads the value and changes nothing in it.
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
from gc import get_referents
from itertools import chain, compress, islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias
from uuid import UUID

import orjson
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.prompt_values import ChatPromptValue, StringPromptValue
from langchain_core.runnables import Runnable
from pydantic import BaseModel, SecretBytes, SecretStr

if TYPE_CHECKING:
    from langchain_autotrace.span import Json

Converter: TypeAlias = Callable[[Any], object]

OPTIONS: Final = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS
STOPPED: Final = (KeyboardInterrupt, SystemExit)
"""What passes: Ctrl-C, and the ``sys.exit()`` of a signal's handler. Swallowed, the program would not stop."""

_ATOMS: Final = frozenset({str, int, float, bool, type(None), UUID, orjson.Fragment})
_CONTAINERS: Final = frozenset({dict, list, tuple})
_PLAIN: Final = _ATOMS | _CONTAINERS
_WORD: Final = "".join(chr(code) for code in range(33, 127) if chr(code) not in "\"',;&<>()[]{}")
"""Characters of which secrets are made; the others end one."""
_MESSAGES: Final = frozenset({AIMessage, HumanMessage, SystemMessage})
_CUT: Final = '"…"'.encode()
_MAX_LEVELS: Final = 200
_MAX_DEPTH: Final = 100
_MAX_NODES: Final = 10_000_000
_MAX_CHARACTERS: Final = 256_000_000
_MAX_SETTLED: Final = 200_000
_MAX_STEPS: Final = 60_000
_MAX_TRY: Final = 2_000
_MAX_TRIES: Final = 20
_MAX_ITEMS: Final = 100_000
_MAX_KINDS: Final = 2_000
_MAX_REPR: Final = 10_000
_MAX_ROWS: Final = 1_000
_MAX_KEY: Final = 1_000
_MAX_SECRET: Final = 512
_MIN_ROOM: Final = 64
_FEW: Final = 24
_MANY: Final = 100
_VERY_MANY: Final = 50_000


class Encoded(NamedTuple):
    """One value as JSON."""

    json: Json
    cut_from: int | None
    """Bytes of JSON the whole value would have taken, when it was cut; ``None`` otherwise. It is an estimate when
    the value could not be written whole: it contains itself, refuses to be read, or is far too large."""


def encode(value: object, limit: int) -> Encoded:
    """``value`` as at most ``limit`` bytes of JSON; ``limit`` is 100 or more.

    Numbers that JSON does not know (NaN, infinities) become null, as in JavaScript and pydantic; bytes become
    text where they are UTF-8; an object of an unknown class becomes its ``repr``. Nothing is raised but ``STOPPED``.
    """
    try:
        text = _at_once(value)
    except STOPPED:
        raise
    except BaseException:  # noqa: BLE001 - user objects raise anything; what follows guards each step
        text = b""
    if text and len(text) <= limit:
        return Encoded(text, None)
    try:
        return _in_pieces(value, limit, len(text))
    except STOPPED:
        raise
    except BaseException:  # noqa: BLE001 - the program is at the end of its stack or memory
        return Encoded(_CUT, len(text))


def _at_once(value: object) -> Json:
    return orjson.dumps(plain(value), option=OPTIONS)


def plain(value: object) -> object:  # noqa: C901, PLR0911 - a hot call: the commonest kinds, one by one
    """``value`` as orjson can write it without calling back: itself, where it holds no objects.

    Raises:
        BaseException: whatever the objects raise; ``RecursionError`` when it is too much to be written whole, and
            ``TypeError`` when objects are left.
    """
    kind = type(value)
    # The commonest first: a dict of texts, a text, a message, a prompt's messages.
    if kind is dict:
        if _ATOMS.issuperset(map(type, value.values())):  # type: ignore[attr-defined]
            return value
    elif kind in _ATOMS:
        return value
    elif isinstance(value, str):  # a parser's text is of a class of LangChain's own
        return str.__str__(value)
    elif kind in _MESSAGES:
        value = message(value)  # type: ignore[arg-type]
        if _ATOMS.issuperset(map(type, value.values())):
            return value
    elif kind is ChatPromptValue:
        forms = [message(one) for one in value.messages]  # type: ignore[attr-defined]
        value = {"messages": forms}
        if _ATOMS.issuperset(map(type, chain.from_iterable(map(dict.values, forms)))):
            return value
    if _is_plain(value):
        return value
    made = settled(value)
    if not _is_plain(made):
        made = settled(value, deep=True)
        if not _is_plain(made):
            raise TypeError
    return made


def settled(value: object, *, deep: bool = False) -> object:
    """``value`` with each object in it replaced by what it holds, so that orjson need not call back.

    Args:
        value: any value; it is not changed.
        deep: whether to look for objects within messages and documents too. They hold plain values nearly always.

    Raises:
        BaseException: whatever the objects raise; ``RecursionError`` when they are nested too deep or too many.
    """
    return value if type(value) in _ATOMS else _Settling(deep=deep).settle(value, 0)


class _Settling:
    def __init__(self, *, deep: bool) -> None:
        self._flat: tuple[Converter, ...] = () if deep else (message, document)
        self._known: dict[int, tuple[object, object]] = {}
        """What was made of each container, by its id; with the container, whose id would be given away else."""

    def settle(self, value: Any, depth: int) -> object:  # noqa: ANN401 - any value
        kind = type(value)
        if kind not in _CONTAINERS:
            form = convert(value)
            if type(form) in _ATOMS or _converters[kind] in self._flat:
                return form
            return self.settle(form, depth + 1)
        known = self._known.get(id(value))
        if known is not None:
            return known[1]
        if depth > _MAX_DEPTH or len(self._known) > _MAX_SETTLED:
            raise RecursionError
        if kind is dict:
            made: dict[object, object] = {}
            self._known[id(value)] = value, made
            for key, item in value.copy().items():  # a copy: other threads may write to it
                name = key if type(key) is str else _key(key)
                made[name] = item if type(item) in _ATOMS else self.settle(item, depth + 1)
            return made
        if _ATOMS.issuperset(map(type, value)):
            return value
        items: list[object] = []
        self._known[id(value)] = value, items
        for item in value:
            items.append(item if type(item) in _ATOMS else self.settle(item, depth + 1))  # noqa: PERF401 - see _known
        return items


def _is_plain(value: Any) -> bool:  # noqa: ANN401 - any value
    """Whether a value is of orjson's own types throughout.

    Raises:
        RecursionError: it is too much to be written whole: too deep, in itself, or vast. Sharing makes it vast: 60
            levels of ``[below, below]`` are 60 lists in memory, and 2 to the power of 60 in JSON.
    """
    if type(value) not in _CONTAINERS:
        return type(value) in _ATOMS
    found = [value]
    for one in found:
        if len(found) > _FEW or len(one) > _MANY:
            return _is_plain_in_levels(value)
        for item in one.values() if type(one) is dict else one:
            kind = type(item)
            if kind not in _ATOMS:
                if kind not in _CONTAINERS:
                    return False
                found.append(item)
    return True


def _is_plain_in_levels(value: Any) -> bool:  # noqa: ANN401 - a dict, list or tuple
    """The same for a larger value, level by level in C."""
    level, nodes, characters = [value], 0, 0
    for _ in range(_MAX_LEVELS):
        nodes += sum(map(len, level))
        if nodes > _MAX_NODES or (len(level) > _VERY_MANY and len(set(map(id, level))) * 4 < len(level)):
            break
        found = get_referents(*level)
        kinds = set(map(type, found))
        if not kinds <= _PLAIN:
            return False
        if len(found) > _MANY:  # a sample: 1,000 times the same megabyte
            step = len(found) // _MANY
            characters += step * sum([len(one) for one in found[::step] if type(one) is str])
        level = [one for one in found if type(one) in _CONTAINERS] if kinds & _CONTAINERS else []
        if characters > _MAX_CHARACTERS:
            break
        if not level:
            return True
    raise RecursionError


def convert(value: object) -> object:
    """What an object holds: a text, a number, or a container of what may be objects again."""
    kind = type(value)
    converter = _converters.get(kind)
    if converter is None:
        if len(_converters) > _MAX_KINDS:  # programs make classes as they run: each MagicMock is of its own
            _converters.clear()
        converter = _converters[kind] = _find_converter(kind)
    return converter(value)


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
    if type(value) in _MESSAGES:
        form |= compress(fields.items(), fields.values())  # those that are not empty
        return form
    for name in _MESSAGE_FIELDS:
        field = fields.get(name)
        if field is not None and (name == "artifact" or field):  # an artifact may be neither true nor false
            form[name] = field
    return form


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
        text = str.__str__(repr(value))
    except STOPPED:
        raise
    except BaseException as error:  # noqa: BLE001 - a user's __repr__ raises anything
        return f"<{_class(value)}: repr raised {_class(error)}>"
    return text if len(text) <= _MAX_REPR else f"{beginning(text, _MAX_REPR)}… [cut, {len(text)} characters]"


def _class(value: object) -> str:
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
        _is_plain(field)  # raises for what is vast, which pydantic would write out
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
        return {name: f"<{_class(error)}>"}


def _from_dataclass(value: Any) -> object:  # noqa: ANN401 - any dataclass
    return {field.name: _attribute(value, field.name) for field in dataclasses.fields(value)}


def _attribute(value: object, name: str) -> object:
    try:
        return getattr(value, name)
    except STOPPED:
        raise
    except BaseException as error:  # noqa: BLE001 - a property of the user's, an empty slot
        return f"<{_class(error)}>"


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
    (Runnable, lambda value: f"<{_class(value)}>"),
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


def _in_pieces(value: object, limit: int, size: int) -> Encoded:
    """``value`` written piece by piece: whole if it fits, else each part cut to a fair share."""
    if not size:
        try:
            return Encoded(_Writer().write(value, limit, whole=True), None)
        except _TooLarge:
            pass
    writer = _Writer()
    text = writer.write(value, limit, whole=False)
    return Encoded(text if len(text) <= limit else _CUT, size or len(text) + writer.left_out)


class _TooLarge(Exception):  # noqa: N818 - never seen outside
    """The value does not fit whole."""


class _Writer:
    """Writes one value, guarding and counting each step.

    Every method writes in at most ``room`` bytes (or 5, where there are fewer); what is wanted ``whole`` and does not
    fit raises ``_TooLarge``.
    """

    def __init__(self) -> None:
        self.left_out = 0
        """Bytes that were not written, as far as is known."""
        self._path: set[int] = set()
        self._steps = _MAX_STEPS
        self._last_step = 0
        self._tries = _MAX_TRIES

    def write(self, value: Any, room: int, *, whole: bool, depth: int = 0) -> Json:  # noqa: ANN401 - any value
        """``value`` as JSON."""
        self._steps -= 1
        if self._steps < self._last_step:
            return self._nothing(0, whole=whole)
        try:
            return self._any(value, room, whole=whole, depth=depth)
        except (*STOPPED, _TooLarge):
            raise
        except BaseException as error:  # noqa: BLE001 - user objects raise anything
            return self._text(f"<{_class(value)}: {_class(error)}>", room, whole=whole)

    def _any(self, value: Any, room: int, *, whole: bool, depth: int) -> Json:  # noqa: ANN401 - any value
        kind = type(value)
        if kind is str:
            return self._text(value, room, whole=whole)
        if kind in _ATOMS:
            return self._atom(value, room, whole=whole)
        if depth > _MAX_DEPTH or id(value) in self._path:
            reason = "cut, too deep" if depth > _MAX_DEPTH else "contains itself"
            return self._text(f"<{_class(value)}: {reason}>", room, whole=whole)
        self._path.add(id(value))
        try:
            if kind not in _CONTAINERS:
                return self.write(convert(value), room, whole=whole, depth=depth + 1)
            tried = None if whole or self._tries == 0 or _guess(value) > room else self._try(value, room, depth)
            return tried or self._container(value, room, whole=whole, depth=depth)
        finally:
            self._path.discard(id(value))

    def _try(self, value: object, room: int, depth: int) -> Json | None:
        """``value`` whole, within a share of the steps."""
        last, self._last_step = self._last_step, max(self._steps - _MAX_TRY, self._last_step)
        try:
            return self._container(value, room, whole=True, depth=depth)
        except _TooLarge:
            self._tries -= 1
            return None
        finally:
            self._last_step = last

    def _container(self, value: Any, room: int, *, whole: bool, depth: int) -> Json:  # noqa: ANN401 - dict, list, tuple
        size = len(value)
        if room < _MIN_ROOM if not whole else size * 2 > room + 1:
            return self._nothing(_guess(value), whole=whole)
        if type(value) is dict:
            held = value.copy()  # other threads may write to it
            heads = [_quoted(_key(key)) + b":" for key in islice(held, room // 5 + 1)]
            items, least, frame, note = list(islice(held.values(), len(heads))), 24, b"{%b}", '"…":"[cut, %d items]"'
        else:
            items, least, frame, note = value[:room], 200, b"[%b]", '"… [cut, %d items]"'
            heads = [b""] * len(items)
        if whole:
            parts = self._all(heads, items, room - 2, depth)
        else:
            parts = self._shares(heads, items, room - _MIN_ROOM + 16, least, depth)
        if len(parts) < size:
            self.left_out += (size - len(parts)) * (sum(map(len, parts)) // max(len(parts), 1) + 1)
            parts.append((note % size).encode())
        return frame % b",".join(parts)

    def _all(self, heads: Sequence[Json], items: Sequence[object], room: int, depth: int) -> list[Json]:
        """The items behind their heads."""
        parts = []
        for head, item in zip(heads, items, strict=True):
            parts.append(head + self.write(item, room - len(head), whole=True, depth=depth + 1))
            room -= len(parts[-1]) + 1
            if room < -1:
                raise _TooLarge
        return parts

    def _shares(self, heads: Sequence[Json], items: Sequence[object], room: int, least: int, depth: int) -> list[Json]:
        """The first items behind their heads, each in its share; at ``least`` so many bytes, or there are fewer."""
        sizes: list[int] = []
        wanted = 0
        for head, item in zip(heads, items, strict=True):
            sizes.append(_guess(item))
            wanted += min(max(sizes[-1], len(_CUT)), max(room // 64, least)) + len(head) + 1
            if wanted > room and len(sizes) > 1:
                sizes.pop()
                break
        parts: dict[int, Json] = {}
        # The smaller ones first: what they leave of their share is for the larger ones.
        for rank, index in enumerate(sorted(range(len(sizes)), key=sizes.__getitem__)):
            share = room // (len(sizes) - rank) - len(heads[index]) - 1
            if share >= len(_CUT):
                parts[index] = heads[index] + self.write(items[index], share, whole=False, depth=depth + 1)
                room -= len(parts[index]) + 1
        return [parts[index] for index in sorted(parts)]

    def _text(self, text: str, room: int, *, whole: bool) -> Json:
        if len(text) <= room - 2:
            quoted = _quoted(text)
            if len(quoted) <= room:
                return quoted
        note = f"… [cut, {len(text)} characters]"
        space = 0 if whole else room - len(note) - 4
        while space > 0:
            kept = beginning(text, space)
            quoted = _quoted(kept + note)
            if len(quoted) <= room:
                self.left_out += len(text) - len(kept)
                return quoted
            space = min(space * room // len(quoted), space - 1)
        return self._nothing(len(text), whole=whole)

    def _atom(self, value: Any, room: int, *, whole: bool) -> Json:  # noqa: ANN401 - a number, None, a UUID
        try:
            text = orjson.dumps(value)
        except TypeError:  # an integer over 64 bits
            return self._text(_digits(value), room, whole=whole)
        return text if len(text) <= room else self._nothing(len(text), whole=whole)

    def _nothing(self, size: int, *, whole: bool) -> Json:
        if whole:
            raise _TooLarge
        self.left_out += size
        return _CUT


def _guess(value: Any) -> int:  # noqa: ANN401 - any value
    """About how many bytes of JSON a value takes, from a look at its first items."""
    kind = type(value)
    if kind is str:
        return len(value) + 2
    if kind is not dict and kind is not list and kind is not tuple:  # no look-up: a metaclass's __hash__ may raise
        return 8 if isinstance(value, int | float | None) else 1_000
    first = [len(one) if type(one) is str else 30 for one in islice(value.values() if kind is dict else value, 8)]
    return 2 + len(value) * (sum(first) // max(len(first), 1) + 1)


def _digits(value: int) -> str:
    """An integer of any size; Python refuses to print the longest in decimal."""
    return str(value) if value.bit_length() < 10_000 else f"{value:#x}"  # noqa: PLR2004


def _quoted(text: str) -> Json:
    try:
        return orjson.dumps(text)
    except TypeError:  # UTF-8 has no lone surrogates: they are kept readable as \udXXX
        return orjson.dumps(text.encode("utf-8", "backslashreplace").decode())


def _key(key: object) -> str:
    """A key as text: as orjson would write it, else as its ``repr``."""
    try:
        plain = key if type(key) in _ATOMS else convert(key)
        if type(plain) not in _ATOMS:
            text = described(key)
        elif type(plain) is str:
            text = plain
        else:
            text = _digits(plain) if type(plain) is int else orjson.dumps(plain).decode().strip('"')
    except STOPPED:
        raise
    except BaseException as error:  # noqa: BLE001 - a key of the user's
        text = f"<{_class(key)}: {_class(error)}>"
    return text if len(text) <= _MAX_KEY else f"{beginning(text, _MAX_KEY)}…"


def beginning(text: str, most: int) -> str:
    """At most ``most`` first characters of a longer text, without a last word that may be half of a secret.

    Redaction comes after the cut, and would not know the half of a key by its shape. A run of over 512 characters is
    no key (an image in Base64) and is cut where it is.
    """
    tail = text[max(most - _MAX_SECRET - 1, 0) : most]
    half = len(tail) - len(tail.rstrip(_WORD))
    return text[:most] if half > _MAX_SECRET else text[: most - half]
