"""Previews are what a person reads of a trace's inputs and outputs."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_autotrace.trace.previews import request_preview, response_preview
from langchain_autotrace.trace.spans import Span

HI: Final = {"type": "human", "content": "Hi"}
YES: Final = {"type": "ai", "content": "Yes?"}
BYE: Final = {"type": "human", "content": "Bye"}
CALLING: Final = {
    "type": "ai",
    "content": "",
    "tool_calls": [{"name": "add", "args": {"a": 1, "b": "é"}, "id": "c1", "type": "tool_call"}],
}
OPENAI_CALLING: Final = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"type": "function", "id": "c1", "function": {"name": "add", "arguments": '{"a": 1}'}}],
}
RESULT: Final = {"type": "tool", "content": "3", "tool_call_id": "c1", "status": "success"}
PICTURE: Final = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def span(kind: str = "CHAIN", inputs: object = None, outputs: object = None) -> Span:
    """A root with inputs and outputs."""
    return Span("t", "s", None, "n", kind, 0, 1, "OK", "", [inputs], [outputs], {}, [], [])


CHATS: Final[dict[str, tuple[Any, str]]] = {
    "message objects": ({"messages": [HI, YES, BYE]}, "Bye"),
    "OpenAI's messages": (
        {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "Bye"}]},
        "Bye",
    ),
    "pairs": ({"messages": [["user", "Hi"], ["ai", "Yes?"], ["human", "Bye"]]}, "Bye"),
    "one pair": ({"messages": ["user", "Bye"]}, "Bye"),
    "one message": ({"messages": BYE}, "Bye"),
    "a text for messages": ({"messages": "Bye"}, "Bye"),
    "texts": ({"messages": ["Hi", "Bye"]}, "Bye"),
    "a text after messages": ({"messages": [HI, YES, "Bye"]}, "Bye"),
    "what dumpd makes of a message": (
        {"messages": [{"lc": 1, "type": "constructor", "id": ["HumanMessage"], "kwargs": BYE}]},
        "Bye",
    ),
    "what message_to_dict makes of a message": ({"messages": [{"type": "human", "data": {"content": "Bye"}}]}, "Bye"),
    "a list of messages": ([HI, YES, BYE], "Bye"),
    "a list of pairs": ([["system", "s"], ["user", "Bye"]], "Bye"),
    "batches": ({"messages": [[HI], [BYE]]}, "Bye"),
    "a message": (BYE, "Bye"),
    "messages of an input": ({"input": {"messages": [["user", "Bye"]]}}, "Bye"),
    "a list of an input": ({"input": [HI, YES, BYE]}, "Bye"),
    "a message of an input": ({"input": BYE, "chat_history": [HI, YES]}, "Bye"),
    "a history alone": ({"chat_history": [HI, YES, BYE], "step": 1}, "Bye"),
    "a tool's result last": ({"messages": [HI, BYE, CALLING, RESULT]}, "Bye"),
    "a user of another role": ({"messages": [{"type": "chat", "role": "critic", "content": "Bye"}]}, "Bye"),
    "items that were cut": ({"messages": [HI, BYE, "… [cut, 9 items]"]}, "Bye"),
    "no user's message": ({"messages": [{"type": "system", "content": "Be brief."}, YES]}, "Yes?"),
    "blocks": (
        {"messages": [{"type": "human", "content": [{"type": "text", "text": "Bye"}, PICTURE]}]},
        "Bye\n[image]",
    ),
    "texts in blocks": (
        {"messages": [["user", [{"type": "text", "text": "Bye"}, {"type": "input_text", "text": "now"}]]]},
        "Bye\nnow",
    ),
    "only a file": (
        {"messages": [{"type": "human", "content": [{"type": "file", "file": {"filename": "a.pdf"}}]}]},
        "[file a.pdf]",
    ),
    "only a sound": (
        {"messages": [{"role": "user", "content": [{"type": "audio", "base64": "AA", "mime_type": "audio/wav"}]}]},
        "[audio]",
    ),
    "a block without a type": ({"messages": [["user", [{"text": "Bye"}, {"document": {}}]]]}, "Bye\n[document]"),
    "a question": ({"question": "Why?"}, "Why?"),
    "an input": ({"input": "Why?", "chat_history": [HI, YES]}, "Why?"),
    "a query and more": ({"query": "Why?", "k": 3}, "Why?"),
    "a lone text": ({"text": "Why?"}, "Why?"),
    "a text": ("Why?", "Why?"),
    "an empty text": ("", ""),
    "a text and more": ({"text": "Why?", "language": "French"}, '{"text":"Why?","language":"French"}'),
    "a history that is not the question": (
        {"topic": "cats", "history": [["user", "old"]]},
        '{"topic":"cats","history":[["user","old"]]}',
    ),
    "another key": ({"topic": "cats"}, '{"topic":"cats"}'),
    "no messages": ({"messages": []}, '{"messages":[]}'),
    "numbers": ([1, None], "[1,null]"),
    "a pair that is none": ([["user", 1], ["ai", 2]], '[["user",1],["ai",2]]'),
    "an answer to an interrupt": ({"graph": None, "update": None, "resume": "yes", "goto": []}, "yes"),
    "an answer with fields": ({"resume": {"ok": True}}, '{"ok":true}'),
    "decisions": (
        {"resume": {"decisions": [{"type": "approve"}, {"type": "reject", "message": "too dear"}]}},
        "approve, reject: too dear",
    ),
    "an update": ({"graph": None, "update": {"messages": [["user", "Bye"]]}, "resume": None, "goto": "n"}, "Bye"),
}


@pytest.mark.parametrize("case", CHATS)
def test_requests(case: str) -> None:
    """A request reads as the last user's text, the question, or JSON."""
    inputs, preview = CHATS[case]
    assert request_preview(span(inputs=inputs), 1_000) == preview


ANSWERS: Final[dict[str, tuple[Any, str]]] = {
    "an agent": ({"messages": [HI, CALLING, RESULT, YES]}, "Yes?"),
    "OpenAI's messages": (
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}]},
        "Yes?",
    ),
    "pairs": ({"messages": [["user", "Hi"], ["assistant", "Yes?"]]}, "Yes?"),
    "a user's turn next": ({"messages": [HI, YES, BYE]}, "Yes?"),
    "a message": (YES, "Yes?"),
    "chunks that were joined": ({"type": "AIMessageChunk", "content": "Yes?"}, "Yes?"),
    "a list of messages": ([YES], "Yes?"),
    "a model's answer": ({"choices": [{"index": 0, "message": {"role": "assistant", "content": "Yes?"}}]}, "Yes?"),
    "messages of an output": ({"output": {"messages": [YES]}}, "Yes?"),
    "a message of an output": ({"input": "Hi", "output": YES}, "Yes?"),
    "an output beside a history": ({"input": "Hi", "chat_history": [HI, YES], "output": "Well."}, "Well."),
    "an answer beside the user's message": ({"messages": [HI], "answer": "Well."}, "Well."),
    "an answer with its sources": ({"question": "Q", "context": [{"page_content": "p"}], "answer": "A"}, "A"),
    "content blocks": ([{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "Yes?"}], "Yes?"),
    "a picture": ({"type": "ai", "content": [{"type": "text", "text": "See"}, PICTURE]}, "See\n[image]"),
    "a refusal": ({"type": "ai", "content": "", "additional_kwargs": {"refusal": "No."}}, "No."),
    "a tool call without text": ({"messages": [HI, YES, BYE, CALLING]}, 'add(a=1, b="é")'),
    "OpenAI's tool call": ({"messages": [OPENAI_CALLING]}, "add(a=1)"),
    "OpenAI's function call": (
        {"role": "assistant", "content": "", "function_call": {"name": "add", "arguments": '{"a": 1}'}},
        "add(a=1)",
    ),
    "a tool call with a text": ({"messages": [{**CALLING, "content": "I add."}]}, "I add."),
    "a tool that answers itself": ({"messages": [HI, CALLING, RESULT]}, "3"),
    "an empty answer": ({"messages": [HI, YES, {"type": "ai", "content": ""}]}, "Yes?"),
    "an empty answer to a new question": (
        {"messages": [HI, YES, BYE, {"type": "ai", "content": " "}]},
        "Bye",
    ),
    "a prompt": ({"messages": [{"type": "system", "content": "s"}, HI]}, "Hi"),
    "a tool's message": (RESULT, "3"),
    "a structured response": ({"messages": [HI, CALLING], "structured_response": {"city": "P"}}, '{"city":"P"}'),
    "no structured response": ({"messages": [HI, YES], "structured_response": None}, "Yes?"),
    "raw and parsed": ({"raw": CALLING, "parsed": {"a": 1}, "parsing_error": None}, '{"a":1}'),
    "raw and not parsed": ({"raw": YES, "parsed": None, "parsing_error": "E"}, "Yes?"),
    "an interrupt": ({"x": 1, "__interrupt__": [{"value": "Really?", "id": "i"}]}, "Really?"),
    "two interrupts": ({"__interrupt__": [{"value": "A?"}, {"value": {"question": "B?", "options": [1]}}]}, "A?\nB?"),
    "an interrupt with fields": ({"messages": [HI, YES], "__interrupt__": [{"value": {"n": 1}}]}, '{"n":1}'),
    "calls to approve": (
        {
            "messages": [HI, CALLING],
            "__interrupt__": [
                {"value": {"action_requests": [{"name": "add", "args": {"a": 1}}], "review_configs": []}}
            ],
        },
        "add(a=1)",
    ),
    "a stop before a node": (
        {"messages": [HI, CALLING], "__interrupt__": [{"value": {"before": ["tools"]}}]},
        'add(a=1, b="é")',
    ),
    "a text": ("Yes?", "Yes?"),
    "documents": ([{"page_content": "p", "metadata": {}}], '[{"page_content":"p","metadata":{}}]'),
    "a state": ({"topic": "cats", "joke": "j"}, '{"topic":"cats","joke":"j"}'),
    "nothing": (None, "null"),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_responses(case: str) -> None:
    """A response reads as the last assistant's text, the answer, what is asked or called, or JSON."""
    outputs, preview = ANSWERS[case]
    assert response_preview(span(outputs=outputs), 1_000) == preview


def test_a_prompt_of_a_text_model() -> None:
    """The prompt of a text model is its own text; elsewhere, a list of one text is JSON."""
    assert request_preview(span("LLM", ["Say it."]), 100) == "Say it."
    assert request_preview(span("CHAIN", ["Say it."]), 100) == '["Say it."]'


def test_long_texts() -> None:
    """A preview over the limit is cut to it, and ends in an ellipsis."""
    assert request_preview(span(inputs="x" * 1_000), 1_000) == "x" * 1_000
    assert request_preview(span(inputs="x" * 1_001), 1_000) == "x" * 999 + "…"
    assert response_preview(span(outputs={"k": "x" * 1_000}), 10) == '{"k":"xxx…'


def test_unknown_values() -> None:
    """What is not known has no preview."""
    unknown = span()._replace(inputs=None, outputs=None)
    assert (request_preview(unknown, 100), response_preview(unknown, 100)) == (None, None)


KEYS: Final = (
    *("messages", "role", "type", "content", "tool_calls", "kwargs", "lc", "data", "input", "output", "choices", "raw"),
    *("message", "parsed", "parsing_error", "__interrupt__", "value", "action_requests", "structured_response", "name"),
    *("resume", "update", "decisions", "additional_kwargs", "function", "arguments", "args", "text", "image_url"),
)
ODD: Final = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.sampled_from(["", "ai", "user", "tool", "text", "image_url"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)


FIELDS: Final = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("content", "tool_calls", "function_call", "additional_kwargs", "data", "kwargs"), ODD),
)
MESSAGE: Final = st.builds(
    lambda role, key, fields: {**fields, key: role} if key else [role, fields.get("content")],
    st.sampled_from(["user", "ai", "assistant", "tool", "odd"]),
    st.sampled_from(["role", "type", ""]),
    FIELDS,
)
PLACES: Final = ("messages", "input", "output", "resume", "__interrupt__", "choices", "raw")
ANY: Final = st.lists(MESSAGE | ODD, max_size=3) | st.fixed_dictionaries(
    {}, optional=dict.fromkeys(PLACES, st.lists(MESSAGE, max_size=3) | ODD)
)


@given(ODD | ANY)
def test_values_of_any_form(value: Any) -> None:
    """Any value has a preview."""
    before = json.dumps(value)
    assert isinstance(request_preview(span(inputs=value), 50), str)
    assert isinstance(response_preview(span(outputs=value), 50), str)
    assert json.dumps(value) == before
