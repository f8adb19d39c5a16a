"""What the program says of the traces it is about to start: whether to keep them, and whose they are."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, NamedTuple

_NONE: Final[Mapping[str, str]] = {}


class Scope(NamedTuple):
    """What ``context()`` has set for the traces that start within it."""

    session_id: str | None = None
    user_id: str | None = None
    tags: Mapping[str, str] = _NONE
    metadata: Mapping[str, str] = _NONE


NO_SCOPE: Final = Scope()

current: Final[ContextVar[Scope]] = ContextVar("langchain_autotrace_scope", default=NO_SCOPE)
"""What applies to a trace that starts now."""
suppressed: Final[ContextVar[bool]] = ContextVar("langchain_autotrace_suppressed", default=False)
"""Whether runs that start now are left out."""


@contextmanager
def suppress() -> Iterator[None]:
    """Trace no run that starts within the block, in this thread or task. A run that is open already goes on."""
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
) -> Iterator[None]:
    """Say whose the traces are that start within the block, in this thread or task. Blocks nest.

    Args:
        session_id: MLflow's trace session (``mlflow.trace.session``), up to 250 characters. A run's own metadata
            (``session_id``, ``thread_id`` or ``conversation_id``) comes first.
        user_id: MLflow's trace user (``mlflow.trace.user``). A run's own ``user_id`` comes first.
        tags: trace tags, added to those of enclosing blocks.
        metadata: trace metadata, which MLflow does not let anyone change later.
    """
    outer = current.get()
    inner = Scope(
        session_id=session_id or outer.session_id,
        user_id=user_id or outer.user_id,
        tags={**outer.tags, **_texts(tags)},
        metadata={**outer.metadata, **_texts(metadata)},
    )
    token = current.set(inner)
    try:
        yield
    finally:
        current.reset(token)


def _texts(pairs: Mapping[str, str] | None) -> dict[str, str]:
    return {str(key): str(value) for key, value in (pairs or {}).items()}


class LastTrace:
    """The trace that finished last, for each thread and for the process."""

    def __init__(self) -> None:
        self._thread = threading.local()
        self._process: str | None = None

    def set(self, trace_id: str) -> None:
        """A root has ended in this thread."""
        self._thread.trace_id = self._process = trace_id

    def get(self) -> str | None:
        """The last trace of this thread, else of the process."""
        found: str | None = getattr(self._thread, "trace_id", None)
        return found or self._process


last_trace: Final = LastTrace()
