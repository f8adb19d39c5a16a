"""Finds the object that is being run.

LangChain tells its callbacks of no object: ``serialized`` is None for sequences, parallels, lambdas, bindings and
graphs. But the call of a callback has the methods of the runnable that runs on the stack below it.
"""

from __future__ import annotations

from types import FrameType
from typing import Any, Final

from langchain_core.runnables import Runnable

_MAX_FRAMES: Final = 60
_OF_LANGCHAIN: Final = frozenset(
    {"langchain", "langchain_autotrace", "langchain_classic", "langchain_core", "langgraph"}
)


def outermost_runnable(frame: FrameType | None) -> Runnable[Any, Any] | None:
    """The runnable whose method was called first, of those on the stack above the program's own code.

    The walk goes outwards from ``frame`` over LangChain's functions and the methods of runnables, and ends at the
    first function that is neither.
    """
    found: Runnable[Any, Any] | None = None
    left = _MAX_FRAMES
    while frame is not None and left:
        code, itself = frame.f_code, None
        if code.co_argcount and code.co_varnames[0] == "self":
            itself = frame.f_locals.get("self")
        if isinstance(itself, Runnable):
            found = itself
        elif str(frame.f_globals.get("__name__", "")).partition(".")[0] not in _OF_LANGCHAIN:
            break
        frame, left = frame.f_back, left - 1
    return found
