"""Describes LangGraph's graphs and LangChain's agents: nodes, edges, models, tools, prompts, middleware."""

from __future__ import annotations

import functools
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from langchain_core.language_models import BaseLanguageModel
from langchain_core.messages import SystemMessage
from langchain_core.prompts import BasePromptTemplate
from langchain_core.runnables import Runnable, RunnableBinding
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

_MAX_DEPTH: Final = 8
_MAX_OBJECTS: Final = 2_000
_HELD: Final = (str, int, float, bool)


def described(value: object) -> dict[str, Any] | None:
    """Return what a compiled graph is made of; None for any other value. langgraph is not imported for it.

    Returns:
        ``nodes`` and ``edges`` by name, ``mermaid`` (the drawing that LangGraph makes), and what was found in the nodes
        and the functions that they call: ``models``, ``tools`` (name, description, schema of the arguments),
        ``system_prompts``, ``prompts``, ``middleware`` and ``graphs`` (those that are nodes).
    """
    builder = getattr(value, "builder", None) if type(value).__module__.startswith("langgraph.") else None
    if builder is None:
        return None
    parts = _Parts()
    graphs: dict[str, Any] = {}
    for name, node in getattr(builder, "nodes", {}).items():
        inner = getattr(node, "runnable", None)
        if (graph := described(inner)) is not None:
            graphs[str(name)] = graph
        else:
            parts.add(inner, 0)
    found = {"nodes": _nodes(builder), "edges": _edges(builder), "mermaid": _mermaid(value), **parts.found()}
    found["graphs"] = graphs
    return {key: item for key, item in found.items() if item or key in {"nodes", "edges"}}


def _nodes(builder: Any) -> list[str]:
    return [str(name) for name in getattr(builder, "nodes", ())]


def _edges(builder: Any) -> list[list[str]]:
    edges = sorted([str(end) for end in edge] for edge in getattr(builder, "edges", ()))
    for starts, end in getattr(builder, "waiting_edges", ()):  # an edge from several nodes
        edges += [[str(start), str(end)] for start in starts]
    for source, ends in getattr(builder, "branches", {}).items():
        for branch in ends.values():
            edges += [[str(source), str(end)] for end in sorted((getattr(branch, "ends", None) or {"?": "?"}).values())]
    return edges


def _mermaid(graph: Any) -> str | None:
    try:
        return str(graph.get_graph().draw_mermaid())
    except Exception:  # noqa: BLE001 - a drawing is not worth an error, and functions of the program may be asked
        return None


class _Parts:
    """What nodes of a graph hold, found by walking over runnables, closures, and globals that functions use."""

    def __init__(self) -> None:
        self._seen: dict[int, object] = {}
        self._models: list[object] = []
        self._prompts: list[object] = []
        self._tools: dict[str, object] = {}
        self._system: list[Any] = []
        self._middleware: list[object] = []

    def found(self) -> dict[str, Any]:
        return {
            "models": self._models,
            "tools": list(self._tools.values()),
            "system_prompts": self._system,
            "prompts": self._prompts,
            "middleware": self._middleware,
        }

    def add(self, value: Any, depth: int) -> None:
        if depth > _MAX_DEPTH or len(self._seen) > _MAX_OBJECTS or value is None or isinstance(value, _HELD):
            return
        if id(value) in self._seen:
            return
        self._seen[id(value)] = value
        if not self._note(value):
            for inner in _inside(value):
                self.add(inner, depth + 1)

    def _note(self, value: Any) -> bool:
        """Note a value that is a part by itself; return False for what may contain parts."""
        if isinstance(value, BaseLanguageModel):
            self._models.append(value)
        elif isinstance(value, BaseTool):
            self._tools.setdefault(value.name, _tool(value))
        elif isinstance(value, SystemMessage):
            if value.content not in self._system:
                self._system.append(value.content)
        elif isinstance(value, BasePromptTemplate):
            self._prompts.append(value)
        elif any(base.__name__ == "AgentMiddleware" for base in type(value).__mro__):
            self._middleware.append(_middleware(value))
            for tool in getattr(value, "tools", ()):
                self.add(tool, _MAX_DEPTH)
        else:
            return False
        return True


def _tool(tool: BaseTool) -> dict[str, Any]:
    try:
        schema = convert_to_openai_tool(tool)["function"].get("parameters")
    except Exception:  # noqa: BLE001 - a schema that pydantic cannot write
        schema = None
    return {"name": tool.name, "description": tool.description, "schema": schema}


def _middleware(value: object) -> dict[str, Any]:
    held = {name: item for name, item in vars(value).items() if isinstance(item, _HELD) and not name.startswith("_")}
    models = [item for item in vars(value).values() if isinstance(item, BaseLanguageModel)]
    return {"name": type(value).__name__, "settings": held, **({"models": models} if models else {})}


def _inside(value: Any) -> Iterable[object]:  # noqa: PLR0911 - a case each
    if isinstance(value, Mapping):
        return list(value.values())
    if isinstance(value, list | tuple):
        return list(value)
    if isinstance(value, types.MethodType):
        return [value.__func__, value.__self__]
    if isinstance(value, functools.partial):
        return [value.func, *value.args, *value.keywords.values()]
    if isinstance(value, types.FunctionType):
        return list(_of_function(value))
    if isinstance(value, RunnableBinding):
        return [value.bound, value.kwargs]
    is_part = isinstance(value, Runnable) or type(value).__module__.startswith(("langchain", "langgraph"))
    return list(getattr(value, "__dict__", {}).values()) if is_part else []


def _of_function(function: types.FunctionType) -> Iterator[object]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # empty
            continue
    for name in function.__code__.co_names:
        found = function.__globals__.get(name)
        if isinstance(found, Runnable | SystemMessage | list | tuple):
            yield found
