"""Reads what a callback is not told from the call that it comes from.

Whose a root run is: LangChain from 1.3 on hands ``configurable`` to LangSmith's handlers alone, and LangGraph hands
``context`` to none. Where a graph stops by ``interrupt_before`` or ``interrupt_after``: LangGraph tells no handler. The
methods that run a runnable have all of it in their variables, under the names of their public arguments.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from types import FrameType, TracebackType
from typing import Any, Final, NamedTuple
from uuid import UUID

from langchain_core.callbacks import AsyncCallbackManager, BaseCallbackManager
from langchain_core.runnables import Runnable

from langchain_autotrace.capture.stack import callers, is_of_langchain, own_object, waiting_batch
from langchain_autotrace.semconv import SESSION_KEYS, USER_KEYS

_KEYS: Final = (*SESSION_KEYS, *USER_KEYS)
_GRAPH_MODULE: Final = "langgraph.pregel"
_GRAPH_METHODS: Final = frozenset({"stream", "astream"})
_CALLBACKS: Final = ("langchain_autotrace.", "langchain_core.callbacks.")
"""Modules between a method that starts a run, and us."""
_MAX_TEXT: Final = 1_000
_MAX_WAITING: Final = 10_000

_waiting: Final[dict[int, tuple[object, object]]] = {}
"""id(callback manager) -> manager and config, for ``abatch()`` calls whose runs have not started yet."""


class Call(NamedTuple):
    """The call that starts a root run."""

    details: dict[str, Any]
    """``configurable`` and ``agent_context``, of :class:`~langchain_autotrace.records.SpanStart`."""
    graph: FrameType | None
    """The method that runs a LangGraph graph, when the root is one."""


NO_CALL: Final = Call({}, None)


def root_call(frame: FrameType | None) -> Call:
    """Return the function call that started a root run.

    Args:
        frame: frame of the callback, or of a function that it has called.
    """
    try:
        config, found = _config(frame)
        details = {}
        if isinstance(config, dict) and (own := owners(config.get("configurable"))):
            details["configurable"] = own
        graph = found if found is not None and _is_graph(found) else None
        if graph is not None and (own := owners(graph.f_locals.get("context"))):
            details["agent_context"] = own
        return Call(details, graph)
    except Exception:  # noqa: BLE001 - the stack is not as LangChain's is known to be
        return NO_CALL


def graph_above(frame: FrameType | None) -> FrameType | None:
    """Return the frame of the LangGraph method that started a run; None for a run of any other kind.

    Args:
        frame: frame of the callback.
    """
    if _GRAPH_MODULE not in sys.modules:
        return None
    while frame is not None and frame.f_globals.get("__name__", "").startswith(_CALLBACKS):
        frame = frame.f_back
    return frame if frame is not None and _is_graph(frame) else None


def resumes(inputs: tuple[object] | None) -> bool:
    """Return whether a graph's inputs, in a tuple, resume it: None, or LangGraph's ``Command`` with an answer."""
    if inputs is None or inputs[0] is None:
        return inputs is not None
    kind = type(inputs[0])
    is_command = kind.__name__ == "Command" and kind.__module__.startswith("langgraph.")
    return is_command and getattr(inputs[0], "resume", None) is not None


def owners(given: object) -> dict[str, str]:
    """Return session and user that a mapping or object names by its keys or fields, and nothing else of it."""
    if given is None or (type(given) is dict and not given):
        return {}
    found = {key: _field(given, key) for key in _KEYS}
    return {key: value for key, value in found.items() if value}


def _field(given: Any, key: str) -> str:  # noqa: ANN401 - any context
    """Return a text, number or UUID as text; an empty text for any other value, and for one that cannot be read."""
    try:
        value = given.get(key) if isinstance(given, Mapping) else getattr(given, key, None)
        return str(value)[:_MAX_TEXT] if value and isinstance(value, str | int | UUID) else ""
    except Exception:  # noqa: BLE001 - a property of the user's raises anything
        return ""


def stop_of(graph: FrameType) -> dict[str, list[str]] | None:
    """Return where a graph's run has stopped by ``interrupt_before`` or ``interrupt_after``, None where it has not.

    It is the nodes ``before`` which it was, or those ``after`` which it was to stop, and the ``next`` ones.

    Args:
        graph: the method that runs the graph.
    """
    try:
        return _stop_of_loop(graph.f_locals.get("loop"))
    except Exception:  # noqa: BLE001 - not as LangGraph is known; the run's end is written without it
        return None


def asked(error: BaseException) -> dict[str, Any]:
    """Return the questions of LangGraph's interrupt, or the nodes at which it stopped, as a detail of the run's end.

    The questions have the form in which LangGraph returns them. An exception without questions comes from a subgraph
    that has stopped by ``interrupt_before`` or ``interrupt_after``; its nodes are returned.
    """
    try:
        given = error.args[0] if error.args else ()
        given = given if isinstance(given, list | tuple) else (given,)
        if given:
            return {"interrupts": [_question(one) for one in given]}
        stop = _stop_of_traceback(error.__traceback__)
    except Exception:  # noqa: BLE001 - as above
        stop = None
    return {} if stop is None else {"stopped": stop}


def _question(interrupt: object) -> dict[str, Any]:
    return {"value": getattr(interrupt, "value", interrupt), "id": getattr(interrupt, "id", None)}


def _stop_of_traceback(traceback: TracebackType | None) -> dict[str, list[str]] | None:
    while traceback is not None:
        frame = traceback.tb_frame
        is_loop = frame.f_globals.get("__name__", "").startswith(_GRAPH_MODULE)
        if is_loop and (stop := _stop_of_loop(own_object(frame))) is not None:
            return stop
        traceback = traceback.tb_next
    return None


def _config(frame: FrameType | None) -> tuple[object, FrameType | None]:
    """Return the config of the innermost method on the stack that has one, and its frame."""
    inner: list[FrameType] = []
    for one in callers(frame):
        if not is_of_langchain(one) and not isinstance(own_object(one), Runnable):
            break
        config = one.f_locals.get("config") if "config" in one.f_code.co_varnames else None
        if isinstance(config, dict):
            return config, one
        inner.append(one)
        if isinstance(config, list):
            return _of_batch(inner, config), None
    manager = own_object(inner[-1]) if inner else None
    return (_of_waiting_batch(manager) if isinstance(manager, AsyncCallbackManager) else None), None


def _of_batch(inner: Sequence[FrameType], configs: Sequence[object]) -> object:
    """Return the config of a run that a batch has started, of all that the batch was given.

    Args:
        inner: frames from the callback to the batch.
        configs: of the batch, in the order of its inputs.
    """
    manager = next((one for one in map(own_object, inner) if isinstance(one, BaseCallbackManager)), None)
    for frame in inner:
        managers = frame.f_locals.get("callback_managers")
        if isinstance(managers, list):
            found = (config for one, config in zip(managers, configs, strict=False) if one is manager)
            return next(found, None)
    return None


def _of_waiting_batch(manager: object) -> object:
    """Return the config of a run that an asynchronous batch has started in a task of its own."""
    if id(manager) not in _waiting and (batch := waiting_batch(manager)) is not None:
        if len(_waiting) > _MAX_WAITING:  # entries of cancelled batches are never taken out
            _waiting.clear()
        found = (frame.f_locals.get(name) for frame in reversed(batch.frames) for name in ("configs", "config"))
        given = next((one for one in found if isinstance(one, dict | list)), None)
        configs = given if isinstance(given, list) else [given] * len(batch.managers)
        pairs = zip(batch.managers, configs, strict=False)
        _waiting.update({id(one): (one, config) for one, config in pairs})  # kept: nothing else gets its id
    return _waiting.pop(id(manager), (None, None))[1]


def _is_graph(frame: FrameType) -> bool:
    return frame.f_code.co_name in _GRAPH_METHODS and frame.f_globals.get("__name__", "").startswith(_GRAPH_MODULE)


def _stop_of_loop(loop: Any) -> dict[str, list[str]] | None:  # noqa: ANN401 - langgraph is not imported
    status = getattr(loop, "status", None)
    if status == "interrupt_before":
        names = _names(loop.tasks)
        return {"before": [name for name in names if loop.interrupt_before == "*" or name in loop.interrupt_before]}
    if status != "interrupt_after":
        return None
    chosen = ["*"] if loop.interrupt_after == "*" else [*map(str, loop.interrupt_after)]
    # LangGraph has prepared the next tasks by then, or, before 1.2, still has those that are done.
    is_next = not any(task.writes for task in loop.tasks.values())
    return {"after": chosen, **({"next": _names(loop.tasks)} if is_next and loop.tasks else {})}


def _names(tasks: Mapping[str, Any]) -> list[str]:
    return [*dict.fromkeys(str(task.name) for task in tasks.values())]
