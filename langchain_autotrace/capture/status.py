"""How a run that did not return normally ended: one rule for every kind of run."""

from __future__ import annotations

import asyncio
import concurrent.futures
import traceback
from typing import Final, NamedTuple

from langchain_autotrace.span import Outcome, Status

_CONTROL_FLOW: Final = "GraphBubbleUp"
"""LangGraph's base of everything it raises to steer a graph: interrupts, ``Command`` to a parent graph. Told by name,
so that langgraph need not be installed (``langgraph.errors``)."""
_PAUSE: Final = "GraphInterrupt"
"""Those of them that pause the whole graph, which then returns."""

_CANCELLED: Final = (asyncio.CancelledError, concurrent.futures.CancelledError)
_MAX_STACK: Final = 50_000


# Plain text: to look up a member or its value costs as much as a call in Python 3.11.
_OK: Final = Status.OK.value
_ERROR: Final = Status.ERROR.value


class Ending(NamedTuple):
    """A span's status with its reasons."""

    status: str
    """A value of :class:`Status`."""
    outcome: Outcome | None
    message: str
    paused: bool = False
    """Whether a graph was interrupted here, and not only steered."""


RETURNED: Final = Ending(_OK, None, "")
"""How most runs end."""


def ending(error: BaseException) -> Ending:
    """The status that ``error`` gives the run it left."""
    if isinstance(error, GeneratorExit):
        return Ending(_OK, Outcome.ABANDONED, "")
    names = {base.__name__ for base in type(error).__mro__}
    if _CONTROL_FLOW in names:
        return Ending(_OK, Outcome.INTERRUPTED, "", paused=_PAUSE in names)
    outcome = Outcome.CANCELLED if isinstance(error, _CANCELLED) else None
    return Ending(_ERROR, outcome, error_text(error))


def error_text(error: BaseException) -> str:
    """``Type: message``, also when the exception's ``__str__`` raises."""
    text = _text(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def exception_attributes(error: BaseException) -> dict[str, str]:
    """OpenTelemetry's attributes of an ``exception`` event: type, message and stack trace."""
    kind = type(error)
    return {
        "exception.type": kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}",
        "exception.message": _text(error),
        "exception.stacktrace": _stack(error),
    }


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
