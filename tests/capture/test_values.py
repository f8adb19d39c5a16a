"""Any value becomes JSON within the limit, and no span is lost for it."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import decimal
import enum
import io
import pathlib
import threading
import time
import uuid
import weakref
from collections import OrderedDict, namedtuple
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import orjson
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage, ToolMessage
from langchain_core.prompt_values import ChatPromptValue, StringPromptValue
from pydantic import BaseModel, Field, SecretStr, computed_field

from langchain_autotrace.capture.encode import encode

LIMIT = 100_000


class Hostile:
    """Raises at every touch."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    __str__ = __repr__

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("no attributes")

    def __iter__(self) -> Any:
        raise RuntimeError("no iteration")

    def __len__(self) -> int:
        raise RuntimeError("no length")

    def __bool__(self) -> bool:
        raise RuntimeError("no truth")


class BadDict(dict[Any, Any]):
    """A dict whose items cannot be had."""

    def items(self) -> Any:
        """Fail."""
        raise RuntimeError("no items")


class BadModel(BaseModel):
    """A model that cannot be dumped."""

    x: int = 1

    @computed_field  # type: ignore[prop-decorator]
    @property
    def broken(self) -> int:
        """Fail."""
        raise RuntimeError("no value")


class Account(BaseModel):
    """A model with a secret and an excluded field."""

    name: str = "ada"
    key: SecretStr = SecretStr("hunter2")
    client: Any = Field(default="socket", exclude=True)


@dataclasses.dataclass
class Point:
    """A dataclass."""

    x: int
    other: Any = None


class Colour(enum.Enum):
    """An enumeration."""

    RED = "red"


Pair = namedtuple("Pair", "left right")  # noqa: PYI024 - the untyped kind too


def generator() -> Any:
    """A generator."""
    yield 1


def a_cycle() -> Any:
    """A list that contains itself through a dict."""
    loop: list[Any] = [1]
    loop.append({"loop": loop})
    return loop


def deep(levels: int) -> Any:
    """Lists in lists."""
    value: Any = "deep"
    for _ in range(levels):
        value = [value]
    return value


def objects() -> Any:
    """An array of objects; numpy would ask the hostile one for its length."""
    array = np.empty(2, dtype=object)
    array[0], array[1] = Hostile(), 1
    return array


ODD: dict[str, Any] = {
    "hostile": Hostile(),
    "hostile_inside": {"a": [Hostile(), {"b": Hostile()}]},
    "bad_dict": BadDict(a=1),
    "bad_model": BadModel(),
    "cycle": a_cycle(),
    "dataclass": Point(1, Point(2)),
    "dataclass_type": Point,
    "deep": deep(10_000),
    "namedtuple": Pair(1, [2]),
    "surrogate": "half \ud800 of a pair",
    "surrogate_key": {"\udfff": "\ud800"},
    "nan": [float("nan"), float("inf"), -float("inf")],
    "huge_int": 10**50,
    "bytes": b"plain",
    "binary": b"\xff\xfe\x00",
    "bytearray": bytearray(b"ba"),
    "memoryview": memoryview(b"mv"),
    "set": {1, 2},
    "frozenset": frozenset({"a"}),
    "keys": {1: "a", None: "b", (1, 2): "c", 2.5: "d", Colour.RED: "e", b"k": "f"},
    "complex": 1 + 2j,
    "decimal": decimal.Decimal("1.50"),
    "path": pathlib.Path("/a/b"),
    "uuid": uuid.UUID(int=7),
    "date": dt.datetime(2026, 1, 2, tzinfo=dt.UTC),
    "timedelta": dt.timedelta(seconds=3),
    "enum": Colour.RED,
    "class": dict,
    "function": deep,
    "generator": generator(),
    "coroutine_function": asyncio.sleep,
    "lock": threading.Lock(),
    "file": io.StringIO("text"),
    "exception": ValueError("bad"),
    "weakref": weakref.ref(Point),
    "mock": MagicMock(),
    "ordered": OrderedDict(a=1),
    "array": np.arange(6).reshape(2, 3),
    "array_object": objects(),
    "array_strided": np.arange(10)[::2],
    "array_0d": np.array(3.5),
    "scalar": np.float32(1.5),
    "frame": pd.DataFrame({"a": [1, 2]}),
    "series": pd.Series([1, 2]),
    "not_a_time": pd.NaT,
    "timestamp": pd.Timestamp("2026-01-02"),
    "message": AIMessage("hi", tool_calls=[{"name": "f", "args": {}, "id": "1"}]),
    "tool_message": ToolMessage("x", tool_call_id="1", artifact=np.arange(3)),
    "remove": RemoveMessage("1"),
    "document": Document("text", metadata={"a": 1}),
    "prompt": ChatPromptValue(messages=[HumanMessage("hi")]),
    "string_prompt": StringPromptValue(text="hi"),
    "runnable": FakeListChatModel(responses=["x"]),
    "account": Account(),
    "object": object(),
}


@pytest.mark.parametrize("name", sorted(ODD))
def test_odd_values(name: str) -> None:
    """Every odd value, alone or among others, becomes valid JSON within the limit."""
    for value in (ODD[name], {"before": 1, "odd": ODD[name], "after": [2]}):
        text, cut_from = encode(value, LIMIT)
        assert cut_from is None or cut_from > LIMIT
        assert len(text) <= LIMIT
        orjson.loads(text)


EXPECTED: dict[str, Any] = {
    "surrogate": "half \\ud800 of a pair",
    "nan": [None, None, None],
    "huge_int": str(10**50),
    "bytes": "plain",
    "dataclass": {"x": 1, "other": {"x": 2, "other": None}},
    "namedtuple": {"left": 1, "right": [2]},
    "decimal": "1.50",
    "path": "/a/b",
    "uuid": "00000000-0000-0000-0000-000000000007",
    "date": "2026-01-02T00:00:00+00:00",
    "enum": "red",
    "array": [[0, 1, 2], [3, 4, 5]],
    "array_0d": 3.5,
    "scalar": 1.5,
    "series": [1, 2],
    "frame": {"shape": [2, 1], "index": [0, 1], "columns": ["a"], "data": [[1], [2]]},
    "document": {"page_content": "text", "metadata": {"a": 1}, "id": None},
    "prompt": {"messages": [{"type": "human", "content": "hi"}]},
    "string_prompt": {"text": "hi"},
    "account": {"name": "ada", "key": "**********"},
    "cycle": [1, {"loop": "<list: contains itself>"}],
}


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_forms(name: str) -> None:
    """Values of known kinds have the form that a reader expects."""
    assert orjson.loads(encode(ODD[name], LIMIT).json) == EXPECTED[name]


def test_neighbours_of_an_odd_value_stay() -> None:
    """One value that cannot be read does not cost its neighbours."""
    found = orjson.loads(encode({"a": 1, "b": Hostile(), "c": {"d": "\ud800"}, "e": 10**40}, LIMIT).json)
    assert (found["a"], found["c"], found["e"]) == (1, {"d": "\\ud800"}, str(10**40))
    assert "repr raised RuntimeError" in found["b"]


leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(st.characters()),
    st.binary(),
    st.dates(),
    st.uuids(),
    st.decimals(),
    st.sampled_from(sorted(ODD)).map(lambda name: ODD[name]),
)
keys = st.one_of(st.text(st.characters()), st.integers(), st.booleans(), st.none(), st.tuples(st.integers()))
values = st.recursive(
    leaves,
    lambda inner: st.one_of(st.lists(inner), st.tuples(inner, inner), st.dictionaries(keys, inner)),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(value=values, limit=st.integers(1_000, 20_000))
def test_any_structure(value: Any, limit: int) -> None:
    """Whatever is nested in whatever, the result is valid JSON within the limit."""
    text, _ = encode(value, limit)
    assert len(text) <= limit
    orjson.loads(text)


@pytest.mark.parametrize(
    "value",
    [
        "é" * 25_000_000,
        {"question": "short", "text": "x" * 50_000_000},
        [["word"] * 1_000] * 6_000,
        {f"key {i}": i for i in range(500_000)},
    ],
    ids=["text", "dict", "lists", "keys"],
)
def test_a_large_value(value: Any) -> None:
    """A value of many megabytes is cut to the limit, keeps its beginning, and its true size is known."""
    whole = len(orjson.dumps(value))
    began = time.monotonic()
    text, cut_from = encode(value, 10_000)
    assert time.monotonic() - began < 30
    assert cut_from == whole
    assert 500 < len(text) <= 10_000
    kept = orjson.loads(text)
    assert type(kept) is type(value)
    if isinstance(value, dict):
        assert next(iter(kept)) == next(iter(value))


def test_the_value_is_left_alone() -> None:
    """Encoding reads a value and changes nothing in it."""
    message = AIMessage("hi", additional_kwargs={"a": [1]})
    value = {"m": message, "items": [1, {"x": {2}}]}
    before = repr(value)
    encode(value, LIMIT)
    encode(value, 1_000)
    assert repr(value) == before
