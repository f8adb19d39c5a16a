"""The fast way writes usual values in the careful way's form, and leaves the others to the careful way."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import pathlib
import threading
import time
import types
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import orjson
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.agents import AgentAction, AgentFinish
from langchain_core.documents import Document
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGeneration, Generation, LLMResult, RunInfo
from langchain_core.prompt_values import ChatPromptValue, ImagePromptValue, StringPromptValue
from langchain_core.runnables import RunnableLambda
from langgraph.types import Command, Interrupt, Send
from pydantic import BaseModel, Field, SecretStr, model_serializer

from langchain_autotrace.capture.cut import fit
from langchain_autotrace.capture.fast import WriteResult, write
from langchain_autotrace.capture.files import Files
from langchain_autotrace.journal.codec import encode
from tests.capture.test_cut import ODD, Held, OfRudeClass, Rude, anything, array_of, cycles, nested, steady, tower

LIMIT = 200_000
HEAD = ("start", uuid.UUID(int=1), None, 7)
FILES = Files(encode, 20_000_000, kept=False)
SECRET = "sk" + "-proj-" + "aB3dE5gH7jK9" * 4


class Lines:
    """A journal in memory.

    Attributes:
        lines: what was written, in order.
        is_full: makes ``put`` raise ``ValueError``.
        after_put: the lines that came through ``write``.
    """

    def __init__(self, *, is_full: bool = False) -> None:
        self.is_full = is_full
        self.lines: list[bytes] = []
        self.after_put: list[bytes] = []

    def put(self, line: bytes) -> None:
        """Keep a line, unless the segment is full."""
        if self.is_full:
            raise ValueError
        self.lines.append(line)

    def write(self, line: bytes) -> bool:
        """Keep a line."""
        self.lines.append(line)
        self.after_put.append(line)
        return True


class Way(NamedTuple):
    """A way to write a value as a part of a line."""

    write: Callable[[object, Lines, int], str]
    read: Callable[[bytes], Any]
    """Returns the value of a line."""


WAYS = {
    "value": Way(
        lambda value, journal, limit: write(HEAD, [(value,)], {}, limit, journal, FILES),
        lambda line: orjson.loads(line)[-2][0],
    ),
    "detail": Way(
        lambda value, journal, limit: write(HEAD, [None], {"detail": value}, limit, journal, FILES),
        lambda line: orjson.loads(line)[-1]["detail"],
    ),
    "event": Way(
        lambda value, journal, limit: write(HEAD, [], {"detail": value}, limit, journal, FILES),
        lambda line: orjson.loads(line)[-1]["detail"],
    ),
}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    """Each way to write a value."""
    return WAYS[request.param]


def written(value: object, way: Way = WAYS["value"]) -> Any:
    """Return what is written of a value that the fast way writes."""
    journal = Lines()
    assert way.write(value, journal, LIMIT) == WriteResult.WRITTEN
    (line,) = journal.lines
    return way.read(line)


def refused(held: Held, way: Way, limit: int = LIMIT) -> str:
    """Return why a value is not written, after a bounded time."""
    journal = Lines()
    started = time.process_time()
    result = way.write(held.value, journal, limit)
    assert time.process_time() - started < 4
    assert journal.lines == []
    return result


class Colour(enum.Enum):
    """An enumeration whose value is a list."""

    RED = ["red", {1}]  # noqa: RUF012 - what is tested


class Level(enum.StrEnum):
    """Texts."""

    LOW = "low"


class Number(enum.IntEnum):
    """Numbers."""

    ONE = 1


@dataclasses.dataclass
class Point:
    """A dataclass."""

    x: int
    other: object = None


class Pair(NamedTuple):
    """A named tuple."""

    left: object
    right: object


class Answer(BaseModel):
    """A structured output."""

    text: str = "yes"
    sources: list[Document] = Field(default_factory=lambda: [Document("d")])
    pin: SecretStr = SecretStr("hush")
    extra: Any = None
    client: object = Field(default="hush", exclude=True)
    internal: str = Field(default="hush", repr=False)


USAGE = UsageMetadata(
    input_tokens=3, output_tokens=5, total_tokens=8, input_token_details={"cache_read": 1}, output_token_details={}
)
CALLS = [{"name": "search", "args": {"query": "é", "pages": [1, 2]}, "id": "call_1", "type": "tool_call"}]
CHAT = [
    SystemMessage("Answer."),
    HumanMessage("hi", id="1", name="ada"),
    HumanMessage([{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "data:image/png,x"}}]),
    AIMessage("", tool_calls=CALLS, usage_metadata=USAGE, response_metadata={"model_name": "m", "logprobs": None}),
    ToolMessage("found", tool_call_id="call_1", artifact=[Document("d", metadata={"at": dt.date(2026, 1, 2)})]),
    AIMessageChunk(content="chunk", tool_call_chunks=[tool_call_chunk(name="f", args="{", id="2", index=0)]),
    AIMessage("done", additional_kwargs={"refusal": None, "seed": {"a": (1, 2)}}, invalid_tool_calls=[]),
    ChatMessage(content="hm", role="critic"),
    FunctionMessage(content="f", name="f"),
    RemoveMessage("1"),
]
USUAL: dict[str, object] = {
    "none": None,
    "text": 'é " \n 😀 ' * 100,
    "parsed text": StrOutputParser().invoke(AIMessage("parsed")),
    "numbers": [0, -1, 2**63, 1.5, float("nan"), float("inf"), True, np.float64(1.5), np.int64(3)],
    "uuids": {"id": uuid.UUID(int=1), "ids": [uuid.UUID(int=2)]},
    "messages": CHAT,
    "batch": [CHAT, CHAT],
    "chat prompt": ChatPromptValue(messages=CHAT),
    "text prompt": StringPromptValue(text="hi"),
    "image prompt": ImagePromptValue(image_url={"url": "u"}),
    "chat result": LLMResult(
        generations=[[ChatGeneration(message=CHAT[3], generation_info={"finish_reason": "stop"})]],
        llm_output={"model_name": "m", "token_usage": {"total": 8}},
        run=[RunInfo(run_id=uuid.UUID(int=3))],
    ),
    "text result": LLMResult(generations=[[Generation(text="a"), Generation(text="b")]]),
    "documents": [Document("d", id="1", metadata={"page": 1, "score": np.float32(0.5)}), Document("e")],
    "dicts": {"a": {"b": {"c": [{"d": ("e", None)}]}}, "empty": {}, "none": [], "": ""},
    "dataclasses": Point(1, Point(2, [Pair(1, {2})])),
    "model": {"answer": Answer(), "answers": [Answer()]},
    "enums": [Colour.RED, Level.LOW, Number.ONE, {"of": Colour}],
    "command": Command(goto=[Send("node", {"messages": CHAT})], update={"messages": CHAT, "at": dt.date(2026, 1, 2)}),
    "interrupt": {"__interrupt__": [Interrupt(value={"question": "sure?"}, id="1")]},
    "agent": [AgentAction(tool="t", tool_input={"a": 1}, log="l"), AgentFinish({"output": "o"}, log="l")],
    "times": [dt.datetime(2026, 1, 2, tzinfo=dt.UTC), dt.timedelta(1), decimal.Decimal("1.50"), pathlib.Path("/a")],
    "containers": [{1}, frozenset("a"), collections.deque([1]), {"a": 1}.values(), collections.OrderedDict(a={2})],
    "data": [np.arange(6).reshape(2, 3), array_of([{1}]), pd.DataFrame({"a": [1]}), pd.Series([1]), pd.Timestamp(0)],
    "bytes": [b"text", b"\xff"],
    "objects": [object, ValueError("x"), RunnableLambda(len), Rude()],
}


@pytest.mark.parametrize("name", USUAL)
def test_usual_value(name: str, way: Way) -> None:
    """A usual value is written, in the form that the careful way gives it."""
    assert written(USUAL[name], way) == fit(USUAL[name], LIMIT).value


def test_whole_line() -> None:
    """A line is an array: the head, the value in a list, and the details; of an event, the head and the details."""
    journal = Lines()
    write(HEAD, [(HumanMessage("hi"),)], {"metadata": {"at": dt.date(2026, 1, 2)}, "class": "C"}, LIMIT, journal, FILES)
    write(HEAD, [None], {}, LIMIT, journal, FILES)
    write((*HEAD, ["tag"], {"experiment": None}), [(None,)], {"inputs": ({"a": {1}},)}, LIMIT, journal, FILES)
    write(HEAD, [], {"time": dt.time(1)}, LIMIT, journal, FILES)
    head = b'"start","00000000-0000-0000-0000-000000000001",null,7,'
    assert journal.lines == [
        b"[" + head + b'[{"type":"human","content":"hi"}],{"metadata":{"at":"2026-01-02"},"class":"C"}]\n',
        b"[" + head + b"null,{}]\n",
        b"[" + head + b'["tag"],{"experiment":null},[null],{"inputs":[{"a":[1]}]}]\n',
        b"[" + head + b'{"time":"01:00:00"}]\n',
    ]


@pytest.mark.parametrize("write_one", WAYS.values(), ids=WAYS)
def test_full_segment(write_one: Way) -> None:
    """A line for which the segment has no room is handed over to the journal's ``write``, once."""
    journal = Lines(is_full=True)
    assert write_one.write({"a": 1}, journal, LIMIT) == WriteResult.WRITTEN
    assert [write_one.read(line) for line in journal.after_put] == [{"a": 1}]
    assert journal.lines == journal.after_put


LARGE: dict[str, Callable[[], object]] = {
    "text": lambda: "x" * 100_000_000,
    "text in a dict": lambda: {"a": ["x" * 100_000_000]},
    "text in a message": lambda: HumanMessage("x" * 100_000_000),
    "accents": lambda: "é" * 150_000,
    "control characters": lambda: "\x00" * 50_000,
    "short texts": lambda: ["x" * 60] * 10_000,
    "long keys": lambda: {"k" * 250_000: 1},
    "integers": lambda: list(range(5_000_000)),
    "tuple": lambda: {"a": tuple(range(5_000_000))},
    "keys": lambda: {str(i): i for i in range(1_000_000)},
    "documents": lambda: [Document("lorem " * 170) for _ in range(50_000)],
    "endless range": lambda: range(10**12),
    "array": lambda: [np.zeros(90_000)],
    "shared lists": lambda: tower(60, list),
    "shared tuples": lambda: tower(60, tuple),
    "shared dicts": lambda: tower(60, lambda below: {"a": below[0], "b": below[1]}),
    "shared documents": lambda: tower(60, lambda below: Document("d", metadata={"a": below})),
    "shared dataclasses": lambda: tower(60, lambda below: Point(1, below)),
    "bytes": lambda: b"x" * 100_000_000,
}


@pytest.mark.parametrize("name", LARGE)
def test_value_over_the_limit(name: str, way: Way) -> None:
    """A value whose line would be too large is not written, and that is known in a bounded time."""
    held = Held(LARGE[name]())
    assert refused(held, way) == WriteResult.TOO_LARGE


def test_line_as_long_as_the_limit(way: Way) -> None:
    """A line of as many bytes as the limit is written, and one byte more is too large."""
    journal = Lines()
    assert way.write("word " * 1_000, journal, LIMIT) == WriteResult.WRITTEN
    size = len(journal.lines[0])
    assert way.write("word " * 1_000, journal, size) == WriteResult.WRITTEN
    assert refused(Held("word " * 1_000), way, size - 1) == WriteResult.TOO_LARGE


UNSUPPORTED: dict[str, object] = {
    "lone surrogate": {"a": ["\ud800"]},
    "lone surrogate in a key": {"\ud800": 1},
    "integer over 64 bits": [2**64],
    "negative integer over 64 bits": {"a": -(2**63) - 1},
    "very long integer": 10**5_000,
    "keys that are no texts": {1: "a"},
    "too many levels": nested(1_000, list),
    "class that cannot be looked up": OfRudeClass(),
    **{f"cycle {index}": value for index, value in enumerate(cycles())},
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_value_that_needs_care(name: str, way: Way) -> None:
    """A value that orjson refuses, or whose own methods raise, is not written, and nothing is raised."""
    held = Held(UNSUPPORTED[name])
    assert refused(held, way) == WriteResult.UNSUPPORTED


SUSPECT: dict[str, object] = {
    "key in a text": f"use {SECRET} for it",
    "key in a message": [HumanMessage("hi"), AIMessage(f"it is {SECRET}")],
    "name of a field": {"api_key": "abc"},
    "name of a parameter": AIMessage("a", additional_kwargs={"password": "abc"}),
    "key as a name": {SECRET: 1},
    "header": {"headers": {"Authorization": "Bearer 0123456789"}},
    "address": ["postgresql://ada:lovelace@localhost/db"],
    "repr": ValueError(f"wrong key {SECRET}"),
    "capital letters": {"OPENAI_API_KEY": "abc"},
}


@pytest.mark.parametrize("name", SUSPECT)
def test_value_with_a_secret(name: str, way: Way) -> None:
    """A value with what looks like a secret is not written."""
    held = Held(SUSPECT[name])
    assert refused(held, way) == WriteResult.SUSPECT


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_ctrl_c(stop: type[BaseException], way: Way) -> None:
    """Ctrl-C, and the exit that a signal's handler asks for, are not swallowed."""

    class Stopping:
        def __repr__(self) -> str:
            raise stop

    with pytest.raises(stop):
        way.write([{"a": Stopping()}], Lines(), LIMIT)


class SelfDumping(BaseModel):
    """A model whose own dump is one of its fields."""

    held: Any

    def model_dump(self, **_: Any) -> Any:
        return self.held


class SelfSerializing(BaseModel):
    """A model that is serialized as one of its fields."""

    held: Any

    @model_serializer
    def serialize(self) -> Any:
        return self.held


HOLDERS: dict[str, Callable[[Any], object]] = {
    "itself": lambda mine: mine,
    "list": lambda mine: [mine, mine],
    "tuple": lambda mine: (mine, 1),
    "dict": lambda mine: {"a": mine},
    "named tuple": lambda mine: Pair(mine, 1),
    "dataclass": lambda mine: Point(1, mine),
    "enum": lambda mine: enum.Enum("Made", {"ONE": mine}).ONE,  # type: ignore[attr-defined]
    "model": lambda mine: Answer(extra=mine),
    "dump": lambda mine: SelfDumping(held=mine),
    "serializer": lambda mine: SelfSerializing(held=mine),
    "content": lambda mine: HumanMessage.model_construct(content=mine),
    "kwargs": lambda mine: AIMessage.model_construct(content="a", additional_kwargs=mine),
    "artifact": lambda mine: ToolMessage("t", tool_call_id="1", artifact=mine),
    "metadata": lambda mine: Document.model_construct(page_content="d", metadata=mine),
    "generations": lambda mine: LLMResult.model_construct(generations=mine, llm_output=mine),
    "generation": lambda mine: Generation.model_construct(text="a", generation_info=mine),
    "prompt": lambda mine: ChatPromptValue.model_construct(messages=mine),
    "command": lambda mine: Command(update=mine),
    "array": array_of,
    "row": lambda mine: array_of(mine).reshape(1),
    "series": lambda mine: pd.Series([mine, mine]),
    "frame": lambda mine: pd.DataFrame({"a": [mine, mine]}),
    "deque": lambda mine: collections.deque([mine]),
    "mapping": lambda mine: types.MappingProxyType({"a": mine}),
    "subclass": lambda mine: collections.OrderedDict(a=mine),
    "values": lambda mine: {"a": mine}.values(),
}
"""What holds a container of the program's."""


@pytest.mark.parametrize(
    "make", [lambda: [{1}, {"b": {2}}, (3, {4})], lambda: {"a": {1}, "b": [{2}]}], ids=["list", "dict"]
)
@pytest.mark.parametrize("holder", HOLDERS)
def test_container_of_the_program(holder: str, make: Callable[[], object], way: Way) -> None:
    """A container of the program's is not changed, whatever holds it."""
    mine = make()
    written(HOLDERS[holder](mine), way)
    assert mine == make()


def test_value_of_an_enumeration() -> None:
    """The value of an enumeration's member is the same for the program afterwards."""
    assert written([Colour.RED]) == [["red", [1]]]
    assert Colour.RED.value == ["red", {1}]


@pytest.mark.parametrize("kind", [list, dict])
def test_container_that_changes_while_it_is_written(kind: type, way: Way) -> None:
    """A container is written with what was in it when the event came."""

    class Changing:
        def __repr__(self) -> str:
            inner.clear()
            value.clear()
            return "changed"

    inner: list[object] = [Changing(), {1}, "end"]
    value: Any = [inner, {2}, "end"] if kind is list else {"a": inner, "b": {2}, "c": "end"}
    expected = [["changed", [1], "end"], [2], "end"]
    assert written(value, way) == (expected if kind is list else dict(zip("abc", expected, strict=True)))


def test_value_that_another_thread_changes(way: Way) -> None:
    """A value that another thread changes all the time is always written."""
    shared: dict[str, Any] = {"messages": [HumanMessage("hi")] * 50, "enums": [Level.LOW] * 50, "more": {}}
    done = threading.Event()

    def change() -> None:
        while not done.is_set():
            shared["messages"][:] = [AIMessage("x" * 100)] * (len(shared["messages"]) % 60)
            shared["enums"][:] = [Level.LOW] * (time.perf_counter_ns() % 60)
            shared["more"] = {str(i): [i] for i in range(30)}
            shared[str(time.perf_counter_ns() % 50)] = object()

    thread = threading.Thread(target=change)
    thread.start()
    until = time.monotonic() + 0.5
    try:
        while time.monotonic() < until:
            assert written(shared, way).keys() >= {"messages", "enums", "more"}
    finally:
        done.set()
        thread.join()


def check(held: Held, limit: int) -> None:
    """Assert that a value is written in the form that the careful way gives it, or not at all."""
    for way in WAYS.values():
        journal = Lines()
        if way.write(held.value, journal, limit) == WriteResult.WRITTEN:
            (line,) = journal.lines
            assert len(line) <= limit
            assert (way.read(line), None) == fit(held.value, limit)
        else:
            assert journal.lines == []


@steady
@given(anything, st.sampled_from([300, 2_000, LIMIT]))
def test_any_value(held: Held, limit: int) -> None:
    """Any value is written in the form that the careful way gives it, or not at all."""
    check(held, limit)


def test_odd_values() -> None:
    """Each odd value is written in the form that the careful way gives it, or not at all, in a bounded time."""
    for value in ODD:
        started = time.process_time()
        check(Held(value), LIMIT)
        check(Held({"odd": [value], "even": "kept"}), LIMIT)
        assert time.process_time() - started < 10


@steady
@given(anything)
def test_details_that_are_not_written(held: Held) -> None:
    """Details that the fast way did not write, some of them plain by then, have the same form in the careful way."""
    details = {"first": held.value, "last": "\ud800"}
    assert write(HEAD, [None], details, LIMIT, Lines(), FILES) != WriteResult.WRITTEN
    expected = fit({"first": held.value, "last": "\ud800"}, LIMIT)
    # An object counts as a level of its own; the container that stands for it does not.
    is_whole = expected.cut_from is None and "cut, too deep" not in str(expected.value)
    assert not is_whole or fit(details, LIMIT) == expected
