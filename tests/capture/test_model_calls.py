"""Messages, token usage, models and endings, as providers and LangChain give them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.outputs import ChatGeneration, Generation, LLMResult
from langgraph.errors import GraphBubbleUp, GraphInterrupt, ParentCommand
from langgraph.types import Command

from langchain_autotrace.capture import messages, status, usage
from langchain_autotrace.span import Outcome

CALL = {"type": "function", "id": "c1", "function": {"name": "add", "arguments": '{"a":1}'}}
BROKEN = {**CALL, "function": {"name": "add", "arguments": "{a"}}

MESSAGES: list[tuple[BaseMessage, dict[str, Any]]] = [
    (HumanMessage("hi"), {"role": "user", "content": "hi"}),
    (SystemMessage("be brief", name="boss"), {"role": "system", "content": "be brief", "name": "boss"}),
    (AIMessage("yes"), {"role": "assistant", "content": "yes"}),
    (AIMessageChunk(content="ye"), {"role": "assistant", "content": "ye"}),
    (
        AIMessage("", tool_calls=[{"name": "add", "args": {"a": 1}, "id": "c1"}]),
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
    ),
    (
        AIMessage("", invalid_tool_calls=[{"name": "add", "args": "{a", "id": "c1", "error": "no JSON"}]),
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{**CALL, "function": {"name": "add", "arguments": "{a"}}],
        },
    ),
    (
        AIMessage("so", additional_kwargs={"reasoning_content": "because"}),
        {"role": "assistant", "content": "so", "reasoning": "because"},
    ),
    (AIMessage("", additional_kwargs={"audio": {"transcript": "heard"}}), {"role": "assistant", "content": "heard"}),
    (ToolMessage("3", tool_call_id="c1"), {"role": "tool", "content": "3", "tool_call_id": "c1"}),
    (
        ToolMessage("no", tool_call_id="c1", status="error"),
        {"role": "tool", "content": "no", "tool_call_id": "c1", "status": "error"},
    ),
    (FunctionMessage(content="3", name="add"), {"role": "tool", "content": "3", "name": "add"}),
    (ChatMessage(content="x", role="critic"), {"role": "user", "content": "x", "name": "critic"}),
    (
        HumanMessage([{"type": "text", "text": "see"}, {"type": "image", "url": "https://x/y.png"}]),
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "see"},
                {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
            ],
        },
    ),
    (HumanMessage([{"type": "strange", "x": 1}]), {"role": "user", "content": [{"type": "strange", "x": 1}]}),
]


@pytest.mark.parametrize(("message", "form"), MESSAGES, ids=range(len(MESSAGES)))
def test_chat_messages(message: BaseMessage, form: dict[str, Any]) -> None:
    """A message has the form of MLflow's chat pages, and is itself unchanged."""
    before = message.model_copy(deep=True)
    assert messages.chat_message(message) == form
    assert message == before


def test_chat_inputs() -> None:
    """One conversation is a list of messages; several stay apart; what is no message passes."""
    said = {"role": "user", "content": "hi"}
    assert messages.chat_inputs([[HumanMessage("hi")]]) == {"messages": [said]}
    assert messages.chat_inputs([[HumanMessage("hi")], []]) == {"messages": [[said], []]}
    assert messages.chat_message("a text") == "a text"


def test_answers() -> None:
    """An answer is a list of choices with the reason why each ended, for chat and for text models."""
    chat = ChatGeneration(message=AIMessage("a", response_metadata={"stop_reason": "end_turn"}))
    text = Generation(text="b", generation_info={"finish_reason": "length"})
    assert messages.answer(LLMResult(generations=[[chat, text]])) == {
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "a"}, "finish_reason": "end_turn"},
            {"index": 1, "message": {"role": "assistant", "content": "b"}, "finish_reason": "length"},
        ]
    }


def test_tools() -> None:
    """Tool definitions of every provider come in one form."""
    schema = {"type": "object", "properties": {}}
    plain = {"type": "function", "function": {"name": "f", "description": "d", "parameters": schema}}
    assert messages.tools([plain]) == [plain]
    assert messages.tools([{"type": "function", "name": "f", "description": "d", "parameters": schema}]) == [plain]
    assert messages.tools([{"name": "f", "description": "d", "input_schema": schema}]) == [plain]
    assert messages.tools([{"type": "web_search"}]) == [{"type": "function", "function": {"name": "web_search"}}]
    assert messages.tools("nonsense") == []


def result(message: AIMessage | None = None, llm_output: Any = None, info: Any = None, times: int = 1) -> LLMResult:
    """A model's answer."""
    said: Any = Generation(text="x", generation_info=info) if message is None else ChatGeneration(message=message)
    return LLMResult(generations=[[said] * times], llm_output=llm_output)


def counts(**parts: Any) -> AIMessage:
    """A message with usage."""
    return AIMessage("x", usage_metadata={"input_tokens": 10, "output_tokens": 5, "total_tokens": 15, **parts})


BASE = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
OPENAI = {
    "prompt_tokens": 10,
    "completion_tokens": 5,
    "total_tokens": 15,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 2},
}


@pytest.mark.parametrize(
    ("response", "expected", "reasoning"),
    [
        (result(counts()), BASE, 0),
        (result(counts(), times=3), BASE, 0),
        (
            result(
                counts(
                    input_token_details={"cache_read": 4, "cache_creation": 3}, output_token_details={"reasoning": 2}
                )
            ),
            {**BASE, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 3},
            2,
        ),
        (result(AIMessage("x"), llm_output={"token_usage": OPENAI}), {**BASE, "cache_read_input_tokens": 4}, 2),
        (result(AIMessage("x", response_metadata={"token_usage": OPENAI})), {**BASE, "cache_read_input_tokens": 4}, 2),
        (result(None, llm_output={"token_usage": OPENAI}), {**BASE, "cache_read_input_tokens": 4}, 2),
        (
            result(AIMessage("x", response_metadata={"usage": {"input_tokens": 10, "output_tokens": 5}})),
            BASE,
            0,
        ),
        (
            result(None, info={"usage_metadata": {"prompt_token_count": 10, "candidates_token_count": 5}}),
            BASE,
            0,
        ),
        (result(None, info={"usage": {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15}}), BASE, 0),
        (result(AIMessage("x"), llm_output={"token_usage": {"prompt_tokens": None, "x": "y"}}), {}, 0),
        (result(AIMessage("x"), llm_output={"token_usage": "none"}), {}, 0),
        (result(AIMessage("x")), {}, 0),
        (LLMResult(generations=[]), {}, 0),
    ],
)
def test_usage(response: LLMResult, expected: dict[str, int], reasoning: int) -> None:
    """Tokens are found under every provider's keys, and counted once."""
    found = usage.facts(response)[0]
    assert (found.counts, found.reasoning, found.cached) == (expected, reasoning, False)


def test_a_cached_answer() -> None:
    """An answer from LangChain's cache cost nothing, and says what it had cost."""
    found = usage.facts(result(counts(total_cost=0)))[0]
    assert (found.counts, found.cached) == ({}, True)
    assert found.details["input_tokens"] == 10


def test_models() -> None:
    """The model that answered comes from the response, wherever it names it."""
    assert usage.facts(result(AIMessage("x", response_metadata={"model_name": "m-2024"})))[1] == "m-2024"
    assert usage.facts(result(AIMessage("x", response_metadata={"model": "m2"})))[1] == "m2"
    assert usage.facts(result(None, llm_output={"model_name": "m3"}))[1] == "m3"
    assert usage.facts(result(AIMessage("x")))[1] is None


class Mute(Exception):  # noqa: N818 - a name
    """Has no text."""

    def __str__(self) -> str:
        raise RuntimeError("mute")


@pytest.mark.parametrize(
    ("error", "ending"),
    [
        (ValueError("bad"), ("ERROR", None, "ValueError: bad", False)),
        (KeyboardInterrupt(), ("ERROR", None, "KeyboardInterrupt", False)),
        (Mute(), ("ERROR", None, "Mute", False)),
        (TimeoutError("late"), ("ERROR", None, "TimeoutError: late", False)),
        (asyncio.CancelledError(), ("ERROR", Outcome.CANCELLED, "CancelledError", False)),
        (GeneratorExit(), ("OK", Outcome.ABANDONED, "", False)),
        (GraphInterrupt(()), ("OK", Outcome.INTERRUPTED, "", True)),
        (GraphBubbleUp(), ("OK", Outcome.INTERRUPTED, "", False)),
        (ParentCommand(Command()), ("OK", Outcome.INTERRUPTED, "", False)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_endings(error: BaseException, ending: tuple[Any, ...]) -> None:
    """Each way to leave a run has its status, its outcome and its message."""
    assert tuple(status.ending(error)) == ending


def test_exception_attributes() -> None:
    """An exception event has OpenTelemetry's attributes, also for exceptions with causes or without a text."""
    try:
        raise ValueError("bad") from KeyError("why")  # noqa: TRY301 - to have a cause
    except ValueError as error:
        found = status.exception_attributes(error)
    assert (found["exception.type"], found["exception.message"]) == ("ValueError", "bad")
    assert "KeyError: 'why'" in found["exception.stacktrace"]
    assert status.exception_attributes(Mute())["exception.type"] == "tests.capture.test_model_calls.Mute"
    group = ExceptionGroup("two", [ValueError("a"), ValueError("b")])
    assert "ValueError: b" in status.exception_attributes(group)["exception.stacktrace"]
