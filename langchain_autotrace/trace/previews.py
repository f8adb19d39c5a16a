"""Makes the previews of a trace: its inputs and outputs as a person reads them in a list of traces.

They are the last user's and the last assistant's text of a chat, the question and the answer of other programs, and
JSON where there is no such text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from langchain_autotrace.semconv import COMMAND, INTERRUPTS, SpanType
from langchain_autotrace.trace.conversation import MESSAGES_KEY, as_message, as_messages, call_text, chat_form
from langchain_autotrace.trace.conversation import messages_under_key as under_key

if TYPE_CHECKING:
    from langchain_autotrace.trace.spans import Span


class _Side(NamedTuple):
    """Where the text of a request or of a response is looked for."""

    role: str
    """Role of the messages that count."""
    keys: tuple[str, ...]
    """Keys of a mapping, whatever else it has; the first one that has a text counts."""
    lone_keys: tuple[str, ...]
    """Keys of a mapping that has no other."""


_REQUEST: Final = _Side("user", ("input", "question", "query", "user_input", "human_input"), ("prompt", "text"))
_RESPONSE: Final = _Side("assistant", ("output", "answer", "result", "response", "generation"), ("text", "content"))
_DEPTH: Final = 4
"""Levels of a value that are searched."""
_STOPS: Final = frozenset({"before", "after"})
"""Keys of what is asked where a graph stops at ``interrupt_before`` or ``interrupt_after``."""
_STRUCTURED: Final = "structured_response"
_RAW_AND_PARSED: Final = frozenset({"raw", "parsed", "parsing_error"})
"""Keys of the answers of ``with_structured_output(include_raw=True)``."""
_TEXT_BLOCKS: Final = frozenset({"text", "input_text", "output_text"})
_BLOCK_NAMES: Final = {"image_url": "image", "input_audio": "audio"}


def request_preview(root: Span, limit: int) -> str | None:
    """Return the last user's text, the question or the JSON of a run's inputs, cut to ``limit`` characters.

    None when the inputs are not known.
    """
    if not root.inputs:
        return None
    given = root.inputs[0]
    if root.type == SpanType.LLM and isinstance(given, list) and len(given) == 1:
        given = given[0]  # LangChain starts one run for each prompt
    return _cut(_preview(given, _REQUEST), limit)


def response_preview(root: Span, limit: int) -> str | None:
    """Return the last assistant's text, the answer or the JSON of a run's outputs, cut to ``limit`` characters.

    Of an agent that stopped to ask, it is what it asks; of one with a structured response, that; of an answer without
    text, the tool calls. None when there are no outputs.
    """
    return _cut(_preview(root.outputs[0], _RESPONSE), limit) if root.outputs else None


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _preview(value: Any, side: _Side) -> str:  # noqa: ANN401 - JSON
    if isinstance(value, str):
        return value
    text = _found(value, side, _DEPTH) or _found(value, side._replace(role=""), _DEPTH)
    return text or orjson.dumps(value).decode()


def _found(value: object, side: _Side, depth: int) -> str:
    """Return the text that a value has for a person; empty when it has none.

    The empty role stands for any role.
    """
    if isinstance(value, str):
        return value if value.strip() else ""
    message = as_message(value) if isinstance(value, Mapping) else None
    messages = as_messages(value) if message is None else [message]
    if messages is not None:
        return _said(messages, side.role)
    if depth and isinstance(value, Mapping):
        return _graph_text(value, side, depth) or _mapping_text(value, side, depth)
    return _list_text(value, side, depth) if depth and isinstance(value, list) and value else ""


def _list_text(value: list[Any], side: _Side, depth: int) -> str:
    """Return the text of batches of messages, of which the last one counts, or of the blocks of an answer."""
    if all(isinstance(one, list) for one in value):
        return _found(value[-1], side, depth - 1)
    kinds = [one.get("type") if isinstance(one, Mapping) else None for one in value]
    is_content = all(isinstance(kind, str) for kind in kinds) and not _TEXT_BLOCKS.isdisjoint(kinds)
    return _message_text(chat_form({"type": "ai", "content": value})) if is_content else ""


def _mapping_text(value: Mapping[str, Any], side: _Side, depth: int) -> str:
    messages = under_key(value[MESSAGES_KEY]) if MESSAGES_KEY in value else None
    text = _said(messages, side.role) if messages else _found(value.get(MESSAGES_KEY), side, depth - 1)
    for key in (*side.keys, *(side.lone_keys if len(value) == 1 else ())):
        text = text or _found(value.get(key), side, depth - 1)
    if text or any(isinstance(one, str) and one.strip() for one in value.values()):
        return text  # a history is not what a program was asked that also got a text
    return next((said for one in value.values() if (said := _said(as_messages(one) or [], side.role))), "")


def _graph_text(value: Mapping[str, Any], side: _Side, depth: int) -> str:
    """Return the text of what is neither a state nor a message: a ``Command``, an interrupt, a structured answer."""
    if side.keys == _REQUEST.keys:
        return _command_text(value, side, depth) if value.keys() <= COMMAND else ""
    if value.get(INTERRUPTS) and isinstance(value[INTERRUPTS], list):
        asked = "\n".join(filter(None, map(_question, value[INTERRUPTS])))
        if asked:
            return asked
    has_raw = value.keys() == _RAW_AND_PARSED
    parsed = value["parsed"] if has_raw else value.get(_STRUCTURED)
    if parsed is not None:
        return parsed if isinstance(parsed, str) else orjson.dumps(parsed).decode()
    choices = value.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    message = value["raw"] if has_raw else first.get("message") if isinstance(first, Mapping) else None
    return _found(message, side, depth - 1)


def _command_text(command: Mapping[str, Any], side: _Side, depth: int) -> str:
    """Return the answer that resumes a graph, such as ``reject: too dear`` to a tool call, or the update's text."""
    answer = command.get("resume")
    if answer is None:
        return _found(command.get("update"), side, depth - 1)
    decisions = answer.get("decisions") if isinstance(answer, Mapping) else None
    if not isinstance(decisions, list) or not all(isinstance(one, Mapping) and "type" in one for one in decisions):
        return _found(answer, side, depth - 1) or orjson.dumps(answer).decode()
    return ", ".join(
        f"{one['type']}: {one['message']}" if one.get("message") else str(one["type"]) for one in decisions
    )


def _question(asked: object) -> str:
    """Return what an interrupt asks: a text, the tool calls to approve, or JSON."""
    value = asked["value"] if isinstance(asked, Mapping) and "value" in asked else asked
    if isinstance(value, Mapping):
        calls = value.get("action_requests")
        if isinstance(calls, list) and calls:
            return ", ".join(map(call_text, calls))
        if value.keys() <= _STOPS:
            return ""
    return _preview(value, _REQUEST)


def _said(messages: Sequence[Any], role: str) -> str:
    """Return the text of the last message that has the role and a text; the empty role stands for any role."""
    forms = (chat_form(one) for one in reversed(messages) if as_message(one) is not None)
    if role == _RESPONSE.role:
        return _answer(forms)
    texts = (_message_text(form) or _calls(form) for form in forms if not role or form.get("role") == role)
    return next(filter(None, texts), "")


def _answer(forms: Iterable[Mapping[str, Any]]) -> str:
    """Return the last assistant's text or else its tool calls, or the result of the tool that answered for it.

    Args:
        forms: messages, last one first.
    """
    result, is_empty = "", False
    for form in forms:
        role, text = form.get("role"), _message_text(form)
        if role == "tool":
            result = result or text
        elif role == "user" and is_empty:
            break
        elif role == "assistant":
            if text or (calls := _calls(form)):
                return text or result or calls
            is_empty = True
    return ""


def _calls(form: Mapping[str, Any]) -> str:
    calls = form.get("tool_calls")
    return ", ".join(map(call_text, calls)) if isinstance(calls, list) else ""


def _message_text(form: Mapping[str, Any]) -> str:
    """Return the text of a message in chat format, with other blocks by their names; empty when it is blank."""
    content = form.get("content")
    if isinstance(content, list):
        content = "\n".join(filter(None, map(_block_text, content)))
    return content if isinstance(content, str) and content.strip() else ""


def _block_text(block: object) -> str:
    if not isinstance(block, Mapping):
        return str(block)
    if isinstance(block.get("text"), str):
        return str(block["text"])
    kind = str(block.get("type") or next(iter(block), "content"))
    return f"[{_BLOCK_NAMES.get(kind, kind)}]"
