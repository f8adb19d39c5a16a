"""How a run that did not return normally ended: one rule for every kind of run."""

from __future__ import annotations

import asyncio
import traceback
from typing import Final, NamedTuple

from langchain_autotrace.span import Outcome, Status

_CONTROL_FLOW: Final = "GraphBubbleUp"
"""LangGraph's base of everything it raises to steer a graph: interrupts, ``Command`` to a parent graph. Told by name,
so that langgraph need not be installed (``langgraph.errors``)."""
_PAUSE: Final = "GraphInterrupt"
"""Those of them that pause the whole graph, which then returns."""

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
    outcome = Outcome.CANCELLED if isinstance(error, asyncio.CancelledError) else None
    return Ending(_ERROR, outcome, error_text(error))


def error_text(error: BaseException) -> str:
    """``Type: message``, also when the exception's ``__str__`` raises."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - a user's __str__ raises anything
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def exception_attributes(error: BaseException) -> dict[str, str]:
    """OpenTelemetry's attributes of an ``exception`` event: type, message and stack trace."""
    try:
        stack = "".join(traceback.format_exception(error))
    except Exception:  # noqa: BLE001 - formatting reads user objects
        stack = ""
    kind = type(error)
    return {
        "exception.type": kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}",
        "exception.message": error_text(error).removeprefix(f"{kind.__name__}: "),
        "exception.stacktrace": stack if len(stack) <= _MAX_STACK else f"…{stack[-_MAX_STACK:]}",
    }
