"""Messages, answers and tools have the form that MLflow's pages show, whichever provider they come from."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_autotrace.trace.chat import chat_answer, chat_inputs, chat_message, finish_reason, once, text_of, tools

CASES: Final[list[dict[str, Any]]] = json.loads((Path(__file__).parent / "events" / "messages.json").read_text())
"""Messages as capture writes them (``tests/capture/test_chat_form.py`` compares), and their chat form."""


def said(content: object, **more: object) -> dict[str, object]:
    """A model's message in chat form."""
    return {"role": "assistant", "content": content, **more}


def is_shown_block(block: Any) -> bool:
    """Whether MLflow 3.17's pages show a block."""
    match block:
        case {"type": "text" | "input_text" | "output_text", "text": str()}:
            return True
        case {"type": "image_url", "image_url": {"url": str(), **more}}:
            return more.get("detail") in (None, "auto", "low", "high")
        case {"type": "input_audio", "input_audio": {"data": str(), **more}}:
            return more.get("format") in (None, "wav", "mp3")
    return False


def is_shown(message: Any) -> bool:
    """Whether MLflow 3.17's pages show a message; when not, they show no other of its chat (``4181.*.chunk.js``)."""
    for call in message.get("tool_calls") or ():
        match call:
            case {"id": str(), "function": {"name": str(), "arguments": str()}}:
                continue
        return False
    content = message.get("content")
    fits = content is None or isinstance(content, str) or all(is_shown_block(block) for block in content)
    return fits and message["role"] in {"user", "assistant", "system", "tool"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_message(case: dict[str, Any]) -> None:
    """A message has the form of MLflow's chat pages, and is itself unchanged."""
    before = copy.deepcopy(case["message"])

    assert chat_message(case["message"]) == case["chat"]
    assert case["message"] == before


@pytest.mark.parametrize(
    "case", [case for case in CASES if "unknown type" not in case["name"]], ids=lambda x: x["name"]
)
def test_a_message_on_the_pages(case: dict[str, Any]) -> None:
    """The pages show a message, unless it holds a block of a type that nobody knows."""
    assert is_shown(case["chat"])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
block_types = st.sampled_from(
    [
        *("text", "image", "image_url", "media", "audio", "input_audio", "reasoning", "thinking", "tool_use"),
        *("tool_result", "file", "non_standard", "refusal", "web_search_call", "image_generation_call"),
    ]
)
block_keys = st.sampled_from(
    [
        *("text", "url", "image_url", "source", "image", "data", "base64", "input_audio", "reasoning", "summary"),
        *("content", "detail", "mime_type", "format", "name", "file", "result"),
    ]
)
blocks = st.builds(lambda kind, more: {"type": kind, **more}, block_types, st.dictionaries(block_keys, json_values))


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.lists(blocks | st.text(), max_size=4), st.sampled_from(["ai", "human", "system"]))
def test_odd_blocks_of_known_types(content: list[Any], kind: str) -> None:
    """However odd a block of a known type is, its message is shown or left as it is, and nothing is raised."""
    message = {"type": kind, "content": content}
    form = chat_message(message)

    assert form is message or is_shown(form)


fields = st.dictionaries(
    st.sampled_from(
        [
            *("name", "role", "id", "tool_calls", "invalid_tool_calls", "tool_call_id", "status", "usage_metadata"),
            *("additional_kwargs", "response_metadata", "generations", "message", "text", "generation_info"),
        ]
    ),
    json_values,
)
odd_messages = json_values | st.builds(
    lambda kind, content, more: {"type": kind, "content": content, **more},
    st.sampled_from(["ai", "human", "tool", "AIMessageChunk", "function", "strange", None, 3]),
    json_values,
    fields,
)
odd_answers = json_values | st.builds(
    lambda batches: {"generations": batches}, st.lists(st.lists(fields | json_values))
)
parameters = st.sampled_from(["type", "name", "function", "toolSpec", "parameters", "input_schema", "properties"])
odd_tools = json_values | st.lists(
    st.dictionaries(parameters, json_values | st.dictionaries(parameters, json_values, max_size=3), max_size=4)
)


@settings(max_examples=100, derandomize=True, deadline=None)
@given(odd_messages, odd_answers, odd_tools)
def test_any_json(message: Any, answer: Any, definitions: Any) -> None:
    """Nothing is raised for JSON of any other form."""
    for given_message in (message, [[message]], [[message], message]):
        chat_message(given_message)
        chat_inputs(given_message)
        text_of(given_message)
    chat_answer(answer)
    finish_reason({"generation_info": answer, "message": message})
    assert isinstance(tools(definitions), list)


def test_one_conversation() -> None:
    """A model asked in one conversation has a list of messages."""
    messages = [{"type": "system", "content": "be brief"}, {"type": "human", "content": "hi"}]

    assert chat_inputs([messages]) == {
        "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}]
    }


def test_several_conversations() -> None:
    """A model asked in several conversations at once has a list for each."""
    assert chat_inputs([[{"type": "human", "content": "hi"}], []]) == {
        "messages": [[{"role": "user", "content": "hi"}], []]
    }
    assert chat_inputs([]) == {"messages": []}


def test_what_is_no_message() -> None:
    """What is no message, or one whose fields are wrong, stays as it is."""
    odd = [["user", "hi"], {"role": "user"}, None, "a text", 3, {"type": "human"}, {"type": "human", "content": None}]

    assert chat_inputs([odd]) == {"messages": odd}
    assert [chat_message(one) for one in odd] == odd


@pytest.mark.parametrize("value", ["[redacted]", None, 3, {"x": 1}, [{"type": "human", "content": "hi"}, []]])
def test_inputs_and_answers_that_the_hook_replaced(value: Any) -> None:
    """Inputs and answers that are of another form stay as they are."""
    assert chat_inputs(value) == value
    assert chat_answer(value) == value


def test_an_answer() -> None:
    """An answer is a list of choices, each with the reason why it ended; a text model's is one of messages too."""
    result = {
        "generations": [
            [
                {"message": {"type": "ai", "content": "a"}, "generation_info": {"finish_reason": "stop"}},
                {
                    "message": {
                        "type": "AIMessageChunk",
                        "content": "b",
                        "response_metadata": {"stop_reason": "end_turn"},
                    }
                },
                {"message": {"type": "ai", "content": "c", "response_metadata": {"done_reason": "length"}}},
                {"text": "d"},
            ],
            [{"text": "e", "generation_info": {"finish_reason": None}}],
        ]
    }
    reasons = ["stop", "end_turn", "length", None, None]

    assert chat_answer(result) == {
        "choices": [
            {"index": index, "message": said(text), "finish_reason": reason}
            for index, (text, reason) in enumerate(zip("abcde", reasons, strict=True))
        ]
    }


def test_an_answer_without_choices() -> None:
    """An answer without generations has no choices."""
    assert chat_answer({"generations": []}) == {"choices": []}
    assert chat_answer({"generations": [[], "odd", ["odd"]]}) == {"choices": []}


def test_the_text_of_content() -> None:
    """The text of content is the content itself, or the texts of its blocks one after the other."""
    assert text_of("ab") == "ab"
    assert text_of(["a", {"type": "text", "text": "b"}, {"type": "image"}, {"text": None}]) == "ab"
    assert [text_of(other) for other in (None, 3, {"text": "a"})] == [""] * 3


def test_a_reason_that_a_stream_repeats() -> None:
    """A reason that LangChain has added up from a stream's chunks is given once."""
    assert finish_reason({"message": {"response_metadata": {"finish_reason": "stopstopstop"}}}) == "stop"
    metadata = {"stop_reason": "end_turn", "done_reason": "x"}
    given = {"generation_info": {"finish_reason": None}, "message": {"response_metadata": metadata}}
    assert finish_reason(given) == "end_turn"
    assert finish_reason({"generation_info": "odd", "message": {"response_metadata": {}}}) is None
    assert finish_reason({"message": "odd"}) is None


def test_texts_that_repeat_themselves() -> None:
    """A text is shortened when it is one repeated, and left alone when it only looks like that."""
    texts = ["stop", "", "aa", "gogo", "gpt-4o-gpt-4", "tool_calls"]

    assert [once(text) for text in texts] == texts
    assert once("tool_calls" * 2) == "tool_calls"
    assert once("gpt-4o" * 40) == "gpt-4o"


SCHEMA: Final = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
FLAT: Final = {"name": "add", "description": "d", "parameters": SCHEMA}
ADD: Final = {"type": "function", "function": FLAT}
INPUT_SCHEMA: Final = {"name": "add", "description": "d", "input_schema": SCHEMA}
TOOL_SPEC: Final = {"toolSpec": {"name": "add", "description": "d", "inputSchema": {"json": SCHEMA}}}
TOOLS: Final[dict[str, Any]] = {
    "OpenAI, chat": [ADD],
    "OpenAI, Responses": [{"type": "function", **FLAT}],
    "OpenAI, functions": [FLAT],
    "Anthropic": [INPUT_SCHEMA],
    "Anthropic with a type": [{"type": "custom", **INPUT_SCHEMA}],
    "Bedrock": {"tools": [TOOL_SPEC]},
    "Bedrock, the list": [TOOL_SPEC],
    "Gemini": [{"function_declarations": [FLAT]}],
    "Gemini's API": [{"functionDeclarations": [FLAT]}],
}


@pytest.mark.parametrize("definitions", TOOLS.values(), ids=TOOLS)
def test_a_tool(definitions: Any) -> None:
    """A tool has one form, whichever provider's its definition is, and the definition is left alone."""
    before = copy.deepcopy(definitions)

    assert tools(definitions) == [ADD]
    assert definitions == before


def test_a_class_as_a_tool() -> None:
    """The JSON schema of a class is a tool with the class's name."""
    schema = {"title": "Add", "description": "Add two.", "type": "object", "properties": {"a": {"type": "integer"}}}
    function = {"name": "Add", "description": "Add two.", "parameters": schema}
    assert tools([schema]) == [{"type": "function", "function": function}]


def test_tools_of_the_provider() -> None:
    """A provider's own tool has its name, or its type where it has none."""
    offered = [
        {"type": "web_search_20250305", "name": "web_search"},
        {"type": "mcp", "server_label": "x"},
        {"google_search": {}},
        {},
    ]

    names = ["web_search", "mcp", "google_search", "tool"]
    assert tools(offered) == [{"type": "function", "function": {"name": name}} for name in names]


def test_a_strict_tool() -> None:
    """What a definition says of strictness is kept, and its empty fields are left out."""
    assert tools([{"type": "function", "function": {**FLAT, "strict": True, "description": None}}]) == [
        {"type": "function", "function": {"name": "add", "parameters": SCHEMA, "strict": True}}
    ]


def test_a_parameter_of_several_types() -> None:
    """A parameter with a list of types has an ``anyOf`` of them: the pages show no tools at all otherwise."""
    mixed = {"type": "object", "properties": {"a": {"type": ["string", "null"], "title": "A"}, "b": True}}

    assert tools([{"name": "f", "parameters": mixed}]) == [
        {
            "type": "function",
            "function": {
                "name": "f",
                "parameters": {
                    "type": "object",
                    "properties": {"a": {"title": "A", "anyOf": [{"type": "string"}, {"type": "null"}]}, "b": True},
                },
            },
        }
    ]


@pytest.mark.parametrize("definitions", [None, "text", 3, [], [[], "<class 'Search'>", None, 3]], ids=str)
def test_what_defines_no_tool(definitions: Any) -> None:
    """What is no definition makes no tool."""
    assert tools(definitions) == []
