"""Exceptions as plain values: their classes, text and stack trace."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from langchain_autotrace.records import ErrorFacts
from langchain_autotrace.semconv import CONTROL_FLOW, STREAM_CLOSED

_MAX_STACK: Final = 50_000
_MAX_CAUSES: Final = 10
_WITHOUT_STACK: Final = frozenset({CONTROL_FLOW, STREAM_CLOSED})
"""What steers a graph or a stream comes often, and nobody asks where from."""


def error_facts(error: BaseException) -> ErrorFacts:
    """Return what is known of an exception. Ctrl-C, raised while it is asked for its text, passes."""
    classes = [_qualified_name(base) for base in type(error).__mro__[:-1]]
    found: ErrorFacts = {"classes": classes, "message": _text(error)}
    if _WITHOUT_STACK.isdisjoint(classes):
        found["stack"] = _stack(error)
    if isinstance(error, BaseExceptionGroup):
        found["causes"] = [
            {"classes": [*map(_qualified_name, type(cause).__mro__[:-1])], "message": _text(cause)}
            for cause in islice(_leaves(error), _MAX_CAUSES)
        ]
    return found


def _leaves(group: BaseExceptionGroup[Any]) -> Iterator[BaseException]:
    """Yield the exceptions of a group and of the groups within it, in order."""
    waiting: list[BaseException] = [group]
    while waiting:
        error = waiting.pop()
        if isinstance(error, BaseExceptionGroup):
            waiting += reversed(error.exceptions)
        else:
            yield error


def error_text(error: BaseException) -> str:
    """Return ``Type: message``, also when the exception's ``__str__`` raises."""
    text = _text(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _qualified_name(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # noqa: BLE001 - a user's __str__ raises anything
        return ""


def _stack(error: BaseException) -> str:
    try:
        stack = "".join(traceback.format_exception(error))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # noqa: BLE001 - it reads the user's __cause__, __notes__ and text
        stack = "".join([*traceback.format_tb(error.__traceback__), type(error).__name__, "\n"])
    if len(stack) <= _MAX_STACK:
        return stack
    # Whole lines, so that no secret is cut in half, which redaction would not know. The end says what was raised; the
    # beginning, where the text of what was raised is all of the end.
    begins, ends = stack[: _MAX_STACK // 2].rpartition("\n")[0], stack[-_MAX_STACK // 2 :].partition("\n")[2]
    return f"{begins}\n… [cut, {len(stack)} characters]\n{ends}"
