"""Any value becomes JSON within the limit, at once or in pieces, and stays as it was."""

from __future__ import annotations

import collections
import copy
import dataclasses
import datetime as dt
import decimal
import enum
import gc
import inspect
import json
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
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.prompt_values import ChatPromptValue, ImagePromptValue, StringPromptValue
from langchain_core.runnables import RunnableLambda
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SecretBytes, SecretStr, computed_field, field_serializer

from langchain_autotrace.capture import convert as module
from langchain_autotrace.capture.encode import encode
from langchain_autotrace.capture.plain import plain
from langchain_autotrace.capture.redact import scrub

LIMIT = 200_000


def json_of(value: object) -> Any:
    """The JSON of a value that is kept whole."""
    text, cut_from = encode(value, LIMIT)
    assert cut_from is None
    return json.loads(text)


class Rude:
    """Raises whatever it is asked; with exceptions that an ``except Exception`` lets pass."""

    def __repr__(self) -> str:
        raise GeneratorExit

    def __getattr__(self, name: str) -> NoReturn:
        raise RuntimeError(name)

    def __iter__(self) -> NoReturn:
        raise RuntimeError

    __str__ = __repr__
    __len__ = keys = items = __getitem__ = __iter__


class RudeClass(type):
    """Answers nothing about its classes."""

    __name__ = __module__ = property(Rude.__iter__)

    def __repr__(cls) -> str:
        raise ValueError

    def __hash__(cls) -> int:
        raise ValueError


class OfRudeClass(metaclass=RudeClass):
    """Cannot even be named."""


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
        """Fail."""
        raise RuntimeError

    __iter__ = keys = values = items


class EndlessSequence(Sequence[int]):
    """A sequence as long as a number can say."""

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
        """Hide it."""
        return "*" * len(value)


class BrokenModel(Model):
    """A model with a property that raises."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def computed(self) -> int:
        """Fail."""
        raise GeneratorExit


class SilentModel(Model):
    """A model that does not want to be dumped."""

    def model_dump(self, **_: Any) -> NoReturn:
        """Fail."""
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
        """Fail."""
        raise ValueError

    def __getattribute__(self, name: str) -> Any:
        if name == "a":
            raise GeneratorExit
        return super().__getattribute__(name)


class Pair(NamedTuple):
    """A named tuple."""

    left: object
    right: object


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
    """Levels that hold the level below."""
    value: object = 1
    for _ in range(levels):
        value = kind([value])
    return value


def tower(levels: int, kind: Callable[[list[object]], object], width: int = 2) -> object:
    """Levels that hold the level below twice: 2**levels in JSON."""
    value: object = 1
    for _ in range(levels):
        value = kind([value] * width)
    return value


def cycles() -> list[object]:
    """Values that contain themselves."""
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
    """What a program may hand over."""
    ok = RunnableLambda(lambda x: x)
    return [
        *(float("nan"), float("inf"), 2**64, -(10**5000), "\ud800 lone", "\x00\x7f", LoudText("t"), LoudNumber(3)),
        *(b"text", b"\xff" * 300, bytearray(b"\xfe"), memoryview(b"abcd")[::2], {1, 2}, frozenset("a"), 1j, ...),
        *({(1, 2): 3, None: 4, b"k": 1, 1.5: 2, Colour.RED: 3, 2**70: 5, "\ud800": 6}, {Colour.ODD: 1}, {len: 1}),
        *(Colour.RED, Colour.ODD, Flags.A | Flags.B, Colour, EndlessList([1, 2]), EndlessDict(a=1)),
        *(EndlessSequence(), range(10**12), collections.deque([1]), collections.ChainMap({"a": 1})),
        *(collections.OrderedDict(a=1).keys(), {"a": 1}.values(), types.MappingProxyType({"a": 1}), os.environ.keys()),
        *(dt.datetime(2026, 1, 2, tzinfo=dt.UTC), dt.date(2026, 1, 2), dt.time(1, tzinfo=dt.UTC), dt.timedelta(1)),
        *(decimal.Decimal("1.50"), pathlib.Path("/a"), uuid.UUID(int=1), ok, FakeListChatModel(responses=["a"])),
        *(Rude(), Rude, OfRudeClass(), OfRudeClass, object(), len, lambda: 0, (i for i in "a"), threading.Lock(), sys),
        *(
            ValueError("x"),
            ExceptionGroup("g", [ValueError(1)]),
            MagicMock(),
            Mock(spec=AIMessage),
            MagicMock(spec=dict),
        ),
        *(Model(), BrokenModel(), SilentModel(), Model, Slotted(1), Slotted.__new__(Slotted), Raising(1), Slotted),
        *(Pair(1, "x"), Attrs(), weakref.ref(Attrs), weakref.proxy(Attrs), sys.stderr, np.arange(6).reshape(2, 3)),
        *(np.array(3.0), np.zeros((2, 2))[:, 1], np.array([object()]), np.zeros(2, dtype=[("a", "i4")]), np.bool_(1)),
        *(np.float32(1.5), np.datetime64("2026-01-01"), np.broadcast_to(0, (10**6, 10**6)), np.array(["a", "\ud800"])),
        *(pd.DataFrame({"a": [1, None], 2: ["x", pd.NaT]}), pd.Series([1, 2]), pd.NaT, pd.NA, pd.Index([1]), ok.batch),
        *(
            pd.Timestamp(0),
            pd.Timedelta(1),
            pd.MultiIndex.from_tuples([(1, 2)]),
            pd.Categorical(["a"]),
            pd.Period("2026"),
        ),
        *(
            HumanMessage("hi"),
            ToolMessage("t", tool_call_id="1", artifact=Rude()),
            Document("d", metadata={"a": Rude()}),
        ),
        *(ChatPromptValue(messages=[AIMessage("a")]), StringPromptValue(text="t"), HumanMessage.model_construct()),
        *(
            ImagePromptValue(image_url={"url": "u"}),
            Document.model_construct(),
            nested(10_000, list),
            nested(10_000, tuple),
        ),
        *(nested(10_000, lambda item: {"a": item[0]}), nested(300, lambda item: Document("x", metadata={"a": item}))),
        *(tower(3, list, 1000), EndlessMapping()),
        *(["x" * 1_000_000] * 1000, tower(60, lambda x: {"a": x[0], "b": x[0]}), tower(60, EndlessList)),
        *cycles(),
    ]


ODD = odd_values()


def containers(children: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    """What holds other values."""
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


atoms = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), st.binary(), st.datetimes(), st.decimals(), st.uuids()),
    *(
        st.text(st.characters(), max_size=200),
        st.text('\ud800\x00"\\é€😀', max_size=50),
        st.integers(0, len(ODD) - 1).map(lambda i: ODD[i]),
    ),
)


class Held:
    """A value that pytest and hypothesis do not look into when they report."""

    def __init__(self, value: object) -> None:
        self.value = value


anything = st.recursive(atoms, containers, max_leaves=12).map(Held)
ordinary = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=9), inner, max_size=6),
    max_leaves=40,
)
steady = settings(max_examples=80, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))


@steady
@given(anything, st.sampled_from([100, 300, 2_000, LIMIT]))
def test_any_value(held: Held, limit: int) -> None:
    """Whatever a value holds, there is valid JSON within the limit."""
    text, cut_from = encode(held.value, limit)
    json.loads(text)
    assert len(text) <= limit
    assert cut_from is None or cut_from > 0


def test_odd_values() -> None:
    """Each odd value alone, and what stands beside it, is written within the limit and in a bounded time."""
    for value in ODD:
        started = time.process_time()
        for limit in (100, LIMIT):
            alone = encode(value, limit)
            beside = encode({"odd": value, "even": "kept"}, limit)
            json.loads(alone.json)
            assert max(len(alone.json), len(beside.json)) <= limit
            assert json.loads(beside.json)["even"] == "kept"
        assert time.process_time() - started < 10


@steady
@given(ordinary)
def test_plain_value(value: Any) -> None:
    """A value of JSON's own types comes back as it was, and is not changed."""
    before = copy.deepcopy(value)
    text, cut_from = encode(value, LIMIT)
    assert json.loads(text) == value == before
    assert cut_from is None


FORMS: list[tuple[object, object]] = [
    ([float("nan"), float("inf"), -0.0], [None, None, 0]),
    ([2**63, 2**64, 16**12_000], [2**63, str(2**64), "0x1" + "0" * 12_000]),
    ("a\ud800b", "a\\ud800b"),
    ([b"text", bytearray("é", "utf-8"), memoryview(b"ab")[::-1]], ["text", "é", "ba"]),
    ([b"\xff", b"\xff" * 200], ["b'\\xff'", "b'" + "\\xff" * 100 + "'… [cut, 200 bytes]"]),
    (
        {(1, 2): 1, None: 2, 1.5: 3, True: 4, Flags.B: 5, 2**70: 6, uuid.UUID(int=1): 7, dt.date(2026, 1, 2): 8},
        {"(1, 2)": 1, "null": 2, "1.5": 3, "true": 4, "2": 5, str(2**70): 6, str(uuid.UUID(int=1)): 7, "2026-01-02": 8},
    ),
    ([Colour.RED, Flags.A | Flags.B, Colour], [[1, 2], 3, "<enum 'Colour'>"]),
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
    ([Pair(1, "x"), Slotted(1, {2})], [{"left": 1, "right": "x"}, {"a": 1, "b": [2]}]),
    (Slotted.__new__(Slotted), {"a": "<AttributeError>", "b": "<AttributeError>"}),
    (Raising(1), {"a": "<GeneratorExit>"}),
    (Attrs(), "Attrs(x=1)"),
    (Rude(), f"<{__name__}.Rude: repr raised GeneratorExit>"),
    (OfRudeClass(), f"<{__name__}.OfRudeClass: ValueError>"),
    (RunnableLambda(lambda x: x), "<langchain_core.runnables.base.RunnableLambda>"),
    (np.arange(4).reshape(2, 2)[:, 1], [1, 3]),
    ([np.float32(1.5), np.array(2), np.datetime64("2026-01-01"), np.bool_(1)], [1.5, 2, "2026-01-01", True]),
    (np.zeros(1, dtype=[("a", "i4")]), [[0]]),
    (np.broadcast_to(1, (400, 300)), {"shape": [400, 300], "dtype": "int64", "beginning": [1] * 1000}),
    (pd.DataFrame({"a": [1, 2]}), {"shape": [2, 1], "index": [0, 1], "columns": ["a"], "data": [[1], [2]]}),
    ([pd.Series([1, 2], [0.5, 1.5]), pd.Index(["a"])], [[1, 2], ["a"]]),
    ([pd.NaT, pd.Timestamp(0)], ["NaT", "1970-01-01T00:00:00"]),
    (HumanMessage("hi", id="1"), {"type": "human", "content": "hi", "id": "1"}),
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
def test_form(value: object, form: object) -> None:
    """Each kind of value has the JSON that a reader expects of it."""
    assert json_of(value) == form


def test_models() -> None:
    """A pydantic model keeps its secrets, and a property that raises does not cost the other fields."""
    kept = {"name": "n", "secret": "**********", "raw": "b'**********'", "masked": "****", "other": None}
    assert json_of(Model()) == kept
    assert json_of(SilentModel()) == kept
    assert json_of(BrokenModel()) == {**kept, "computed": "<GeneratorExit>"}
    assert json_of([Model(other=HumanMessage("hi"))]) == [{**kept, "other": {"type": "human", "content": "hi"}}]


def test_cycles() -> None:
    """A value that contains itself is written up to where it does."""
    assert [json.dumps(json_of(value)).count("contains itself") for value in cycles()] == [1] * 8
    assert json_of(cycles()[0]) == [1, "<list: contains itself>"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("broken", ["", "\ud800"])
def test_stop(stop: type[BaseException], broken: str) -> None:
    """Ctrl-C, and the exit that a signal's handler asks for, are not swallowed."""

    class Stopping:
        def __repr__(self) -> str:
            raise stop

    with pytest.raises(stop):
        encode([broken, {"a": Stopping()}], LIMIT)


@pytest.mark.parametrize("kind", [list, dict])
def test_changed_meanwhile(kind: type) -> None:
    """A container that changes while it is read, as other threads may change it, does no harm."""

    class Changing:
        def __repr__(self) -> str:
            value.clear()
            gc.collect()
            return "changed"

    value: Any = [Changing(), *map(str, range(999))]
    value = value if kind is list else dict(enumerate(value))
    held = [value]
    text, _ = encode(held, LIMIT)
    assert json.loads(text)[0] in (["changed"], {str(i): "changed" if i == 0 else str(i - 1) for i in range(1000)})


def test_threads() -> None:
    """Values that another thread changes all the time are always written."""
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
            json.loads(encode(shared, LIMIT).json)
    finally:
        done.set()
        thread.join()


CUTS: list[tuple[object, int, object, int]] = [
    ("word " * 100, 100, "word " * 14 + "… [cut, 500 characters]", 502),
    ("\n" * 200, 100, "\n" * 36 + "… [cut, 200 characters]", 402),
    (
        {"question": "why?", "documents": ["a b " * 200] * 2, "k": 3},
        300,
        {"question": "why?", "documents": ["a b " * 34 + "a … [cut, 800 characters]", "… [cut, 2 items]"], "k": 3},
        1_645,
    ),
    (list(range(1_000)), 100, [0, 1, 2, 3, 4, "… [cut, 1000 items]"], 3_891),
    ({f"k{i}": "é" for i in range(99)}, 100, {**{f"k{i}": "é" for i in range(4)}, "…": "[cut, 99 items]"}, 1_080),
]


@pytest.mark.parametrize(("value", "limit", "kept", "whole"), CUTS, ids=range(len(CUTS)))
def test_cut(value: object, limit: int, kept: object, whole: int) -> None:
    """What is too large keeps its form: small parts whole, large ones shortened, and says how much there was."""
    text, cut_from = encode(value, limit)
    assert json.loads(text) == kept
    assert (len(text) <= limit, cut_from) == (True, whole)


@pytest.mark.parametrize("odd", ["", "\ud800"])
@pytest.mark.parametrize(
    "make",
    [
        lambda: "word " * 10_000_000,
        lambda: list(range(6_000_000)),
        lambda: {f"key {i}": "text " * 10 for i in range(800_000)},
        lambda: {"docs": [Document("lorem " * 170) for _ in range(50_000)], "question": "why?"},
        lambda: {"bytes": b"text " * 10_000_000},
    ],
)
def test_fifty_megabytes(make: Callable[[], Any], odd: str) -> None:
    """Fifty megabytes are cut to the limit in a bounded time, keep their beginning, and their size is noted."""
    value = make()
    started = time.process_time()
    text, cut_from = encode([odd, value], LIMIT)
    assert time.process_time() - started < 4
    kept = json.loads(text)[1]
    assert LIMIT / 5 < len(text) <= LIMIT
    assert cut_from is not None
    assert 0.6 * 50e6 < cut_from < 1.6 * 50e6
    assert type(kept) is type(value)
    assert kept[:9] == value[:9] if isinstance(value, str | list) else kept.keys() >= set(list(value)[:2])


def test_shared_parts() -> None:
    """Sixty levels that hold the level below twice take neither long nor much memory."""
    for value in (tower(60, list), tower(60, tuple), [tower(60, lambda below: Document("d", metadata={"b": below}))]):
        tracemalloc.start()
        started = time.process_time()
        text, cut_from = encode(value, 10_000)
        spent, (_, peak) = time.process_time() - started, tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert cut_from is not None
        assert (len(text) <= 10_000, spent < 10, peak < 100_000_000) == (True, True, True)
    shared = ["same"]
    assert json_of([shared, {"a": shared}, shared]) == [["same"], {"a": ["same"]}, ["same"]]


def test_the_end_of_the_stack() -> None:
    """A program that is deep in its own calls gets what JSON there is room for, and no exception."""

    def dive(value: object) -> bytes:
        try:
            return dive(value)
        except RecursionError:
            return encode(value, LIMIT).json if len(inspect.stack(0)) < sys.getrecursionlimit() - 5 else b"[]"

    for value in ([1], nested(60, list), {"a": Rude()}, "\ud800"):
        json.loads(dive(value))


def test_classes_made_at_run_time() -> None:
    """The classes of a program that makes ever new ones are not all remembered."""
    for _ in range(2_200):
        json_of(type("Made", (), {"__repr__": lambda _: "made"})())
    assert len(module._converters) <= 2_001


def test_reading_changes_nothing() -> None:
    """Generators are not consumed, and no container, message, model or document is changed."""
    letters = iter("ab")
    message = AIMessage("hi", tool_calls=[{"name": "f", "args": {"a": {1}}, "id": "1"}], additional_kwargs={"x": [1]})
    value = {"m": message, "d": Document("d", metadata={"s": {2}}), "o": Slotted([1]), "n": Model(other=[{3}])}
    before = copy.deepcopy(value)
    for limit in (100, LIMIT):
        encode({**value, "letters": letters, "odd": "\ud800"}, limit)
    assert value == before
    assert list(letters) == ["a", "b"]


def test_plain() -> None:
    """What orjson can write as it is is not copied; what holds objects is made of containers that it can write."""
    for value in ({"a": 1}, [{"a": [1]}], "text", {"a": {"b": ("c", None)}}):
        assert plain(value) is value
    assert plain((HumanMessage("a"), {1: Colour.RED})) == [{"type": "human", "content": "a"}, {"1": (1, 2)}]
    with pytest.raises(RecursionError):
        plain(tower(60, list))


@steady
@given(st.integers(100, 3_000), st.integers(0, 2_000))
def test_no_half_of_a_secret(limit: int, at: int) -> None:
    """A cut leaves no half of a key, which redaction would not know."""
    key = "sk" + "-proj-" + "aB3dE5gH7jK9" * 8
    text = f"{'x y ' * (at // 4)}{key} {'z ' * 2_000}"
    for value in (text, {"a": {"b": text}}, [text, Attrs()], {"r": Quoting(text)}):
        assert key[:16] not in scrub(encode(value, limit).json).decode()
