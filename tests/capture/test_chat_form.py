"""Messages of LangChain's classes, written by capture, have the JSON form that the tests of ``trace/`` start from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, Literal

import pytest
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    ChatMessageChunk,
    FunctionMessage,
    FunctionMessageChunk,
    HumanMessage,
    HumanMessageChunk,
    RemoveMessage,
    SystemMessage,
    SystemMessageChunk,
    ToolMessage,
    ToolMessageChunk,
)

from langchain_autotrace.capture.cut import fit
from langchain_autotrace.trace.chat import chat_message

CASES: Final = Path(__file__).parents[1] / "trace" / "events" / "messages.json"


class Special(HumanMessage):
    """A user's own kind of message."""

    type: Literal["special"] = "special"  # type: ignore[assignment]


class Own(BaseMessage):
    """A message that extends none of LangChain's kinds."""

    type: str = "own"


CALL: Any = {"name": "add", "args": {"a": 1}, "id": "c1", "type": "tool_call"}
CALLED: Any = {"type": "function", "id": "c1", "function": {"name": "add", "arguments": '{"a":1}'}}
PNG: Final = "iVBORw0KGgo="
PNG_BYTES: Final = b"\x89PNG\r\n\x1a\n"
PNG_URL: Final = "data:image/png;base64," + PNG
WAV: Final = "UklGRg=="


def user(*blocks: Any) -> HumanMessage:
    """A user's message of blocks."""
    return HumanMessage(list(blocks))


def model(*blocks: Any, **more: Any) -> AIMessage:
    """A model's message of blocks."""
    return AIMessage(list(blocks), **more)


MESSAGES: dict[str, BaseMessage] = {
    "user": HumanMessage("hi"),
    "user with a name and an id": HumanMessage("hi", name="ada", id="1"),
    "user, a chunk": HumanMessageChunk(content="hi"),
    "user, a program's own class": Special(content="hi"),
    "system": SystemMessage("be brief", name="boss"),
    "system, a chunk": SystemMessageChunk(content="hi"),
    "tool": ToolMessage("3", tool_call_id="c1"),
    "tool, a chunk": ToolMessageChunk(content="3", tool_call_id="c1"),
    "tool that failed": ToolMessage("no", tool_call_id="c1", status="error"),
    "tool that failed, with blocks, a name and an artifact": ToolMessage(
        [{"type": "text", "text": "no"}], tool_call_id="c1", status="error", name="add", artifact={"rows": {1}}
    ),
    "function": FunctionMessage(content="3", name="add"),
    "function, a chunk": FunctionMessageChunk(content="3", name="add"),
    "chat message of a known role": ChatMessage(content="x", role="user"),
    "chat message of a role that the pages do not know": ChatMessage(content="x", role="critic"),
    "chat message of such a role, a chunk": ChatMessageChunk(content="x", role="critic"),
    "a program's own class of no known kind": Own(content="hi"),
    "removal of a message": RemoveMessage("1"),
    "model": AIMessage("yes"),
    "model, a chunk": AIMessageChunk(content="ye"),
    "model that says nothing": AIMessage(""),
    "model that says nothing, in blocks": AIMessage([]),
    "model with its usage and the facts of the response": AIMessage(
        "yes",
        id="run-1",
        usage_metadata={"input_tokens": 3, "output_tokens": 1, "total_tokens": 4},
        response_metadata={"model_name": "m-2024", "finish_reason": "stop"},
    ),
    "tool call": AIMessage("", tool_calls=[CALL]),
    "tool call beside a text": AIMessage("so", tool_calls=[CALL]),
    "tool call without an id, in a chunk": AIMessageChunk(content="", tool_calls=[CALL | {"id": None}]),
    "tool call with arguments that JSON does not have": AIMessage(
        "", tool_calls=[{**CALL, "args": {"a": {1}, "b": "\ud800"}}]
    ),
    "tool call with broken arguments": AIMessage(
        "", invalid_tool_calls=[{"name": "add", "args": "{a", "id": "c1", "error": "no JSON"}]
    ),
    "tool call with nothing in it": AIMessage(
        "", invalid_tool_calls=[{"name": None, "args": None, "id": None, "error": "x"}]
    ),
    "tool calls, one valid and one broken": AIMessage(
        "", tool_calls=[CALL], invalid_tool_calls=[{"name": "add", "args": "{a", "id": "c2", "error": "x"}]
    ),
    "tool call in OpenAI's raw form": AIMessage("", additional_kwargs={"tool_calls": [{**CALLED, "index": 0}]}),
    "function call, OpenAI's form before tools": AIMessage(
        "", additional_kwargs={"function_call": {"name": "add", "arguments": '{"a":1}'}}
    ),
    "reasoning beside the answer": AIMessage("so", additional_kwargs={"reasoning_content": "because"}),
    "refusal beside an empty answer": AIMessage("", additional_kwargs={"refusal": "I will not"}),
    "spoken answer": AIMessage("", additional_kwargs={"audio": {"id": "a", "data": "UklG", "transcript": "heard"}}),
    "spoken answer of which only the transcript is left": AIMessage(
        "", additional_kwargs={"audio": {"transcript": "heard"}}
    ),
    "text blocks": user("a", {"type": "text", "text": "b", "index": 1}),
    "text with OpenAI's annotations": model(
        {"type": "output_text", "text": "b", "annotations": [{"type": "url_citation", "url": "u"}]}
    ),
    "text with Anthropic's citations": model(
        {"type": "text", "text": "b", "citations": [{"type": "char_location", "cited_text": "c"}]}
    ),
    "refusal as a block": model({"type": "refusal", "refusal": "no"}),
    "reasoning of LangChain": model({"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "so"}),
    "reasoning of Anthropic": model(
        {"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "redacted_thinking", "data": "x"}
    ),
    "reasoning of OpenAI": model(
        {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": text} for text in "ab"]}
    ),
    "reasoning of OpenAI, encrypted": model({"type": "reasoning", "encrypted_content": "x", "summary": []}),
    "reasoning of Bedrock": model(
        {"type": "reasoning_content", "reasoning_content": {"text": "hm", "signature": "s"}}
    ),
    "tool call that is a block of Anthropic too": model(
        {"type": "text", "text": "so"},
        {"type": "tool_use", "id": "c1", "name": "add", "input": {"a": 1}},
        tool_calls=[CALL],
    ),
    "tool call that is a block of LangChain too": model(CALL, tool_calls=[CALL]),
    "tool call that is a block of OpenAI's Responses API too": model(
        {"type": "function_call", "call_id": "c1", "name": "add", "arguments": "{}"}, tool_calls=[CALL]
    ),
    "tool call that is only a block": model({"type": "tool_use", "id": "c1", "name": "add", "input": {}}),
    "tool result of Anthropic": user(
        {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "3"}]}
    ),
    "image of OpenAI": user({"type": "image_url", "image_url": {"url": PNG_URL}}),
    "image of OpenAI with a detail": user({"type": "image_url", "image_url": {"url": "u", "detail": "low"}}),
    "image of OpenAI, only the address": user({"type": "image_url", "image_url": PNG_URL}),
    "image of OpenAI's Responses API": user({"type": "input_image", "image_url": PNG_URL}),
    "image of LangChain by its address": user(
        {"type": "text", "text": "see"}, {"type": "image", "url": "https://x/y.png"}
    ),
    "image of LangChain": user({"type": "image", "base64": PNG, "mime_type": "image/png"}),
    "image of LangChain 0.3": user(
        {"type": "image", "source_type": "base64", "data": PNG, "mime_type": "image/png"}
    ),
    "image of LangChain 0.3 by its address": user({"type": "image", "source_type": "url", "url": PNG_URL}),
    "image of Anthropic": user(
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    ),
    "image of Anthropic by its address": user({"type": "image", "source": {"type": "url", "url": PNG_URL}}),
    "image of Bedrock, bytes": user({"image": {"format": "png", "source": {"bytes": PNG_BYTES}}}),
    "image of Bedrock with a type, bytes": user(
        {"type": "image", "image": {"format": "png", "source": {"bytes": PNG_BYTES}}}
    ),
    "image of Gemini": user({"type": "media", "mime_type": "image/png", "data": PNG}),
    "image that a model has made": model({"type": "image_generation_call", "id": "i", "result": PNG}),
    "sound of OpenAI": user({"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}}),
    "sound of LangChain": user({"type": "audio", "base64": WAV, "mime_type": "audio/wav"}),
    "sound of LangChain 0.3": user(
        {"type": "audio", "source_type": "base64", "data": WAV, "mime_type": "audio/x-wav; codecs=1"}
    ),
    "sound that the pages cannot play": user({"type": "audio", "base64": "T2dn", "mime_type": "audio/ogg"}),
    "file of OpenAI": user(
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVB"}}
    ),
    "file by its address": user({"type": "file", "url": "https://x/a.pdf", "mime_type": "application/pdf"}),
    "file by its id": user({"type": "input_file", "file_id": "f1"}),
    "document of Anthropic": user({"type": "document", "title": "T", "source": {"type": "text", "data": "x"}}),
    "video": user({"type": "video", "url": "https://x/a.mp4"}),
    "video of Gemini": user({"type": "media", "mime_type": "video/mp4", "data": "AAAA"}),
    "image by its id": user({"type": "image", "file_id": "f1"}),
    "server's tool call": model({"type": "server_tool_call", "name": "web_search", "args": {}, "id": "s"}),
    "server's tool call of Anthropic": model(
        {"type": "server_tool_use", "name": "web_search", "input": {}, "id": "s"}
    ),
    "server's tool result": model({"type": "server_tool_result", "tool_call_id": "s", "status": "success"}),
    "web search of OpenAI": model({"type": "web_search_call", "id": "w", "status": "completed"}),
    "block that is not standard": model({"type": "non_standard", "value": {"x": 1}}),
    "citation": model({"type": "citation", "title": "T"}),
    "text block without a text": model({"type": "text"}),
    "block of an unknown type": user({"type": "strange", "x": 1}),
    "block of an unknown type with nothing in it": user("hi", {"type": "strange"}),
}  # fmt: skip


def test_messages_as_capture_writes_them() -> None:
    """Capture writes a message of every class and provider in the JSON form that ``messages.json`` holds."""
    cases = {case["name"]: case["message"] for case in json.loads(CASES.read_text())}

    assert {name: fit(message, 10**6).value for name, message in MESSAGES.items()} == cases


@pytest.mark.parametrize(
    "message",
    [
        HumanMessage("hi"),
        SystemMessage("be brief"),
        AIMessage("yes"),
        AIMessage("", tool_calls=[CALL]),
        AIMessage("", invalid_tool_calls=[{"name": "add", "args": "{a", "id": "c1", "error": "x"}]),
        AIMessage("", additional_kwargs={"tool_calls": [CALLED]}),
        AIMessage([{"type": "text", "text": "so", "citations": []}]),
        ToolMessage("3", tool_call_id="c1"),
        ChatMessage(content="x", role="user"),
        user(
            {"type": "text", "text": "see", "cache_control": {}},
            {"type": "image_url", "image_url": {"url": PNG_URL}},
            {"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}},
        ),
        user(
            {"type": "text", "text": "a", "x": 1},
            {"type": "audio", "source_type": "base64", "data": WAV, "mime_type": "audio/mpeg"},
        ),
    ],
    ids=range(11),
)
def test_as_mlflow_does(message: BaseMessage) -> None:
    """A message has the chat form that MLflow's own converter makes of it, where that has one."""
    chat = pytest.importorskip("mlflow.langchain.utils.chat")
    theirs = chat.convert_lc_message_to_chat_message(message).model_dump(exclude_none=True, exclude_unset=True)
    ours: Any = chat_message(fit(message, 10**6).value)
    for call in [*ours.get("tool_calls", ()), *theirs.get("tool_calls", ())]:
        arguments = call["function"]["arguments"]
        call["function"]["arguments"] = json.loads(arguments) if arguments.endswith("}") else arguments
    ours.pop("name", None)
    ours = {key: value for key, value in ours.items() if value is not None}
    if isinstance(ours.get("content"), list):
        ours["content"] = [
            {key: part[key] for key in part if key in {"type", part["type"]}} for part in ours["content"]
        ]
    assert ours == theirs
