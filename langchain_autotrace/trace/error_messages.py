"""Texts of exceptions that a person reads: groups name their causes, cancellations leave out reprs of tasks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from langchain_autotrace.semconv import CANCELLED

CANCELLED_TEXT: Final = "cancelled"
"""Text of a cancellation whose own text only says which task or scope it was."""

_MAX_CAUSES: Final = 5
_MAX_TEXT: Final = 200
"""Characters of a cause, and of the text of a cancellation."""
_SCOPE: Final = re.compile(r"Cancelled (?:by|via) cancel scope .*?(?:; reason: (?P<reason>.*))?", re.DOTALL)
"""What anyio says, as under Starlette and MCP: with a reason where the program has given one."""
_REPR: Final = re.compile(r"<[^<>]*\b(?:Task|Future|coro|object at|at 0x)")
"""An object's repr: of an asyncio task, as a rule."""


def class_text(error: Mapping[str, Any]) -> str:
    """Return the name of an exception's class, without its module.

    Args:
        error: :class:`~langchain_autotrace.records.ErrorFacts`.
    """
    return str(error["classes"][0]).rpartition(".")[2]


def message_text(error: Mapping[str, Any]) -> str:
    """Return an exception's text without its class; of a group, with its causes. Arguments as of ``class_text``."""
    text = str(error.get("message") or "")
    if not CANCELLED.isdisjoint(error["classes"]):
        return _cancel_text(text)
    causes = [*dict.fromkeys(map(_cause, error.get("causes") or ()))]
    if not causes:
        return text
    more = f"; … ({len(causes) - _MAX_CAUSES} more)" if len(causes) > _MAX_CAUSES else ""
    return f"{text}{': ' if text else ''}{'; '.join(causes[:_MAX_CAUSES])}{more}"


def status_text(error: Mapping[str, Any]) -> str:
    """Return ``Type: text`` of an exception; ``cancelled`` of a cancellation without a reason of the program's."""
    text = message_text(error)
    if text == CANCELLED_TEXT and not CANCELLED.isdisjoint(error["classes"]):
        return text
    return f"{class_text(error)}: {text}" if text else class_text(error)


def _cause(error: Mapping[str, Any]) -> str:
    return _shortened(status_text(error))


def _cancel_text(text: str) -> str:
    if scope := _SCOPE.fullmatch(text):
        return _shortened(scope["reason"] or CANCELLED_TEXT)
    return CANCELLED_TEXT if _REPR.search(text) else _shortened(text)


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MAX_TEXT else f"{line[:_MAX_TEXT]}…"
