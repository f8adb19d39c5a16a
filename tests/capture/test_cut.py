"""Any value becomes plain values within the limit, whole or cut, and stays as it was."""

from __future__ import annotations

import asyncio
import base64
import collections
import copy
import dataclasses
import datetime as dt
import decimal
import enum
import gc
import inspect
import io
import os
import pathlib
import sys
import threading
import time
import tracemalloc
import types
import uuid
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn
from unittest.mock import MagicMock, Mock

import numpy as np
import orjson
import pandas as pd
import pydantic
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage, ToolMessage
from langchain_core.outputs import LLMResult
from langchain_core.prompt_values import ChatPromptValue, ImagePromptValue, StringPromptValue
from langchain_core.runnables import RunnableLambda
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretBytes,
    SecretStr,
    SerializerFunctionWrapHandler,
    computed_field,
    field_serializer,
    model_serializer,
)

from langchain_autotrace.capture import convert
from langchain_autotrace.capture.cut import fit
from langchain_autotrace.redaction import scrub

LIMIT = 200_000
PLAIN_TYPES = frozenset({str, int, float, bool, type(None), list, dict})


def whole(value: object, limit: int = LIMIT) -> Any:
    """Return the plain form of a value that fits."""
    found = fit(value, limit)
    assert found.cut_from is None
    return found.value


def size_of(plain: object) -> int:
    """Return the bytes of JSON that a plain value takes; raise where it has none."""
    return len(orjson.dumps(plain))


def types_in(plain: object) -> set[type]:
    """Return the types of a plain value and of all that is in it, names of keys included."""
    inner = [*plain, *plain.values()] if type(plain) is dict else plain if type(plain) is list else []
    return {type(plain)}.union(*map(types_in, inner))


class Rude:
    """Raises at every touch, also exceptions that ``except Exception`` does not catch."""

    def __repr__(self) -> str:
        raise GeneratorExit

    def __getattr__(self, name: str) -> NoReturn:
        raise RuntimeError(name)

    def __iter__(self) -> NoReturn:
        raise RuntimeError

    __str__ = __repr__
    __len__ = __bool__ = keys = items = __getitem__ = __iter__


class RudeClass(type):
    """A metaclass that raises for every question about its classes."""

    __name__ = __module__ = property(Rude.__iter__)

    def __repr__(cls) -> str:
        raise ValueError

    def __hash__(cls) -> int:
        raise ValueError


class OfRudeClass(metaclass=RudeClass):
    """An object whose class cannot be named."""


class EndlessList(list[object]):
    """A list whose own methods never end."""

    def __iter__(self) -> Iterator[object]:
        while True:
            yield 1

    def __len__(self) -> int:
        return 10**12

    __reversed__ = __iter__


class EndlessDict(dict[str, object]):
    """A dict whose own methods raise."""

    def items(self) -> Any:
        raise RuntimeError

    __iter__ = keys = values = items


class EndlessSequence(Sequence[int]):
    """A sequence of the greatest length that Python knows."""

    def __len__(self) -> int:
        return sys.maxsize

    def __getitem__(self, index: Any) -> Any:
        return index


class EndlessMapping(Mapping[int, int]):
    """A mapping whose keys never end."""

    def __len__(self) -> int:
        return 3

    def __iter__(self) -> Iterator[int]:
        while True:
            yield time.perf_counter_ns()

    def __getitem__(self, key: int) -> int:
        return key


class LoudText(str):
    """A text that cannot be printed."""

    __slots__ = ()

    def __str__(self) -> str:
        raise ValueError

    __repr__ = __len__ = encode = __str__  # type: ignore[assignment]


class LoudNumber(int):
    """A number that cannot be printed."""

    def __repr__(self) -> str:
        raise ValueError

    __str__ = __int__ = __index__ = __repr__  # type: ignore[assignment]


class Colour(enum.Enum):
    """Values that are no texts."""

    RED = (1, 2)
    ODD = object()


class Flags(enum.IntFlag):
    """Numbers."""

    A = 1
    B = 2


class Level(enum.StrEnum):
    """Texts."""

    LOW = "low"


class Model(BaseModel):
    """A model with secrets of each kind."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    name: str = "n"
    secret: SecretStr = SecretStr("hush")
    raw: SecretBytes = SecretBytes(b"hush")
    hidden: str = Field(default="hidden", exclude=True)
    masked: str = "hush"
    other: object = None
    _private: int = PrivateAttr(1)

    @field_serializer("masked")
    def mask(self, value: str) -> str:
        return "*" * len(value)


class BrokenModel(Model):
    """A model with a property that raises."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def computed(self) -> int:
        raise GeneratorExit


class SilentModel(Model):
    """A model that does not want to be dumped."""

    def model_dump(self, **_: Any) -> NoReturn:
        raise ValueError


@dataclasses.dataclass(slots=True)
class Slotted:
    """A dataclass whose fields may be empty."""

    a: object
    b: object = None


@dataclasses.dataclass
class Raising:
    """A dataclass whose field raises."""

    a: int

    @property
    def b(self) -> int:
        raise ValueError

    def __getattribute__(self, name: str) -> Any:
        if name == "a":
            raise GeneratorExit
        return super().__getattribute__(name)


class Pair(NamedTuple):
    """A named tuple."""

    left: object
    right: object


UntypedPair = collections.namedtuple("UntypedPair", "left right")  # noqa: PYI024 - programs have the untyped kind too


class Attrs:
    """Looks like a class of attrs."""

    __attrs_attrs__ = ()

    def __init__(self) -> None:
        self.x = 1

    def __repr__(self) -> str:
        return f"Attrs(x={self.x})"


class Quoting:
    """An object with a long ``repr``."""

    def __init__(self, text: str) -> None:
        self.text = text * 20

    def __repr__(self) -> str:
        return self.text


def nested(levels: int, kind: Callable[[list[object]], object]) -> object:
    """Return levels of containers, each of which holds the one below."""
    value: object = 1
    for _ in range(levels):
        value = kind([value])
    return value


def tower(levels: int, kind: Callable[[list[object]], object], width: int = 2) -> object:
    """Return levels of containers, each of which holds the one below twice: 2**levels items in JSON."""
    value: object = 1
    for _ in range(levels):
        value = kind([value] * width)
    return value


def array_of(item: object) -> Any:
    """Return a numpy array without dimensions that holds an object."""
    array = np.empty((), dtype=object)
    array[()] = item
    return array


def cycles() -> list[object]:
    """Return values that contain themselves."""
    in_list: list[object] = [1]
    in_list.append(in_list)
    in_dict: dict[str, object] = {}
    in_dict["me"] = [in_dict]
    in_document = Document("x", metadata={})
    in_document.metadata["me"] = in_document
    in_message = HumanMessage("x")
    in_message.additional_kwargs["me"] = [in_message]
    in_dataclass = Slotted(1)
    in_dataclass.b = {"me": in_dataclass}
    in_model = Model()
    in_model.other = in_model
    in_pair = Pair([], 1)
    in_pair.left.append(in_pair)  # type: ignore[attr-defined]
    in_array = np.array([None, 1], dtype=object)
    in_array[0] = in_array
    return [in_list, in_dict, in_document, in_message, in_dataclass, in_model, in_pair, in_array]


def odd_values() -> list[object]:
    """Return values of kinds that programs trace, and of kinds that nobody expects."""
    ok = RunnableLambda(lambda x: x)
    return [
        *(float("nan"), float("inf"), 2**64, -(10**5000), "\ud800 lone", "\x00\x7f", LoudText("t"), LoudNumber(3)),
        *(b"text", b"\xff" * 300, bytearray(b"\xfe"), memoryview(b"abcd")[::2], {1, 2}, frozenset("a"), 1j, ...),
        *({(1, 2): 3, None: 4, b"k": 1, 1.5: 2, Colour.RED: 3, 2**70: 5, "\ud800": 6}, {Colour.ODD: 1}, {len: 1}),
        *(Colour.RED, Colour.ODD, Flags.A | Flags.B, Level.LOW, Colour, EndlessList([1, 2]), EndlessDict(a=1)),
        *(EndlessSequence(), range(10**12), collections.deque([1]), collections.ChainMap({"a": 1})),
        *(collections.OrderedDict(a=1).keys(), {"a": 1}.values(), types.MappingProxyType({"a": 1}), os.environ.keys()),
        *(dt.datetime(2026, 1, 2, tzinfo=dt.UTC), dt.date(2026, 1, 2), dt.time(1, tzinfo=dt.UTC), dt.timedelta(1)),
        *(decimal.Decimal("1.50"), pathlib.Path("/a"), uuid.UUID(int=1), ok, FakeListChatModel(responses=["a"])),
        *(Rude(), Rude, OfRudeClass(), OfRudeClass, object(), len, lambda: 0, (i for i in "a"), threading.Lock(), sys),
        *(asyncio.sleep, io.StringIO("text"), ValueError("x"), ExceptionGroup("g", [ValueError(1)])),
        *(MagicMock(), Mock(spec=AIMessage), MagicMock(spec=dict)),
        *(Model(), BrokenModel(), SilentModel(), Model, Slotted(1), Slotted.__new__(Slotted), Raising(1), Slotted),
        *(Pair(1, "x"), UntypedPair(1, 2), Attrs(), weakref.ref(Attrs), weakref.proxy(Attrs), sys.stderr),
        *(np.arange(6).reshape(2, 3), np.array(3.0), np.zeros((2, 2))[:, 1], np.array([object()]), np.bool_(1)),
        *(array_of([1]), array_of(Rude()), np.zeros(2, dtype=[("a", "i4")]), np.array(["a", "\ud800"])),
        *(np.float32(1.5), np.datetime64("2026-01-01"), np.broadcast_to(0, (10**6, 10**6))),
        *(pd.DataFrame({"a": [1, None], 2: ["x", pd.NaT]}), pd.Series([1, 2]), pd.NaT, pd.NA, pd.Index([1]), ok.batch),
        *(pd.Timestamp(0), pd.Timedelta(1), pd.MultiIndex.from_tuples([(1, 2)])),
        *(pd.Categorical(["a"]), pd.Period("2026")),
        *(HumanMessage("hi"), ToolMessage("t", tool_call_id="1", artifact=Rude()), RemoveMessage("1")),
        *(ChatPromptValue(messages=[AIMessage("a")]), StringPromptValue(text="t"), HumanMessage.model_construct()),
        *(ImagePromptValue(image_url={"url": "u"}), Document.model_construct(), Document("d", metadata={"a": Rude()})),
        *(nested(10_000, list), nested(10_000, tuple), nested(10_000, lambda item: {"a": item[0]})),
        *(nested(300, lambda item: Document("x", metadata={"a": item})), tower(3, list, 1000), EndlessMapping()),
        *(["x" * 1_000_000] * 1000, tower(60, lambda x: {"a": x[0], "b": x[0]}), tower(60, EndlessList)),
        *cycles(),
    ]


ODD = odd_values()


def containers(children: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    """Return a strategy for values that hold others."""
    keys = st.one_of(st.text(max_size=5), st.integers(), st.none(), st.tuples(st.integers()), st.booleans())
    return st.one_of(
        st.lists(children, max_size=5),
        st.dictionaries(keys, children, max_size=5),
        st.tuples(children, children),
        st.builds(Pair, children, children),
        st.builds(Slotted, children, children),
        st.builds(lambda other: Model(other=other), children),
        st.builds(lambda x: AIMessage("a", additional_kwargs={"x": x}, response_metadata={"y": [x]}), children),
        st.builds(lambda x: Document("d", metadata={"x": x}), children),
        st.builds(lambda x: collections.deque([x, x]), children),
        st.builds(lambda x: types.MappingProxyType({"x": x}), children),
    )


scalars = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), st.binary(), st.datetimes(), st.dates(), st.decimals()),
    *(
        st.uuids(),
        st.text(st.characters(), max_size=200),
        st.text('\ud800\x00"\\é€😀', max_size=50),
        st.integers(0, len(ODD) - 1).map(lambda i: ODD[i]),
    ),
)


class Held:
    """A value that pytest and hypothesis do not look into when they report."""

    def __init__(self, value: object) -> None:
        self.value = value


anything = st.recursive(scalars, containers, max_leaves=12).map(Held)
ordinary = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=9), inner, max_size=6),
    max_leaves=40,
)
steady = settings(max_examples=150, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))


@steady
@given(anything, st.sampled_from([100, 300, 2_000, 20_000, LIMIT]))
def test_any_value(held: Held, limit: int) -> None:
    """The plain form of any value has only JSON's types and takes no more bytes than the limit."""
    plain, cut_from = fit(held.value, limit)
    assert types_in(plain) <= PLAIN_TYPES
    assert size_of(plain) <= limit
    assert cut_from is None or cut_from > 0


def test_odd_values() -> None:
    """Each odd value is kept within the limit and in a bounded time, and so is a value beside it."""
    for value in ODD:
        started = time.process_time()
        for limit in (100, LIMIT):
            alone = fit(value, limit).value
            beside = fit({"odd": value, "even": "kept"}, limit).value
            assert max(size_of(alone), size_of(beside)) <= limit
            assert beside["even"] == "kept"
        assert time.process_time() - started < 10


@steady
@given(ordinary)
def test_value_of_json_types(value: Any) -> None:
    """A value of JSON's own types comes back as it was, and is not changed."""
    before = copy.deepcopy(value)
    assert whole(value) == value == before


FORMS: list[tuple[object, object]] = [
    ([float("nan"), float("inf"), -float("inf"), -0.0], ["NaN", "Infinity", "-Infinity", 0]),
    ([2**63, 2**64, 16**12_000], [2**63, str(2**64), "0x1" + "0" * 12_000]),
    ({float("nan"): np.float32("inf"), "d": decimal.Decimal("-inf")}, {"NaN": "Infinity", "d": "-Infinity"}),
    (np.array([np.nan, 1.5]), ["NaN", 1.5]),
    ("a\ud800b", "a\\ud800b"),
    ({"\udfff": "\ud800", "b": 1}, {"\\udfff": "\\ud800", "b": 1}),
    ([b"text", bytearray("é", "utf-8"), memoryview(b"ab")[::-1]], ["text", "é", "ba"]),
    (
        [b"\xff", b"\xff" * 300],
        ["data:application/octet-stream;base64,/w==", "data:application/octet-stream;base64," + "/" * 400],
    ),
    (
        {(1, 2): 1, None: 2, 1.5: 3, True: 4, Flags.B: 5, 2**70: 6, uuid.UUID(int=1): 7, dt.date(2026, 1, 2): 8},
        {"(1, 2)": 1, "null": 2, "1.5": 3, "true": 4, "2": 5, str(2**70): 6, str(uuid.UUID(int=1)): 7, "2026-01-02": 8},
    ),
    ([Colour.RED, Flags.A | Flags.B, Level.LOW, Colour], [[1, 2], 3, "low", "tests.capture.test_cut.Colour"]),
    ([LoudText("loud"), LoudNumber(3), EndlessList([1, 2]), EndlessDict(a=1)], ["loud", 3, [1, 2], {"a": 1}]),
    ([{1}, frozenset("a"), collections.deque([1]), {"a": 1}.values(), range(3)], [[1], ["a"], [1], [1], [0, 1, 2]]),
    (collections.ChainMap({"a": 1}, {"b": 2}), {"b": 2, "a": 1}),
    (dt.datetime(2026, 1, 2, 3, tzinfo=dt.timezone(dt.timedelta(hours=2))), "2026-01-02T03:00:00+02:00"),
    ([dt.time(1, tzinfo=dt.UTC), dt.timedelta(1)], ["01:00:00+00:00", "1 day, 0:00:00"]),
    ([decimal.Decimal("1.50"), uuid.UUID(int=7)], ["1.50", "00000000-0000-0000-0000-000000000007"]),
    (
        [pathlib.PurePosixPath("/a"), 1j, ValueError("x"), len],
        ["/a", "1j", "ValueError('x')", "<built-in function len>"],
    ),
    (
        [Pair(1, "x"), UntypedPair(1, [2]), Slotted(1, {2})],
        [{"left": 1, "right": "x"}, {"left": 1, "right": [2]}, {"a": 1, "b": [2]}],
    ),
    (Slotted.__new__(Slotted), {"a": "<AttributeError>", "b": "<AttributeError>"}),
    (Raising(1), {"a": "<GeneratorExit>"}),
    (Attrs(), "Attrs(x=1)"),
    (
        {"a": 1, "b": Rude(), "c": {"d": "\ud800"}, "e": 10**40},
        {"a": 1, "b": f"<{__name__}.Rude: repr raised GeneratorExit>", "c": {"d": "\\ud800"}, "e": str(10**40)},
    ),
    (OfRudeClass(), f"<{__name__}.OfRudeClass: ValueError>"),
    (RunnableLambda(lambda x: x), "<langchain_core.runnables.base.RunnableLambda>"),
    (np.arange(4).reshape(2, 2)[:, 1], [1, 3]),
    ([np.float32(1.5), np.array(2), np.datetime64("2026-01-01"), np.bool_(1)], [1.5, 2, "2026-01-01", True]),
    ([np.zeros(1, dtype=[("a", "i4")]), array_of([{1}])], [[[0]], [[1]]]),
    (np.broadcast_to(1, (400, 300)), {"shape": [400, 300], "dtype": "int64", "beginning": [1] * 1000}),
    (pd.DataFrame({"a": [1, 2]}), {"shape": [2, 1], "index": [0, 1], "columns": ["a"], "data": [[1], [2]]}),
    ([pd.Series([1, 2], [0.5, 1.5]), pd.Index(["a"])], [[1, 2], ["a"]]),
    ([pd.NaT, pd.Timestamp(0)], ["NaT", "1970-01-01T00:00:00"]),
    (
        [HumanMessage("hi", id="1"), RemoveMessage("2")],
        [
            {"type": "human", "content": "hi", "id": "1"},
            {"type": "remove", "content": "", "id": "2"},
        ],
    ),
    (
        ToolMessage("t", tool_call_id="1", artifact={2}),
        {"type": "tool", "content": "t", "tool_call_id": "1", "status": "success", "artifact": [2]},
    ),
    (
        Document("d", metadata={"at": dt.date(2026, 1, 2)}),
        {"page_content": "d", "metadata": {"at": "2026-01-02"}, "id": None},
    ),
    (
        [ChatPromptValue(messages=[HumanMessage("a")]), StringPromptValue(text="t")],
        [{"messages": [{"type": "human", "content": "a"}]}, {"text": "t"}],
    ),
]


@pytest.mark.parametrize(("value", "form"), FORMS, ids=range(len(FORMS)))
def test_value_of_a_known_type(value: object, form: object) -> None:
    """Each kind of value has the form that a reader expects of it."""
    assert whole(value) == form


def test_model_with_a_property_that_raises() -> None:
    """A pydantic model keeps its secrets, and a property that raises does not cost the other fields."""
    kept = {"name": "n", "secret": "**********", "raw": "b'**********'", "masked": "****", "other": None}
    assert whole(Model()) == kept
    assert whole(SilentModel()) == kept
    assert whole(BrokenModel()) == {**kept, "computed": "<GeneratorExit>"}
    assert whole([Model(other=HumanMessage("hi"))]) == [{**kept, "other": {"type": "human", "content": "hi"}}]


class HidingModel(BaseModel):
    """A model that hides fields in each way that pydantic has."""

    shown: int = 1
    excluded: str = Field(default="hush", exclude=True)
    unprinted: str = Field(default="hush", repr=False)
    keys: list[dict[str, SecretStr]] = Field(default=[{"key": SecretStr("hush")}])

    @computed_field  # type: ignore[prop-decorator]
    @property
    def length(self) -> int:
        return 4

    @computed_field(repr=False)  # type: ignore[prop-decorator]
    @property
    def copied(self) -> str:
        return self.unprinted


@dataclasses.dataclass
class HidingDataclass:
    """A dataclass that hides a field."""

    shown: int = 1
    unprinted: str = dataclasses.field(default="hush", repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class HidingSlots:
    """A dataclass without a ``__dict__`` that hides a field."""

    shown: int = 1
    unprinted: str = dataclasses.field(default="hush", repr=False)


@pydantic.dataclasses.dataclass
class UnprintingPydanticDataclass:
    """A dataclass of pydantic's with a field that is not printed."""

    shown: int = 1
    unprinted: str = Field(default="hush", repr=False)


@pydantic.dataclasses.dataclass
class ExcludingPydanticDataclass:
    """A dataclass of pydantic's with a field that is not dumped."""

    shown: int = 1
    excluded: str = Field(default="hush", exclude=True)


class HidingMessage(HumanMessage):
    """A message of the user's, with hidden fields of its own."""

    excluded: str = Field(default="hush", exclude=True)
    unprinted: str = Field(default="hush", repr=False)


class HidingKwargsMessage(HumanMessage):
    """A message of the user's that hides a field of LangChain's."""

    additional_kwargs: dict[str, Any] = Field(default={"key": "hush"}, exclude=True)


class HidingDocument(Document):
    """A document of the user's, with hidden fields of its own."""

    excluded: str = Field(default="hush", exclude=True)
    unprinted: str = Field(default="hush", repr=False)


class HidingMetadataDocument(Document):
    """A document of the user's that hides a field of LangChain's."""

    metadata: dict[str, Any] = Field(default={"key": "hush"}, repr=False)


class Serialized(BaseModel):
    """A model with a serializer for all fields, that holds one with hidden fields."""

    inner: HidingModel = HidingModel()

    @field_serializer("*", mode="wrap")
    def serialize_field(self, value: object, handler: SerializerFunctionWrapHandler) -> object:
        return handler(value)


class SerializedWhole(BaseModel):
    """A model with a serializer for the whole of it, that holds one with hidden fields."""

    inner: HidingModel = HidingModel()
    data: HidingDataclass = HidingDataclass()

    @model_serializer(mode="wrap")
    def serialize_model(self, handler: SerializerFunctionWrapHandler) -> Any:
        return handler(self)


SHOWN_MODEL = {"shown": 1, "keys": [{"key": "**********"}], "length": 4}
HIDING: list[tuple[object, object]] = [
    (HidingModel(), SHOWN_MODEL),
    (HidingDataclass(), {"shown": 1}),
    (HidingSlots(), {"shown": 1}),
    (UnprintingPydanticDataclass(), {"shown": 1}),
    (ExcludingPydanticDataclass(), {"shown": 1}),
    (HidingMessage(content="hi"), {"type": "human", "content": "hi"}),
    (HidingKwargsMessage(content="hi"), {"type": "human", "content": "hi"}),
    (HidingDocument(page_content="d"), {"page_content": "d", "metadata": {}, "id": None}),
    (HidingMetadataDocument(page_content="d"), {"page_content": "d", "id": None}),
    (Serialized(), {"inner": SHOWN_MODEL}),
    (SerializedWhole(), {"inner": SHOWN_MODEL, "data": {"shown": 1}}),
]
PLACES: dict[str, tuple[Callable[[object], object], Callable[[Any], object]]] = {
    "itself": (lambda value: value, lambda form: form),
    "dict": (lambda value: {"a": {"b": value}}, lambda form: form["a"]["b"]),
    "list": (lambda value: [0, (value,)], lambda form: form[1][0]),
    "dataclass": (Slotted, lambda form: form["a"]),
    "model": (lambda value: Model(other=[value]), lambda form: form["other"][0]),
    "artifact": (lambda value: ToolMessage("t", tool_call_id="1", artifact=value), lambda form: form["artifact"]),
    "kwargs": (
        lambda value: AIMessage("a", additional_kwargs={"x": value}),
        lambda form: form["additional_kwargs"]["x"],
    ),
    "metadata": (lambda value: Document("d", metadata={"x": value}), lambda form: form["metadata"]["x"]),
    "llm_output": (
        lambda value: LLMResult(generations=[], llm_output={"x": value}),
        lambda form: form["llm_output"]["x"],
    ),
}
"""Where a value is: what puts it there, and what finds it in the plain form."""


@pytest.mark.parametrize(("value", "form"), HIDING, ids=[type(value).__name__ for value, _ in HIDING])
def test_hidden_fields(value: object, form: object) -> None:
    """Fields hidden by ``exclude=True`` or ``repr=False``, and secrets, are left out wherever the value is."""
    found = {place: find(whole(put(value))) for place, (put, find) in PLACES.items()}
    assert found == dict.fromkeys(PLACES, form)


def test_value_that_contains_itself() -> None:
    """A value that contains itself is kept up to where it does."""
    assert [str(whole(value)).count("contains itself") for value in cycles()] == [1] * 8
    assert whole(cycles()[0]) == [1, "<list: contains itself>"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("broken", ["", "\ud800"])
def test_ctrl_c(stop: type[BaseException], broken: str) -> None:
    """Ctrl-C, and the exit that a signal's handler asks for, are not swallowed."""

    class Stopping:
        def __repr__(self) -> str:
            raise stop

    with pytest.raises(stop):
        fit([broken, {"a": Stopping()}], LIMIT)


@pytest.mark.parametrize("kind", [list, dict])
def test_container_that_changes_while_it_is_read(kind: type) -> None:
    """A container that changes while it is read, as other threads may change it, does no harm."""

    class Changing:
        def __repr__(self) -> str:
            value.clear()
            gc.collect()
            return "changed"

    value: Any = [Changing(), *map(str, range(999))]
    value = value if kind is list else dict(enumerate(value))
    before = ["changed", *map(str, range(999))]
    kept = whole([value])[0]
    assert kept in (["changed"], before) if kind is list else kept == {str(i): one for i, one in enumerate(before)}


def test_value_that_another_thread_changes() -> None:
    """A value that another thread changes all the time is always kept."""
    shared: dict[str, Any] = {"messages": [HumanMessage("hi")] * 50, "more": {}}
    done = threading.Event()

    def change() -> None:
        while not done.is_set():
            shared["messages"][:] = [AIMessage("x" * 100)] * (len(shared["messages"]) % 60)
            shared["more"] = {str(i): [i] for i in range(30)}
            shared[str(time.perf_counter_ns() % 50)] = object()

    thread = threading.Thread(target=change)
    thread.start()
    until = time.monotonic() + 0.5
    try:
        while time.monotonic() < until:
            assert whole(shared).keys() >= {"messages", "more"}
    finally:
        done.set()
        thread.join()


CUTS: list[tuple[object, int, object]] = [
    ("word " * 100, 100, "word " * 14 + "… [cut, 500 characters]"),
    ("\n" * 200, 100, "\n" * 36 + "… [cut, 200 characters]"),
    (
        {"question": "why?", "documents": ["a b " * 200] * 2, "k": 3},
        300,
        {"question": "why?", "documents": ["a b " * 34 + "a … [cut, 800 characters]", "… [cut, 2 items]"], "k": 3},
    ),
    (list(range(1_000)), 100, [0, 1, 2, 3, 4, "… [cut, 1000 items]"]),
    ({f"k{i}": "é" for i in range(99)}, 100, {**{f"k{i}": "é" for i in range(4)}, "…": "[cut, 99 items]"}),
]


def test_one_item_that_does_not_fit() -> None:
    """The note of a cut container has the singular for one item."""
    assert fit({"k" * 500: "v" * 500}, 100).value == {"…": "[cut, 1 item]"}


@pytest.mark.parametrize(("value", "limit", "kept"), CUTS, ids=range(len(CUTS)))
def test_value_over_the_limit(value: object, limit: int, kept: object) -> None:
    """A value that is cut keeps its small parts whole, shortens the large ones, and says how much there was."""
    plain, cut_from = fit(value, limit)
    assert plain == kept
    assert size_of(plain) <= limit
    assert is_about(cut_from, size_of(value))


def is_about(estimate: int | None, size: int) -> bool:
    """Return whether an estimate is good enough."""
    return estimate is not None and 0.6 * size < estimate < 1.6 * size


@steady
@given(st.sampled_from(["a ", " ", "é", "\n", "€", "\x00", '"', "word "]), st.integers(1, 3_000), st.integers(100, 900))
def test_size_of_a_uniform_text(piece: str, times: int, limit: int) -> None:
    """The size noted of a uniform text that is cut is exact."""
    text = piece * times
    cut_from = fit(text, limit).cut_from
    assert cut_from == (size_of(text) if size_of(text) > limit else None)


@pytest.mark.parametrize("limit", [100, 300, 450])
def test_size_of_a_word_that_is_left_out(limit: int) -> None:
    """The size noted of a single word of which no beginning is kept, for it may be a secret, is its own."""
    assert fit("x" * 500, limit) == ("… [cut, 500 characters]", 502)


@pytest.mark.parametrize(
    "value",
    [
        "x" * 30_000,
        {"image": base64.b64encode(bytes(20_000)).decode(), "text": "what is this?"},
        ["ab1" * 150] * 100,
        [{"id": i, "name": "somebody", "ok": True} for i in range(1_000)],
        [["word"] * 1_000] * 200,
        [HumanMessage("hi")] * 1_000,
        {"messages": [HumanMessage("a b " * 100)] * 100},
        [Document("a b c " * 2_000, metadata={"source": "file"})] * 50,
    ],
    ids=["word", "image", "words", "rows", "lists", "short messages", "messages", "documents"],
)
@pytest.mark.parametrize("limit", [1_000, 5_000, 20_000])
def test_size_of_a_value_that_is_cut(value: object, limit: int) -> None:
    """The size noted of a value of similar parts that is cut is about right."""
    plain, cut_from = fit(value, limit)
    assert size_of(plain) <= limit
    assert is_about(cut_from, size_of(whole(value, 10_000_000)))


FIFTY_MEGABYTES: dict[str, Callable[[], Any]] = {
    "text": lambda: "word " * 10_000_000,
    "accents": lambda: "é" * 25_000_000,
    "numbers": lambda: list(range(6_000_000)),
    "lists": lambda: {"rows": [["word"] * 1_000] * 7_000},
    "keys": lambda: {f"key {i}": "text " * 10 for i in range(800_000)},
    "documents": lambda: {"docs": [Document("lorem " * 170) for _ in range(50_000)], "question": "why?"},
    "bytes": lambda: {"bytes": b"text " * 10_000_000},
    "field": lambda: {"question": "short", "text": "x" * 50_000_000},
}


@pytest.mark.parametrize("odd", ["", "\ud800"])
@pytest.mark.parametrize("name", FIFTY_MEGABYTES)
def test_fifty_megabytes(name: str, odd: str) -> None:
    """Fifty megabytes are cut to the limit in a bounded time, keep their beginning, and their size is noted."""
    value = FIFTY_MEGABYTES[name]()
    started = time.process_time()
    plain, cut_from = fit([odd, value], LIMIT)
    assert time.process_time() - started < 4
    kept = plain[1]
    assert LIMIT / 5 < size_of(plain) <= LIMIT
    assert is_about(cut_from, 50_000_000)
    assert type(kept) is type(value)
    assert kept[:9] == value[:9] if isinstance(value, str | list) else kept.keys() >= set(list(value)[:2])


@pytest.mark.parametrize("limit", [100, 10_000, LIMIT])
@pytest.mark.parametrize(
    ("make", "size"),
    [
        (lambda: "word " * 20_000_000, 100_000_000),
        (lambda: list(range(1_000_000, 6_000_000)), 40_000_001),
        (lambda: tuple(range(1_000_000, 6_000_000)), 40_000_001),
    ],
    ids=["text", "list", "tuple"],
)
def test_value_far_over_the_limit(make: Callable[[], Any], size: int, limit: int) -> None:
    """A value that is far too large is cut in a bounded time and without a copy of it."""
    value = make()
    tracemalloc.start()
    started = time.process_time()
    plain, cut_from = fit(value, limit)
    spent, (_, peak) = time.process_time() - started, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size_of(plain) <= limit
    assert is_about(cut_from, size)
    assert (spent < 4, peak < 20_000_000) == (True, True)


def test_bytes_far_over_the_limit() -> None:
    """Many megabytes of bytes that are no text are replaced by their number."""
    assert whole([b"\xff" * 100_000_000]) == ["<bytes: 100000000>"]


def test_part_that_is_shared() -> None:
    """Sixty levels that hold the level below twice take neither long nor much memory."""
    for value in (tower(60, list), tower(60, tuple), [tower(60, lambda below: Document("d", metadata={"b": below}))]):
        tracemalloc.start()
        started = time.process_time()
        plain, cut_from = fit(value, 10_000)
        spent, (_, peak) = time.process_time() - started, tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert cut_from is not None
        assert (size_of(plain) <= 10_000, spent < 10, peak < 100_000_000) == (True, True, True)
    shared = ["same"]
    assert whole([shared, {"a": shared}, shared]) == [["same"], {"a": ["same"]}, ["same"]]


def test_end_of_the_stack() -> None:
    """A program that is deep in its own calls gets what there is room for, and no exception."""

    def dive(value: object) -> object:
        try:
            return dive(value)
        except RecursionError:
            return fit(value, LIMIT).value if len(inspect.stack(0)) < sys.getrecursionlimit() - 5 else []

    for value in ([1], nested(60, list), {"a": Rude()}, "\ud800"):
        assert size_of(dive(value)) <= LIMIT


def test_classes_made_at_run_time() -> None:
    """The classes of a program that makes ever new ones are not all remembered."""
    for _ in range(2_200):
        whole(type("Made", (), {"__repr__": lambda _: "made"})())
    assert len(convert.converters) <= 2_001


def test_reading_changes_nothing() -> None:
    """Generators are not consumed, and no container, message, model or document is changed."""
    letters = iter("ab")
    message = AIMessage("hi", tool_calls=[{"name": "f", "args": {"a": {1}}, "id": "1"}], additional_kwargs={"x": [1]})
    value = {"m": message, "d": Document("d", metadata={"s": {2}}), "o": Slotted([1]), "n": Model(other=[{3}])}
    before = copy.deepcopy(value)
    for limit in (100, LIMIT):
        fit({**value, "letters": letters, "odd": "\ud800"}, limit)
    assert value == before
    assert list(letters) == ["a", "b"]


def test_kept_value_that_is_changed() -> None:
    """The plain form, which the redact hook may change, shares no container with the value."""
    value = {"list": [1, {"a": 2}], "tuple": ([3],), "array": array_of([4]), "d": Document("d", metadata={"b": [5]})}
    before = copy.deepcopy(value)
    plain = whole(value)
    plain["list"][1]["a"] = plain["d"]["metadata"]["b"][0] = "changed"
    for one in (plain["list"], plain["tuple"][0], plain["array"]):
        one.clear()
    assert value == before


@steady
@given(st.integers(100, 3_000), st.integers(0, 2_000))
def test_no_half_of_a_secret(limit: int, at: int) -> None:
    """A cut leaves no half of a key, which redaction would not know."""
    key = "sk" + "-proj-" + "aB3dE5gH7jK9" * 8
    text = f"{'x y ' * (at // 4)}{key} {'z ' * 2_000}"
    for value in (text, {"a": {"b": text}}, [text, Attrs()], {"r": Quoting(text)}):
        assert key[:16] not in orjson.dumps(scrub(fit(value, limit).value)).decode()
