"""Finds the runnable that is being run.

LangChain does not pass it to callbacks: ``serialized`` is None for sequences, parallels, lambdas, bindings and graphs.
But when a callback is called, the methods of the running runnable are on the stack.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import FrameType
from typing import Any, Final

from langchain_core.callbacks import AsyncCallbackManager
from langchain_core.runnables import Runnable

from langchain_autotrace.capture.stack import callers, is_of_langchain, own_object, waiting_batch

_MAX_WAITING: Final = 10_000

_waiting: Final[dict[int, Runnable[Any, Any]]] = {}
"""id(callback manager) -> runnable, for ``abatch()`` calls whose runs have not started yet."""


def outermost_runnable(frame: FrameType | None) -> tuple[Runnable[Any, Any] | None, Mapping[str, Any]]:
    """Return the runnable that the program's own code has called, and ``configurable`` of the config that it was given.

    The runnable is None if there is none on the stack.

    The walk goes from ``frame`` to its callers over LangChain's functions and the methods of runnables, and ends at the
    first function that is neither.
    """
    found, manager, called = _outermost(callers(frame))
    if found is None and isinstance(manager, AsyncCallbackManager):
        return _of_batch(manager), {}
    return found, {} if called is None else _configurable(called)


def _configurable(frame: FrameType) -> Mapping[str, Any]:
    config = frame.f_locals.get("config")
    given = config.get("configurable") if isinstance(config, Mapping) else None
    return given if isinstance(given, Mapping) else {}


def _outermost(frames: Iterable[FrameType]) -> tuple[Runnable[Any, Any] | None, object, FrameType | None]:
    """Return the last runnable in the leading frames that are LangChain's, the last ``self``, and its frame."""
    found: Runnable[Any, Any] | None = None
    called: FrameType | None = None
    last: object = None
    for frame in frames:
        itself = own_object(frame)
        if isinstance(itself, Runnable):
            found, called = itself, frame
        elif not is_of_langchain(frame):
            break
        last = last if itself is None else itself
    return found, last, called


def _of_batch(manager: AsyncCallbackManager) -> Runnable[Any, Any] | None:
    """Return the runnable whose ``abatch`` has started a run: it runs each in a task of its own, and waits for them."""
    if id(manager) not in _waiting:
        _note_batch(manager)
    return _waiting.pop(id(manager), None)


def _note_batch(manager: AsyncCallbackManager) -> None:
    """Find the ``abatch`` call that waits for this manager, and note its runnable for all of its managers."""
    batch = waiting_batch(manager)
    if batch is not None:
        found, *_ = _outermost(reversed(batch.frames))
        if len(_waiting) > _MAX_WAITING:  # entries of cancelled batches are never taken out
            _waiting.clear()
        _waiting.update({} if found is None else {id(one): found for one in batch.managers})
