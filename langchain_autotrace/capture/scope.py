"""``context()`` and ``suppress()``: trace settings that apply within a block; and the id of the last trace."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, NamedTuple

from langchain_autotrace.ids import TRACE_ID_PREFIX

_NONE: Final[Mapping[str, str]] = {}


class TracesInContext:
    """The traces that have started within a ``context()`` block.

    Attributes:
        ids: their MLflow ids (``tr-…``), in the order in which they started.
    """

    def __init__(self) -> None:
        self.ids: list[str] = []


class Scope(NamedTuple):
    """Settings from the enclosing ``context()`` blocks for traces that start within them."""

    session_id: str | None = None
    user_id: str | None = None
    tags: Mapping[str, str] = _NONE
    metadata: Mapping[str, str] = _NONE
    blocks: tuple[TracesInContext, ...] = ()

    def note_start(self, trace_id: str) -> None:
        """Add the id of a started trace to each enclosing block; ``trace_id`` comes without MLflow's prefix."""
        for block in self.blocks:
            block.ids.append(TRACE_ID_PREFIX + trace_id)


NO_SCOPE: Final = Scope()

current: Final[ContextVar[Scope]] = ContextVar("langchain_autotrace_scope", default=NO_SCOPE)
"""The scope of a trace that starts now."""
suppressed: Final[ContextVar[bool]] = ContextVar("langchain_autotrace_suppressed", default=False)
"""Whether runs that start now are not traced."""


@contextmanager
def suppress() -> Iterator[None]:
    """Do not trace runs that start within the block, in this thread or task. Runs already open are still traced."""
    token = suppressed.set(True)
    try:
        yield
    finally:
        suppressed.reset(token)


@contextmanager
def context(
    *,
    session_id: str | None = None,
    user_id: str | None = None,
    tags: Mapping[str, str] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Iterator[TracesInContext]:
    """Set session, user, tags and metadata of the traces that start within the block. Blocks nest.

    The settings apply to this thread or task, to tasks started within the block, and to threads that run in a copy of
    its context, as LangChain's own do. ``with context() as traces`` collects the ids of the traces that start within
    the block in ``traces.ids``.

    Args:
        session_id: MLflow's trace session (``mlflow.trace.session``), up to 250 characters. What the run itself names
            takes precedence: ``session_id``, ``thread_id`` or ``conversation_id`` in its metadata, its ``configurable``
            or, of a graph, its ``context``.
        user_id: MLflow's trace user (``mlflow.trace.user``). A run's own ``user_id`` takes precedence.
        tags: trace tags, added to those of enclosing blocks.
        metadata: trace metadata, added to that of enclosing blocks; immutable in MLflow.
    """
    outer, traces = current.get(), TracesInContext()
    inner = Scope(
        session_id=session_id or outer.session_id,
        user_id=user_id or outer.user_id,
        tags={**outer.tags, **_texts(tags)},
        metadata={**outer.metadata, **_texts(metadata)},
        blocks=(*outer.blocks, traces),
    )
    token = current.set(inner)
    try:
        yield traces
    finally:
        current.reset(token)


def _texts(pairs: Mapping[str, str] | None) -> dict[str, str]:
    return {str(key): str(value) for key, value in (pairs or {}).items()}


class LastTrace:
    """The id of the trace that finished last, per task, per thread, and for the process."""

    def __init__(self) -> None:
        self._task: ContextVar[str | None] = ContextVar("langchain_autotrace_last_trace", default=None)
        self._thread = threading.local()
        self._process: str | None = None
        self.ended: list[str] | None = None
        """Ids of the traces that have ended, in order, for a display that empties it; None without one."""

    def set(self, trace_id: str) -> None:
        """Record that a trace has ended in this task and thread."""
        self._thread.trace_id = self._process = trace_id
        self._task.set(trace_id)
        if self.ended is not None:
            self.ended.append(trace_id)

    def get(self) -> str | None:
        """Return the id of the last trace of the calling task, else of this thread, else of the process."""
        found = self._task.get() if _is_in_task() else None
        return found or getattr(self._thread, "trace_id", None) or self._process


def _is_in_task() -> bool:
    try:
        return asyncio.current_task() is not None
    except RuntimeError:  # no event loop runs in this thread
        return False


last_trace: Final = LastTrace()
