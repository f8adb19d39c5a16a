"""What a chain was given, as an example that MLflow can give it again; and what it returned."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
    convert_to_messages,
)
from langchain_core.prompt_values import ChatPromptValue, StringPromptValue
from pydantic import BaseModel

from langchain_autotrace.models.example import NoFormError, input_example, output_form


class Question(BaseModel):
    text: str
    document: Document | None = None


@dataclasses.dataclass
class Pair:
    left: object
    right: object


CALL = {"name": "add", "args": {"a": 1}, "id": "call-1"}
CALLED = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"type": "function", "id": "call-1", "function": {"name": "add", "arguments": '{"a":1}'}}],
}
PARTS: list[Any] = [
    {"type": "text", "text": "hi"},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,cGl4ZWxz"}},
]


@pytest.mark.parametrize(
    ("given", "example"),
    [
        ("text", "text"),
        (None, None),
        (1.5, 1.5),
        ({"topic": "cats", 1: True}, {"topic": "cats", "1": True}),
        (StringPromptValue(text="hi"), "hi"),
        (HumanMessage("hi"), {"messages": [{"role": "user", "content": "hi"}]}),
        (ChatPromptValue(messages=[SystemMessage("s")]), {"messages": [{"role": "system", "content": "s"}]}),
        (
            [("human", "hi"), AIMessage("yes")],
            {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}]},
        ),
        ([AIMessage("", tool_calls=[CALL])], [[CALLED]]),
        ([HumanMessage(PARTS)], [[{"role": "user", "content": PARTS}]]),
        ({"messages": [("ai", "hi")]}, {"messages": [{"role": "assistant", "content": "hi"}]}),
        ([("left", "right")], [[["left", "right"]]]),
        ([1, 2], [[1, 2]]),
        ([], [[]]),
        (Question(text="hi"), {"text": "hi", "document": None}),
        (Document("text", metadata={"page": 1}), {"page_content": "text", "metadata": {"page": 1}}),
        (Pair(1, Pair("a", (2,))), {"left": 1, "right": {"left": "a", "right": [2]}}),
    ],
)
def test_input(given: object, example: Any) -> None:
    """An input is an example in the form that MLflow makes the same input of."""
    assert input_example(given) == example


@pytest.mark.parametrize(
    "message",
    [
        HumanMessage("hi"),
        HumanMessage(PARTS),
        HumanMessage("hi", name="ada"),
        AIMessage("", tool_calls=[CALL]),
        ToolMessage("3", tool_call_id="call-1"),
        HumanMessage([{"type": "text", "text": "read"}, {"type": "file", "file": {"file_id": "f-1"}}]),
    ],
)
def test_message_that_langchain_reads(message: BaseMessage) -> None:
    """LangChain makes the same message of its example, as chat models do with what they are given."""
    example = input_example([message])
    assert convert_to_messages(example["messages"] if isinstance(example, dict) else example[0]) == [message]


@pytest.mark.parametrize(
    "given", [object(), b"x", {1, 2}, float("inf"), 2**63, -(2**5000), "\ud800", {"\udfff": 1}, [RemoveMessage("1")]]
)
def test_no_form(given: object) -> None:
    """What JSON does not have is no example."""
    with pytest.raises(NoFormError):
        input_example(given)


def test_output() -> None:
    """An output is JSON; one with messages has no form, for MLflow returns those in one of its own."""
    assert output_form({"found": [Document("a")], "pair": Pair(1, None)}) == {
        "found": [{"page_content": "a", "metadata": {}}],
        "pair": {"left": 1, "right": None},
    }
    for returned in (AIMessage("x"), {"messages": [AIMessage("x")]}):
        with pytest.raises(NoFormError):
            output_form(returned)
