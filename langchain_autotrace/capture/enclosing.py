"""The run that encloses the calling code, by LangChain's context variable.

LangChain sets the variable around the code of lambdas, tools and graph nodes. It knows the parent of most runs itself;
not where the program gives a run callbacks of its own, nor of the attempts of ``with_fallbacks``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from langchain_core.runnables.config import var_child_runnable_config

from langchain_autotrace.capture.runs import RunHolder, find, key_of

if TYPE_CHECKING:
    from langchain_autotrace.capture.recorder import Recorder
    from langchain_autotrace.capture.runs import Run

Found: TypeAlias = "Run | Literal[False] | None"
"""An open run; False if it is not traced, None if it is unknown."""

_current_config = var_child_runnable_config.get


def callback_manager() -> Any:  # noqa: ANN401 - LangChain's, or None
    """Return the callback manager of the enclosing lambda, tool or graph node; None outside of one."""
    config = _current_config()
    manager = config.get("callbacks") if config else None
    return manager if hasattr(manager, "parent_run_id") else None


def run_of(manager: Any, run_id: Any, recorder: Recorder | None) -> Found:  # noqa: ANN401 - LangChain's
    """Return the open run of this id that a callback manager's handlers know.

    If several of our handlers know it, the one that records to ``recorder`` takes precedence.
    """
    if run_id is None:
        return None
    key = key_of(run_id)
    found: Found = None
    for handler in getattr(manager, "handlers", ()):
        if not isinstance(handler, RunHolder) or key not in handler.runs:
            continue
        run: Found = False if handler.runs[key] is None else find(handler.runs, key)
        if handler.recorder is recorder:
            return run
        found = run if found is None else found
    return found


def parent_of(parent_run_id: object, known: Run | None, recorder: Recorder) -> Found:
    """Return the parent of a run that starts now: the enclosing run where LangChain has lost it, else the known one.

    Args:
        parent_run_id: as LangChain gave it.
        known: the run of that id, if it is open.
        recorder: the new run's; runs that another one records are no parents.
    """
    manager = callback_manager()
    if manager is None or manager.parent_run_id is None or manager.parent_run_id == parent_run_id:
        return known
    found = run_of(manager, manager.parent_run_id, recorder)
    if known is None:
        return found if not found or found.recorder is recorder else None
    return found if found and found.is_below(known) else known
