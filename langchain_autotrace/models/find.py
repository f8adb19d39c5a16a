"""Finds the runnable that is being run.

LangChain does not pass it to callbacks: ``serialized`` is None for sequences, parallels, lambdas, bindings and graphs.
But when a callback is called, the methods of the running runnable are on the stack.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import Any, Final

from langchain_core.callbacks import AsyncCallbackManager
from langchain_core.runnables import Runnable

_MAX_FRAMES: Final = 60
_MAX_WAITING: Final = 10_000
_OF_LANGCHAIN: Final = frozenset(
    {"langchain", "langchain_autotrace", "langchain_classic", "langchain_core", "langgraph"}
)

_waiting: Final[dict[int, Runnable[Any, Any]]] = {}
"""id(callback manager) -> runnable, for ``abatch()`` calls whose runs have not started yet."""


def outermost_runnable(frame: FrameType | None) -> Runnable[Any, Any] | None:
    """Return the runnable that the program's own code has called; None if there is none on the stack.

    The walk goes from ``frame`` to its callers over LangChain's functions and the methods of runnables, and ends at the
    first function that is neither.
    """
    found, manager = _outermost(_callers(frame))
    return _of_batch(manager) if found is None and isinstance(manager, AsyncCallbackManager) else found


def _callers(frame: FrameType | None) -> Iterator[FrameType]:
    for _ in range(_MAX_FRAMES):
        if frame is None:
            return
        yield frame
        frame = frame.f_back


def _outermost(frames: Iterable[FrameType]) -> tuple[Runnable[Any, Any] | None, object]:
    """Return the last runnable in the leading frames that are LangChain's, and the last ``self`` of any class."""
    found: Runnable[Any, Any] | None = None
    last: object = None
    for frame in frames:
        code, itself = frame.f_code, None
        if code.co_argcount and code.co_varnames[0] == "self":
            itself = frame.f_locals.get("self")
        if isinstance(itself, Runnable):
            found = itself
        elif str(frame.f_globals.get("__name__", "")).partition(".")[0] not in _OF_LANGCHAIN:
            break
        last = last if itself is None else itself
    return found, last


def _of_batch(manager: AsyncCallbackManager) -> Runnable[Any, Any] | None:
    """Return the runnable whose ``abatch`` has started a run: it runs each in a task of its own, and waits for them."""
    if id(manager) not in _waiting:
        _note_batch(manager)
    return _waiting.pop(id(manager), None)


def _note_batch(manager: AsyncCallbackManager) -> None:
    """Find the ``abatch`` call that waits for this manager, and note its runnable for all of its managers."""
    try:
        tasks = asyncio.all_tasks()
    except RuntimeError:  # no asyncio event loop runs in this thread
        return
    for task in tasks:
        frames = list(_suspended(task.get_coro()))
        for index, frame in enumerate(frames):
            managers = frame.f_locals.get("callback_managers") if frame.f_code.co_name == "abatch" else None
            if isinstance(managers, list) and any(one is manager for one in managers):
                found, _ = _outermost(reversed(frames[: index + 1]))
                if len(_waiting) > _MAX_WAITING:  # entries of cancelled batches are never taken out
                    _waiting.clear()
                _waiting.update({} if found is None else {id(one): found for one in managers})
                return


def _suspended(awaited: object) -> Iterator[FrameType]:
    """Yield the frames of a suspended coroutine, the outermost first."""
    for _ in range(_MAX_FRAMES):
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "ag_frame", None)
        if frame is None:
            return
        yield frame
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "ag_await", None)
