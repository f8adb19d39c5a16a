"""Formats captured values as readable text: messages as a conversation, anything else as an outline."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from langchain_autotrace.semconv import ATTACHMENT
from langchain_autotrace.trace.conversation import MESSAGES_KEY, as_messages, call_text, messages_under_key
from langchain_autotrace.view.attachments import references

_INDENT: Final = "  "
_LINE_LETTERS: Final = 300
_WRAPPERS: Final = ("messages", "choices", "message", "update")
"""Keys that are left out if they are the only key of a mapping."""


def readable(value: object) -> str:
    """Return a value as readable text, one or more lines."""
    return "\n".join(_lines(value))


def shortened(text: str, lines: int, *, hint: str = "") -> str:
    """Return the text cut to that many lines, leaving out middle ones, with each line cut to 300 characters.

    The text states how much was left out, followed by ``hint``: how to see all of it.
    """
    every = text.split("\n")
    if len(every) > lines:
        head, tail = every[: lines // 2], every[-(lines - lines // 2 - 1) :]
        every = [*head, f"… ({len(every) - len(head) - len(tail):,} more lines{hint})", *tail]
    return "\n".join(_short_line(line, hint) for line in every)


def _short_line(line: str, hint: str) -> str:
    missing = len(line) - _LINE_LETTERS
    characters = "character" if missing == 1 else "characters"
    return f"{line[:_LINE_LETTERS]} … ({missing:,} more {characters}{hint})" if missing > 0 else line


def clean(text: str) -> str:
    """Return the text with control characters replaced, so that it cannot send escape sequences to the terminal."""
    if text.isprintable():
        return text
    return "".join(letter if _is_harmless(letter) else "�" for letter in text.expandtabs(4))


def _is_harmless(letter: str) -> bool:
    return letter == "\n" or letter.isprintable() or unicodedata.category(letter) not in {"Cc", "Cs"}


def _lines(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield from (_file(value) or value).split("\n")
    elif isinstance(value, Mapping):
        yield from _mapping(value)
    elif isinstance(value, Sequence):
        yield from _sequence(value)
    else:
        yield json.dumps(value, ensure_ascii=False, default=str)


def _mapping(value: Mapping[str, Any]) -> Iterator[str]:
    if _is_message(value):
        yield from _message(value)
        return
    if value.get("type") == "tool_call":
        yield _call(value)
        return
    if messages := messages_under_key(value.get(MESSAGES_KEY)):
        value = {**value, MESSAGES_KEY: messages}
    if len(value) == 1 and (only := next(iter(value))) in _WRAPPERS and value[only]:
        yield from _lines(value[only])
        return
    if isinstance(value.get("message"), Mapping) and "index" in value:  # a choice of an OpenAI chat completion
        yield from _message(value["message"])
        return
    if not value:
        yield "{}"
    for key, part in value.items():
        lines = list(_lines(part))
        outline = isinstance(part, Mapping) and bool(part) and not _is_message(part)
        yield from _under(f"{key}:", ["", *lines] if outline else lines)


def _sequence(value: Sequence[Any]) -> Iterator[str]:
    if not value:
        yield "[]"
    for part in as_messages(value) or value:
        lines = list(_lines(part))
        if isinstance(part, Mapping) and (_is_message(part) or "message" in part or part.get("type") == "tool_call"):
            yield from lines
        else:
            yield f"- {lines[0]}"
            yield from (_INDENT + line for line in lines[1:])


def _under(head: str, lines: list[str]) -> Iterator[str]:
    if len(lines) == 1:
        yield f"{head} {lines[0]}".rstrip()
    else:
        yield head
        yield from (_INDENT + line for line in lines if line)


def _is_message(value: Mapping[str, Any]) -> bool:
    return "content" in value and isinstance(value.get("role", value.get("type")), str)


def _message(value: Mapping[str, Any]) -> Iterator[str]:
    text = _content_text(value.get("content"))
    given = value.get("tool_calls")
    calls = [_call(call) for call in given] if isinstance(given, list) else []
    parts = [*([text] if text else []), *calls]
    name = f" ({value['name']})" if value.get("name") else ""
    yield from _under(f"{value.get('role') or value.get('type')}{name}:", "\n".join(parts or [""]).split("\n"))


def _content_text(content: object) -> str:
    """Return a message's content as text; content blocks other than text are shown by their type."""
    if isinstance(content, str) or content is None:
        return content or ""
    if not isinstance(content, Sequence):
        return readable(content)
    return "\n".join(_block(block) for block in content)


def _block(block: object) -> str:
    if not isinstance(block, Mapping):
        return readable(block)
    text = block.get("text")
    if isinstance(text, str):
        return text
    return next(_files(block), None) or f"[{block.get('type', 'content')}]"


def _files(value: object) -> Iterator[str]:
    """Yield the texts of the files that a content block refers to, at any depth."""
    if isinstance(value, str):
        yield from filter(None, [_file(value)])
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _files(part)


def _file(text: str) -> str | None:
    """Return type and size for a reference to an attachment of the trace; None for other texts."""
    if not text.startswith(ATTACHMENT):
        return None
    found = next(iter(references([text]).values()), None)
    if found is None:
        return "[file]"
    return f"[{found.type}]" if found.size is None else f"[{found.type}, {found.size:,} bytes]"


def _call(call: object) -> str:
    """Return a tool call in LangChain's or OpenAI's format as ``→ name(key=value)``."""
    return f"→ {call_text(call)}" if isinstance(call, Mapping) else readable(call)
