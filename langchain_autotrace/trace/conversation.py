"""Finds chat messages in captured values, in every form that LangChain takes them.

The forms are LangChain's messages as JSON, messages as OpenAI has them (``{"role", "content"}``), pairs of role and
content, texts, and LangChain's two serialized forms (``dumpd`` and ``message_to_dict``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from langchain_autotrace.trace import chat

MESSAGES_KEY: Final = "messages"
"""Key whose value LangChain reads as messages, whatever form they have."""

_PAIR_ROLES: Final = frozenset({"human", "user", "ai", "assistant", "system", "developer"})
"""First items of pairs that LangChain makes messages of."""
_CUT_NOTE: Final = "… [cut,"
"""How the text begins that capture puts in place of the items it has cut from a list."""
_OPENAI_CALLS: Final = ("tool_calls", "function_call")


def as_message(value: object) -> Mapping[str, Any] | None:
    """Return a value as a message with ``content`` and ``type`` or ``role``; None when it is not a message."""
    if _is_pair(value):
        return {"type": value[0], "content": value[1]}  # type: ignore[index] # a list, by _is_pair
    if not isinstance(value, Mapping):
        return None
    inner = value.get("kwargs") if "lc" in value else value.get("data")
    if isinstance(inner, Mapping) and "content" in inner and "content" not in value:
        value = {"type": value.get("type"), **inner}
    if isinstance(value.get("role"), str) and ("content" in value or "tool_calls" in value):
        return value
    kind = value.get("type")
    return value if "content" in value and isinstance(kind, str) and kind in chat.MESSAGE_TYPES else None


def _is_pair(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2  # noqa: PLR2004 - a pair
        and isinstance(value[0], str)
        and value[0] in _PAIR_ROLES
        and isinstance(value[1], str | list)
    )


def as_messages(value: object) -> list[Any] | None:
    """Return a list of messages with each in the form of ``as_message``; None when no item is a message.

    A text beside messages is what a human said. Other items, and the note that capture puts in place of items that it
    has cut, are returned unchanged.
    """
    if not isinstance(value, list):
        return None
    found = [as_message(item) for item in value]
    if not any(found):
        return None
    return [
        _human(item) if isinstance(item, str) and not item.startswith(_CUT_NOTE) else message or item
        for item, message in zip(value, found, strict=True)
    ]


def messages_under_key(value: object) -> list[Any] | None:
    """Return the value of a key ``messages`` as for ``as_messages``: it may also be one message, a text, or texts."""
    if isinstance(value, str):
        return [_human(value)] if value else None
    one = as_message(value)
    if one is not None:
        return [one]
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return list(map(_human, value))
    return as_messages(value)


def _human(text: str) -> dict[str, Any]:
    return {"type": "human", "content": text}


def chat_form(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a message of ``as_message`` in the chat format of :mod:`~langchain_autotrace.trace.chat`."""
    given = {**message, "type": message.get("role") or message.get("type"), "content": message.get("content") or ""}
    calls = {key: given.pop(key) for key in _OPENAI_CALLS if _is_openai_call(given.get(key))}
    if calls:
        more = given.get("additional_kwargs")
        given["additional_kwargs"] = {**more, **calls} if isinstance(more, Mapping) else calls
    form: Mapping[str, Any] = chat.chat_message(given)
    return form


def _is_openai_call(calls: object) -> bool:
    first = calls[0] if isinstance(calls, list) and calls else calls
    return isinstance(first, Mapping) and ("function" in first or "arguments" in first)


def call_text(call: object) -> str:
    """Return a tool call in LangChain's or OpenAI's format as ``name(key=value)``."""
    if not isinstance(call, Mapping):
        return json.dumps(call, ensure_ascii=False)
    inner = call.get("function")
    function = inner if isinstance(inner, Mapping) else call
    given = function.get("arguments", function.get("args"))
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError:
            return f"{function.get('name')}({given})"
    named = given if isinstance(given, Mapping) else {}
    arguments = ", ".join(f"{key}={json.dumps(part, ensure_ascii=False)}" for key, part in named.items())
    return f"{function.get('name')}({arguments})"
