"""Walks the stack above a callback: LangChain's frames, and those of ``abatch()`` calls that wait in other tasks."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from types import FrameType
from typing import Any, Final, NamedTuple

_MAX_FRAMES: Final = 60
_OF_LANGCHAIN: Final = frozenset(
    {"langchain", "langchain_autotrace", "langchain_classic", "langchain_core", "langgraph"}
)
_BATCHES: Final = frozenset({"abatch", "_abatch_with_config", "agenerate"})
"""Methods that start runs in tasks of their own, for several inputs at once."""

_STEPS: Final = frozenset({"async_generator_asend", "async_generator_athrow"})


class WaitingBatch(NamedTuple):
    """An asynchronous batch call whose runs are starting, each in a task of its own."""

    frames: list[FrameType]
    """Frames of the task that called it, the outermost first; the last is the batch call."""
    managers: list[Any]
    """Callback managers of its runs, in the order of its inputs."""


def callers(frame: FrameType | None) -> Iterator[FrameType]:
    """Yield a frame and its callers, the innermost first; at most 60."""
    for _ in range(_MAX_FRAMES):
        if frame is None:
            return
        yield frame
        frame = frame.f_back


def own_object(frame: FrameType) -> object:
    """Return the ``self`` of a method's frame; None for a function's."""
    code = frame.f_code
    return frame.f_locals.get("self") if code.co_argcount and code.co_varnames[0] == "self" else None


def is_of_langchain(frame: FrameType) -> bool:
    """Return whether a frame runs code of LangChain, LangGraph or this package."""
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] in _OF_LANGCHAIN


def waiting_batch(manager: object) -> WaitingBatch | None:
    """Return the asynchronous batch call, in the running event loop, that made a callback manager; None if none did."""
    try:
        tasks = asyncio.all_tasks()
    except RuntimeError:  # no asyncio event loop runs in this thread
        return None
    for task in tasks:
        frames = list(_suspended(task.get_coro()))
        for index, frame in enumerate(frames):
            managers = frame.f_locals.get("callback_managers") if frame.f_code.co_name in _BATCHES else None
            if isinstance(managers, list) and any(one is manager for one in managers):
                return WaitingBatch(frames[: index + 1], managers)
    return None


def _suspended(awaited: object) -> Iterator[FrameType]:
    """Yield the frames of a suspended coroutine, the outermost first."""
    for _ in range(_MAX_FRAMES):
        if type(awaited).__name__ in _STEPS:  # a step of an asynchronous generator does not say of which
            awaited = next((one for one in gc.get_referents(awaited) if hasattr(one, "ag_frame")), None)
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "ag_frame", None)
        if frame is None:
            return
        yield frame
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "ag_await", None)
