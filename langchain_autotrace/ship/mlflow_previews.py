"""Makes the short texts of a trace's request and response that lists of traces show, as MLflow's own exporter does."""

from __future__ import annotations

from typing import Any, Final

_LENGTH: Final = 1_000
"""Length of the database's columns."""
_CUT: Final = "..."
_LISTS: Final = ("input", "output")
_TEXT_PARTS: Final = ("text", "output_text")


def preview(value: object, text: str, role: str) -> str:
    """Return the last message's text where a value has messages, else the value itself, cut to MLflow's limit.

    Args:
        value: the request or the response.
        text: the same as JSON.
        role: of the message to show, "user" or "assistant"; without one of that role, the last message is shown.
    """
    messages = _messages(value)
    shown = _content(_last(messages, role)) if messages else ""
    shown = shown or text
    return shown if len(shown) <= _LENGTH else shown[: _LENGTH - len(_CUT)] + _CUT


def _messages(value: object) -> list[dict[str, Any]]:
    """Return the messages in the value, in one of the forms of OpenAI's APIs or of MLflow's agents."""
    if not isinstance(value, dict):
        return []
    if (found := value.get("messages")) and isinstance(found, list):
        return [one for one in found if _is_message(one)]
    choices = value.get("choices")
    first = choices[0] if choices and isinstance(choices, list) else None
    if isinstance(first, dict) and _is_message(first.get("message")):
        return [first["message"]]
    for key in _LISTS:
        if (found := value.get(key)) and isinstance(found, list):
            return [one for one in found if _is_message(one)]
    return _messages(value.get("request"))


def _is_message(value: object) -> bool:
    return isinstance(value, dict) and "role" in value and "content" in value


def _last(messages: list[dict[str, Any]], role: str) -> dict[str, Any]:
    return next((one for one in reversed(messages) if one["role"] == role), messages[-1])


def _content(message: dict[str, Any]) -> str:
    """Return the message's text, of one with parts the first text."""
    content = message["content"]
    if not isinstance(content, list):
        return content if isinstance(content, str) else ""
    for part in content:
        if isinstance(part, str):
            return part
        if isinstance(part, dict) and part.get("type") in _TEXT_PARTS:
            text = part.get("text")
            return text if isinstance(text, str) else ""
    return ""
