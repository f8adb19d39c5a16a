"""Names models: by what the program called the chain, or else by its steps."""

from __future__ import annotations

from typing import Any, Final

from langchain_core.prompts import BasePromptTemplate
from langchain_core.runnables import Runnable, RunnableBranch, RunnableSequence

_DEFAULTS: Final = ("LangGraph", "Runnable")
"""Names of runs that LangChain and LangGraph give, or their beginnings."""
_INNER: Final = ("bound", "runnable", "default")
"""Fields with the runnable that another one wraps: bindings, retries, fallbacks, alternatives."""
_MAX_STEPS: Final = 8
_HUB: Final = "lc_hub_repo"
"""Key of a prompt's metadata with its name in LangChain's hub."""


def model_name(run_name: str, chain: object) -> str:
    """Return the name of a chain's model.

    Args:
        run_name: name of the root run: given with ``run_name``, or LangChain's default.
        chain: the chain that ran.
    """
    if not run_name.startswith(_DEFAULTS):
        return run_name
    unwrapped = _unwrapped(chain)
    own = _attribute(unwrapped, "name")
    if isinstance(own, str) and own and not own.startswith(_DEFAULTS):
        return own
    if isinstance(unwrapped, RunnableSequence):
        named = (_prompt_name(step) for step in unwrapped.steps if isinstance(step, BasePromptTemplate))
        return next(filter(None, named), None) or "-".join(step_names(chain))
    if _nodes(unwrapped):
        return "-".join(["LangGraph", *step_names(chain)])
    return run_name if type(unwrapped).__name__.startswith(_DEFAULTS) else type(unwrapped).__name__


def step_names(chain: object) -> list[str]:
    """Return the names of a chain's steps, or of a graph's nodes: classes, or the names that they were given."""
    unwrapped = _unwrapped(chain)
    nodes = _nodes(unwrapped)
    names = nodes or [_step(step) for step in (unwrapped.steps if isinstance(unwrapped, RunnableSequence) else [chain])]
    return names if len(names) <= _MAX_STEPS else [*names[: _MAX_STEPS - 2], "…", names[-1]]


def _step(step: object) -> str:
    unwrapped = _unwrapped(step)
    return str(_attribute(unwrapped, "name") or type(unwrapped).__name__)


def _unwrapped(chain: Any) -> Any:
    """Return what a binding, retry, fallback or choice of alternatives wraps."""
    for _ in range(_MAX_STEPS):
        if not type(chain).__module__.startswith("langchain_core.runnables") or isinstance(chain, RunnableBranch):
            return chain  # a branch has a default, too: only one of its ways
        inner = next((found for field in _INNER if isinstance(found := _attribute(chain, field), Runnable)), None)
        if inner is None:
            return chain
        chain = inner
    return chain


def _attribute(value: object, name: str) -> Any:
    try:
        return getattr(value, name, None)
    except Exception:  # noqa: BLE001 - a class of the program may raise anything
        return None


def _prompt_name(prompt: BasePromptTemplate[Any]) -> str | None:
    return prompt.name or (prompt.metadata or {}).get(_HUB)


def _nodes(chain: object) -> list[str]:
    builder = getattr(chain, "builder", None) if type(chain).__module__.startswith("langgraph.") else None
    return [str(name) for name in getattr(builder, "nodes", ())]
