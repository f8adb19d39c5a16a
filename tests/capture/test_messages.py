"""Messages, answers and tools have the form that MLflow's pages show, whoever made them."""

from __future__ import annotations

import copy
import json
import sys
from types import BuiltinFunctionType
from typing import Any, Literal
from unittest.mock import MagicMock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    ChatMessageChunk,
    FunctionMessageChunk,
    HumanMessage,
    HumanMessageChunk,
    RemoveMessage,
    SystemMessage,
    SystemMessageChunk,
    ToolMessage,
    ToolMessageChunk,
)
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, Generation, GenerationChunk, LLMResult
from langchain_core.tools import tool

from langchain_autotrace.capture.compiled import compiled_module
from langchain_autotrace.capture.encode import encode
from langchain_autotrace.capture.messages import (
    answer,
    chat_inputs,
    chat_message,
    finish_reason,
    once,
    python_chat_message,
    tools,
)


class Special(HumanMessage):
    """A user's own kind of message."""

    type: Literal["special"] = "special"  # type: ignore[assignment]


class Own(BaseMessage):
    """A message of no known kind."""

    type: str = "own"


CALL: Any = {"name": "add", "args": {"a": 1}, "id": "c1", "type": "tool_call"}
CALLED = {"type": "function", "id": "c1", "function": {"name": "add", "arguments": '{"a":1}'}}
PNG = "iVBORw0KGgo="
PNG_URL = "data:image/png;base64," + PNG
IMAGE = {"type": "image_url", "image_url": {"url": PNG_URL}}
SOUND = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}


def user(*blocks: Any) -> HumanMessage:
    """A message of blocks."""
    return HumanMessage(list(blocks))


def said(content: object, **more: object) -> dict[str, object]:
    """A model's message as it should be."""
    return {"role": "assistant", "content": content, **more}


MESSAGES: list[tuple[BaseMessage, dict[str, Any]]] = [
    (HumanMessageChunk(content="hi"), {"role": "user", "content": "hi"}),
    (HumanMessage("hi", name="ada", id="1"), {"role": "user", "content": "hi", "name": "ada"}),
    (SystemMessageChunk(content="hi"), {"role": "system", "content": "hi"}),
    (ToolMessageChunk(content="3", tool_call_id="c1"), {"role": "tool", "content": "3", "tool_call_id": "c1"}),
    (
        ToolMessage([{"type": "text", "text": "no"}], tool_call_id="c1", status="error", name="add", artifact=object()),
        {"role": "tool", "content": "no", "name": "add", "tool_call_id": "c1", "status": "error"},
    ),
    (FunctionMessageChunk(content="3", name="add"), {"role": "tool", "content": "3", "name": "add"}),
    (ChatMessageChunk(content="x", role="critic"), {"role": "user", "content": "x", "name": "critic"}),
    (ChatMessage(content="x", role="user"), {"role": "user", "content": "x"}),
    (Special(content="hi"), {"role": "user", "content": "hi"}),
    (Own(content="hi"), {"role": "user", "content": "hi", "name": "own"}),
    (RemoveMessage("1"), {"role": "user", "content": "", "name": "remove"}),
    (AIMessage(""), said("")),
    (AIMessage([]), said([])),
    (AIMessage("so", tool_calls=[CALL]), said("so", tool_calls=[CALLED])),
    (AIMessageChunk(content="", tool_calls=[CALL | {"id": None}]), said(None, tool_calls=[{**CALLED, "id": ""}])),
    (
        AIMessage("", tool_calls=[{**CALL, "args": {"a": {1}, "b": "\ud800"}}]),
        said(None, tool_calls=[{**CALLED, "function": {"name": "add", "arguments": '{"a":[1],"b":"\\\\ud800"}'}}]),
    ),
    (
        AIMessage("", invalid_tool_calls=[{"name": None, "args": None, "id": None, "error": "x"}]),
        said(None, tool_calls=[{"type": "function", "id": "", "function": {"name": "", "arguments": ""}}]),
    ),
    (
        AIMessage("", tool_calls=[CALL], invalid_tool_calls=[{"name": "add", "args": "{a", "id": "c2", "error": "x"}]),
        said(None, tool_calls=[CALLED, {**CALLED, "id": "c2", "function": {"name": "add", "arguments": "{a"}}]),
    ),
    (AIMessage("", additional_kwargs={"tool_calls": [{**CALLED, "index": 0}]}), said(None, tool_calls=[CALLED])),
    (
        AIMessage("", additional_kwargs={"function_call": {"name": "add", "arguments": '{"a":1}'}}),
        said(None, tool_calls=[{**CALLED, "id": ""}]),
    ),
    (AIMessage("so", additional_kwargs={"reasoning_content": "hm"}), said("so", reasoning="hm")),
    (AIMessage("", additional_kwargs={"refusal": "I will not"}), said("I will not", refusal="I will not")),
    (
        AIMessage("", additional_kwargs={"audio": {"id": "a", "data": "UklG", "transcript": "heard"}}),
        said("heard", audio={"id": "a", "data": "UklG", "transcript": "heard"}),
    ),
    # Text, and what came with it.
    (user("a", {"type": "text", "text": "b", "index": 1}), {"role": "user", "content": "a\nb"}),
    (
        AIMessage([{"type": "output_text", "text": "b", "annotations": [{"type": "url_citation", "url": "u"}]}]),
        said([{"type": "text", "text": "b", "annotations": [{"type": "url_citation", "url": "u"}]}]),
    ),
    (
        AIMessage([{"type": "text", "text": "b", "citations": [{"type": "char_location", "cited_text": "c"}]}]),
        said([{"type": "text", "text": "b", "citations": [{"type": "char_location", "cited_text": "c"}]}]),
    ),
    (AIMessage([{"type": "refusal", "refusal": "no"}]), said([{"type": "text", "text": "no", "refusal": "no"}])),
    # Thoughts: LangChain's, Anthropic's, OpenAI's, Bedrock's.
    (
        AIMessage([{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "so"}]),
        said("so", reasoning="hm"),
    ),
    (
        AIMessage([{"type": "thinking", "thinking": "hm"}, {"type": "redacted_thinking", "data": "x"}]),
        said([], reasoning="hm"),
    ),
    (
        AIMessage([{"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": t} for t in "ab"]}]),
        said([], reasoning="a\nb"),
    ),
    (
        AIMessage([{"type": "reasoning_content", "reasoning_content": {"text": "hm", "signature": "s"}}]),
        said([], reasoning="hm"),
    ),
    (AIMessage([{"type": "reasoning", "encrypted_content": "x", "summary": []}]), said([])),
    # Tool calls that stand in the content too: Anthropic's, LangChain's, OpenAI's Responses API's.
    (
        AIMessage(
            [{"type": "text", "text": "so"}, {"type": "tool_use", "id": "c1", "name": "add", "input": {"a": 1}}],
            tool_calls=[CALL],
        ),
        said("so", tool_calls=[CALLED]),
    ),
    (AIMessage([CALL], tool_calls=[CALL]), said(None, tool_calls=[CALLED])),
    (
        AIMessage([{"type": "function_call", "call_id": "c1", "name": "add", "arguments": "{}"}], tool_calls=[CALL]),
        said(None, tool_calls=[CALLED]),
    ),
    (
        AIMessage([{"type": "tool_use", "id": "c1", "name": "add", "input": {}}]),
        said([{"type": "text", "text": "[tool_use add]"}
              | {"block": {"type": "tool_use", "id": "c1", "name": "add", "input": {}}}]),
    ),
    (
        user({"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "3"}]}),
        {"role": "user", "content": [{"type": "text", "text": "3"}
         | {"block": {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "3"}]}}]},
    ),
]  # fmt: skip

IMAGES: list[Any] = [
    {"type": "image_url", "image_url": {"url": PNG_URL}},
    {"type": "image_url", "image_url": PNG_URL},
    {"type": "input_image", "image_url": PNG_URL},
    {"type": "image", "url": PNG_URL},
    {"type": "image", "base64": PNG, "mime_type": "image/png"},
    {"type": "image", "source_type": "base64", "data": PNG, "mime_type": "image/png"},
    {"type": "image", "source_type": "url", "url": PNG_URL},
    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
    {"type": "image", "source": {"type": "url", "url": PNG_URL}},
    {"type": "image", "image": {"format": "png", "source": {"bytes": b"\x89PNG\r\n\x1a\n"}}},
    {"image": {"format": "png", "source": {"bytes": b"\x89PNG\r\n\x1a\n"}}},
    {"type": "media", "mime_type": "image/png", "data": PNG},
    {"type": "image_generation_call", "id": "i", "result": PNG},
]
SOUNDS: list[Any] = [
    {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
    {"type": "audio", "base64": "UklGRg==", "mime_type": "audio/wav"},
    {"type": "audio", "source_type": "base64", "data": "UklGRg==", "mime_type": "audio/x-wav; codecs=1"},
]
NAMED: dict[str, Any] = {
    "[file a.pdf]": {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVB"}},
    "[file https://x/a.pdf]": {"type": "file", "url": "https://x/a.pdf", "mime_type": "application/pdf"},
    "[input_file f1]": {"type": "input_file", "file_id": "f1"},
    "[document T]": {"type": "document", "title": "T", "source": {"type": "text", "data": "x"}},
    "[video https://x/a.mp4]": {"type": "video", "url": "https://x/a.mp4"},
    "[audio audio/ogg]": {"type": "audio", "base64": "T2dn", "mime_type": "audio/ogg"},
    "[image f1]": {"type": "image", "file_id": "f1"},
    "[media video/mp4]": {"type": "media", "mime_type": "video/mp4", "data": "AAAA"},
    "[server_tool_call web_search]": {"type": "server_tool_call", "name": "web_search", "args": {}, "id": "s"},
    "[server_tool_use web_search]": {"type": "server_tool_use", "name": "web_search", "input": {}, "id": "s"},
    "[server_tool_result]": {"type": "server_tool_result", "tool_call_id": "s", "status": "success"},
    "[web_search_call]": {"type": "web_search_call", "id": "w", "status": "completed"},
    "[non_standard]": {"type": "non_standard", "value": {"x": 1}},
    "[citation T]": {"type": "citation", "title": "T"},
    "[text]": {"type": "text"},
}


def block_shown(block: Any) -> bool:
    """What MLflow 3.17's pages ask of a block."""
    match block:
        case {"type": "text" | "input_text" | "output_text", "text": str()}:
            return True
        case {"type": "image_url", "image_url": {"url": str(), **more}}:
            return more.get("detail") in (None, "auto", "low", "high")
        case {"type": "input_audio", "input_audio": {"data": str(), **more}}:
            return more.get("format") in (None, "wav", "mp3")
    return False


def shown(message: Any) -> bool:
    """What MLflow 3.17's pages ask of each message of a chat, else they show none of it (their ``4181.*.chunk.js``)."""
    for call in message.get("tool_calls") or ():
        match call:
            case {"id": str(), "function": {"name": str(), "arguments": str()}}:
                continue
        return False
    content = message.get("content")
    fits = content is None or isinstance(content, str) or all(block_shown(block) for block in content)
    return fits and message["role"] in {"user", "assistant", "system", "tool"}


@pytest.mark.parametrize(("message", "form"), MESSAGES, ids=range(len(MESSAGES)))
def test_messages(message: BaseMessage, form: dict[str, Any]) -> None:
    """A message of any kind has MLflow's form, is shown, and is itself left alone."""
    before = copy.deepcopy(message)
    assert chat_message(message) == form
    assert message.model_dump(exclude={"artifact"}) == before.model_dump(exclude={"artifact"})
    assert shown(json.loads(encode(form, 10_000).json))


@pytest.mark.parametrize("blocks", [IMAGES, SOUNDS], ids=["images", "sounds"])
def test_media(blocks: list[Any]) -> None:
    """An image or a sound has one form, whichever provider's the block was."""
    expected = IMAGE if blocks is IMAGES else SOUND
    assert chat_message(user(*blocks)) == {"role": "user", "content": [expected] * len(blocks)}
    low = chat_message(user({"type": "image_url", "image_url": {"url": "u", "detail": "low"}}))
    assert low == {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u", "detail": "low"}}]}


def test_other_blocks() -> None:
    """A block that MLflow's pages cannot show is named in a text, with the block beside it."""
    form: Any = chat_message(user(*NAMED.values()))
    assert form["content"] == [{"type": "text", "text": name, "block": block} for name, block in NAMED.items()]
    assert shown(form)


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
types = [
    "text",
    "image",
    "image_url",
    "media",
    "audio",
    "input_audio",
    "reasoning",
    "thinking",
    "tool_use",
    "tool_result",
]
keys = [
    "text",
    "url",
    "image_url",
    "source",
    "image",
    "data",
    "base64",
    "input_audio",
    "reasoning",
    "summary",
    "content",
]
blocks = st.builds(
    lambda kind, more: {"type": kind, **more},
    st.sampled_from([*types, "file", "non_standard", "refusal", "web_search_call", "image_generation_call"]),
    st.dictionaries(st.sampled_from([*keys, "detail", "mime_type", "format", "name", "file", "result"]), json_like),
)


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.lists(blocks | st.text(), max_size=4), st.sampled_from([AIMessage, HumanMessage, SystemMessage]))
def test_any_blocks(content: list[Any], kind: Any) -> None:
    """However odd a known block is, the message is shown or left as it is, and nothing is raised."""
    message = kind(content)
    form = chat_message(message)
    assert form is message or shown(form)


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
        user({"type": "text", "text": "see", "cache_control": {}}, IMAGE, SOUND),
        user({"type": "text", "text": "a", "x": 1}, {"type": "audio", "source_type": "base64", "data": "UklGRg=="}
             | {"mime_type": "audio/mpeg"}),
    ],
    ids=range(11),
)  # fmt: skip
def test_as_mlflow_does(message: BaseMessage) -> None:
    """The form is that of MLflow's own converter, where it has one, and its own pages show it."""
    chat = pytest.importorskip("mlflow.langchain.utils.chat")
    theirs = chat.convert_lc_message_to_chat_message(message).model_dump(exclude_none=True, exclude_unset=True)
    ours: Any = copy.deepcopy(chat_message(message))
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


def test_inputs() -> None:
    """One conversation is a list of messages, several are lists; what is no message, or none of ours, passes."""
    hi = {"role": "user", "content": "hi"}
    assert chat_inputs([[HumanMessage("hi")]]) == {"messages": [hi]}
    assert chat_inputs([[HumanMessage("hi")], []]) == {"messages": [[hi], []]}
    odd: list[Any] = [("user", "hi"), {"role": "user"}, None, HumanMessage.model_construct()]
    assert chat_inputs([odd]) == {"messages": odd}
    encode(chat_inputs([[MagicMock(spec=AIMessage)]]), 1_000)


def test_answers() -> None:
    """An answer is a list of choices, each with the reason why it ended; so is that of a model of texts."""
    found = LLMResult(
        generations=[
            [
                ChatGeneration(message=AIMessage("a"), generation_info={"finish_reason": "stop"}),
                ChatGenerationChunk(message=AIMessageChunk(content="b", response_metadata={"stop_reason": "end_turn"})),
                ChatGeneration(message=AIMessage("c", response_metadata={"done_reason": "length"})),
                GenerationChunk(text="d"),
            ],
            [Generation(text="e", generation_info={"finish_reason": None})],
        ]
    )
    reasons = ["stop", "end_turn", "length", None, None]
    assert answer(found) == {
        "choices": [
            {"index": index, "message": said(text), "finish_reason": reason}
            for index, (text, reason) in enumerate(zip("abcde", reasons, strict=True))
        ]
    }
    assert answer(LLMResult(generations=[])) == {"choices": []}


def test_once() -> None:
    """What LangChain has added up from a stream's chunks is said once."""
    chunk = AIMessageChunk(content="a", response_metadata={"finish_reason": "stop", "model_name": "gpt-4o"})
    assert finish_reason(None, (chunk + chunk + chunk).response_metadata) == "stop"
    texts = ["stop", "", "aa", "gogo", "gpt-4o-gpt-4", "tool_calls"]
    assert [once(text) for text in texts] == texts
    assert once("tool_calls" * 2) == "tool_calls"


SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
ADD = {"type": "function", "function": {"name": "add", "description": "d", "parameters": SCHEMA}}
FLAT = {"name": "add", "description": "d", "parameters": SCHEMA}
TOOLS: list[Any] = [
    [ADD],
    [{"type": "function", **FLAT}],
    [FLAT],
    [{"name": "add", "description": "d", "input_schema": SCHEMA}],
    [{"type": "custom", "name": "add", "description": "d", "input_schema": SCHEMA}],
    {"tools": [{"toolSpec": {"name": "add", "description": "d", "inputSchema": {"json": SCHEMA}}}]},
    [{"toolSpec": {"name": "add", "description": "d", "inputSchema": {"json": SCHEMA}}}],
    [{"function_declarations": [FLAT]}],
    ({"functionDeclarations": (FLAT,)},),
]


@pytest.mark.parametrize("definitions", TOOLS, ids=range(len(TOOLS)))
def test_tools(definitions: Any) -> None:
    """A tool has one form, whichever provider's its definition was, and the definition is left alone."""
    before = copy.deepcopy(definitions)
    assert tools(definitions) == [ADD]
    assert definitions == before


def test_other_tools() -> None:
    """A provider's own tool is kept by its type, an object by its name, and no definition raises."""

    @tool
    def add(a: int) -> int:
        """Add."""
        return a

    class Search:
        """A class."""

    offered = [
        {"type": "web_search_20250305", "name": "web_search"},
        {"type": "mcp", "server_label": "x"},
        {"google_search": {}},
    ]
    names = ["web_search", "mcp", "google_search", "add", "Search", "tool"]
    assert tools([*offered, add, Search, {}, None, 3]) == [{"type": "function", "function": {"name": n}} for n in names]
    assert tools([{"type": "function", "function": {**FLAT, "strict": True, "description": None}}]) == [
        {"type": "function", "function": {"name": "add", "parameters": SCHEMA, "strict": True}}
    ]
    mixed = {"type": "object", "properties": {"a": {"type": ["string", "null"], "title": "A"}, "b": True}}
    mended = {
        "type": "object",
        "properties": {"a": {"title": "A", "anyOf": [{"type": "string"}, {"type": "null"}]}, "b": True},
    }
    assert tools([{"name": "f", "parameters": mixed}]) == [
        {"type": "function", "function": {"name": "f", "parameters": mended}}
    ]
    nothing: list[Any] = [None, "text", 3, [], [[], "text"]]
    assert [tools(one) for one in nothing] == [[]] * 5


held = st.none() | st.text(max_size=5) | st.lists(st.text(max_size=2), max_size=2)
anything = st.one_of(
    st.builds(
        lambda kind, content, more: kind.model_construct(
            **({"content": content} if content is not None else {}), **more
        ),
        st.sampled_from([AIMessage, HumanMessage, SystemMessage, AIMessageChunk, ToolMessage]),
        held,
        st.dictionaries(st.sampled_from(["name", "additional_kwargs", "tool_calls", "invalid_tool_calls", "id"]), held),
    ),
    st.sampled_from(
        [HumanMessage("hi"), AIMessage("a", name="b"), AIMessage("", tool_calls=[CALL]), None, "a", 1, object]
    ),
)


@settings(max_examples=300, deadline=None)
@given(anything)
def test_compiled(message: Any) -> None:
    """What is compiled makes the same of a message, however it was made, and keeps nothing of it."""
    compiled = compiled_module() or pytest.skip("not compiled, or not wanted")
    assert isinstance(chat_message, BuiltinFunctionType)
    held = [message, *vars(message).values()] if isinstance(message, BaseMessage) else []
    held = [one for one in held if one is not None]
    counts = [sys.getrefcount(one) for one in held]
    for _ in range(3):
        assert chat_message(message) == python_chat_message(message)
    assert [sys.getrefcount(one) for one in held] == counts
    with pytest.raises(ZeroDivisionError):
        compiled.chat_former({}, (), lambda _message: 1 // 0)(message)


@pytest.mark.parametrize("arguments", [(), ({}, (), str, 1), ([], (), str), ({}, [], str)], ids=str)
def test_compiled_wrongly(arguments: tuple[Any, ...]) -> None:
    """What cannot be right is an error, no crash."""
    compiled = compiled_module() or pytest.skip("not compiled, or not wanted")
    with pytest.raises(TypeError):
        compiled.chat_former(*arguments)
