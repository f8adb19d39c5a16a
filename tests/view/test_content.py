"""Captured values as text."""

from __future__ import annotations

from typing import Any

import pytest

from langchain_autotrace.view.content import clean, readable, shortened

_PHOTO = "mlflow-attachment://0b1c?content_type=image%2Fpng&trace_id=tr-1&size=1500008"
_HUMAN = {"type": "human", "content": "Hi"}
_CALL = {"name": "add", "args": {"left": 1, "right": "é"}, "id": "call_1", "type": "tool_call"}
_OPENAI_CALL = {"type": "function", "id": "call_1", "function": {"name": "add", "arguments": '{"left": 1}'}}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (1.5, "1.5"),
        (True, "true"),
        ("", ""),
        ("two\nlines", "two\nlines"),
        ([], "[]"),
        ({}, "{}"),
        ([1, "a"], "- 1\n- a"),
        ({"a": {"b": [1, 2]}, "c": {}}, "a:\n  b:\n    - 1\n    - 2\nc: {}"),
        ({"text": "two\nlines"}, "text:\n  two\n  lines"),
        ([["human", "Hi"]], "human: Hi"),
        ([["left", "right"]], "- - left\n  - right"),
        ([["user", "Hi"], ["ai", "Hello"]], "user: Hi\nai: Hello"),
        ({"messages": [["user", "Hi"], "there", _HUMAN]}, "user: Hi\nhuman: there\nhuman: Hi"),
        ({"messages": "Hi"}, "human: Hi"),
        ({"messages": ["user", "Hi"]}, "user: Hi"),
        ({"messages": ["Hi", "there"], "step": 2}, "messages:\n  human: Hi\n  human: there\nstep: 2"),
        ({"messages": [{"role": "user", "content": "Hi"}]}, "user: Hi"),
        ({"messages": [{"type": "human", "data": {"content": "Hi"}}]}, "human: Hi"),
        ({"messages": [["user", "Hi"], "… [cut, 9 items]"]}, "user: Hi\n- … [cut, 9 items]"),
        ({"messages": [[["user", "Hi"]]]}, "- user: Hi"),
        ({"messages": ""}, "messages:"),
        ({"messages": []}, "messages: []"),
        ({"chat_history": [["user", "Hi"], ["ai", "Hello"]]}, "chat_history:\n  user: Hi\n  ai: Hello"),
        (_HUMAN, "human: Hi"),
        (
            {"messages": [_HUMAN, {"type": "ai", "content": "", "tool_calls": [_CALL]}]},
            'human: Hi\nai: → add(left=1, right="é")',
        ),
        ({"messages": [_HUMAN], "step": 2}, "messages: human: Hi\nstep: 2"),
        (
            {
                "choices": [
                    {"index": 0, "message": {"role": "assistant", "content": "Yes", "tool_calls": [_OPENAI_CALL]}}
                ]
            },
            "assistant:\n  Yes\n  → add(left=1)",
        ),
        ({"role": "tool", "name": "add", "content": "3"}, "tool (add): 3"),
        (
            {"role": "user", "content": [{"type": "text", "text": "See"}, {"type": "image_url"}, "it"]},
            "user:\n  See\n  [image_url]\n  it",
        ),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": _PHOTO, "detail": "low"}}]},
            "user: [image/png, 1,500,008 bytes]",
        ),
        ({"upload": _PHOTO}, "upload: [image/png, 1,500,008 bytes]"),
        ("mlflow-attachment://[::1?size=²", "[file]"),
        ({"role": "user", "content": {"odd": 1}}, "user: odd: 1"),
        ({"role": "user", "content": None}, "user:"),
        ({"role": "user", "content": "Hi", "tool_calls": 1}, "user: Hi"),
        ([_CALL], '→ add(left=1, right="é")'),
        (
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"function": {"name": "f", "arguments": "{brok"}}, "odd"],
            },
            "assistant:\n  → f({brok)\n  odd",
        ),
    ],
)
def test_readable(value: Any, text: str) -> None:
    """Messages read as a conversation, and anything else as an outline."""
    assert readable(value) == text


def test_shortened() -> None:
    """A long text loses its middle lines, a long line its end, and both say how much."""
    assert shortened("a\nb", 3) == "a\nb"
    assert shortened("\n".join("abcdefghij"), 5, hint=": --full") == "a\nb\n… (6 more lines: --full)\ni\nj"
    assert shortened("x" * 1300, 5) == "x" * 300 + " … (1,000 more characters)"


def test_clean() -> None:
    """Control characters become visible marks; letters, line ends and tabs do not."""
    assert clean("grüße 你好 🙂\n\tx") == "grüße 你好 🙂\n    x"
    assert clean("a\x1b[31mb\x07\x9bc\r\x00\ud800") == "a�[31mb��c���"
