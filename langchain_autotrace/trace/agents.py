"""Find the graphs of a trace that are agents, and the names of functional workflows.

Few of them say so. ``create_agent`` and ``create_deep_agent`` write metadata, which all runs below inherit;
``create_react_agent``, supervisors and swarms are graphs as any other, told by the functions that their nodes run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from langchain_autotrace.records import SpanEvent, SpanStart, TraceRecord
from langchain_autotrace.semconv import AGENT_INTEGRATIONS, Kind, SpanType, metadata_of, span_name, span_type
from langchain_autotrace.trace import chat

AGENT: Final = "agent"
WORKFLOW: Final = "workflow"
"""Details of a start: what was found of the graph when it was delivered before, without its end."""

_GRAPH_NAME: Final = "LangGraph"
"""Name of a graph that was given none."""
_STEPS: Final = frozenset(
    {
        ("agent", "call_model"),  # create_react_agent
        ("supervisor", "supervisor"),  # create_supervisor; the agent that decides, under the name it has by default
        ("__start__", "route_to_active_agent"),  # create_swarm
    }
)
"""Nodes, and functions that they run as runs of their own, which a user's function is not."""
_DELEGATING: Final = "call_agent"
"""Function by which a node of create_supervisor, which has the agent's name, runs the agent."""
_HANDOFF: Final = "Ask agent '"
"""How the tools that hand over are described, of langgraph-supervisor and langgraph-swarm."""
_EXECUTOR: Final = "AgentExecutor"
_EXECUTOR_EVENTS: Final = frozenset({"agent_action", "agent_finish"})


class Graphs(NamedTuple):
    """What is known of the graphs of a trace."""

    agents: frozenset[str]
    """Ids of the spans that are agents."""
    workflows: Mapping[str, str]
    """Ids of the spans of functional workflows -> names of their functions."""

    def name_and_type(self, start: SpanStart) -> tuple[str, str]:
        """Return the name and the type of a run's span."""
        name = self.workflows.get(start.span_id) or _name(start)
        found = span_type(start.kind, name, start.details)
        if start.kind != Kind.CHAIN or found == SpanType.PARSER:
            return name, found
        return name, SpanType.AGENT if start.span_id in self.agents else SpanType.CHAIN

    def notes(self, span_id: str) -> dict[str, Any]:
        """Return the details that say it of an open span, for when it is delivered again without those below it."""
        is_agent = {AGENT: True} if span_id in self.agents else {}
        return is_agent | ({WORKFLOW: self.workflows[span_id]} if span_id in self.workflows else {})


def graphs(records: Iterable[TraceRecord]) -> Graphs:
    """Return what is known of the graphs of a trace.

    Args:
        records: of the trace, in the order in which they were written.
    """
    runs = _Runs(records)
    agents = {*runs.acting}
    workflows: dict[str, str] = {}
    for span_id, start in runs.starts.items():
        if start.kind == Kind.CHAT_MODEL and (above := runs.graphs_around(start)[1:2]) and _hands_over(start):
            agents.update(above)  # the graph around the agent's own
        if start.kind != Kind.CHAIN:
            continue
        nodes = runs.nodes.get(span_id, ())
        if start.details.get(AGENT) or runs.is_agent(start, nodes):
            agents.add(span_id)
        function = start.details.get(WORKFLOW) or next(filter(None, map(_entrypoint, nodes)), None)
        if function and runs.names[span_id] in (_GRAPH_NAME, function):
            workflows[span_id] = function
    return Graphs(frozenset(agents), workflows)


class _Runs:
    """The runs of a trace, and which of them are nodes of which."""

    def __init__(self, records: Iterable[TraceRecord]) -> None:
        self.starts: dict[str, SpanStart] = {}
        self.acting: set[str] = set()
        """Runs that have chosen tools as agents of the older kind do."""
        for record in records:
            if isinstance(record, SpanStart):
                self.starts[record.span_id] = record
            elif isinstance(record, SpanEvent) and record.name in _EXECUTOR_EVENTS and "log" in record.details:
                self.acting.add(record.span_id)
        self.names = {start.span_id: _name(start) for start in self.starts.values()}
        self.within = {
            start.span_id: metadata_of(start.details).get("langgraph_node") for start in self.starts.values()
        }
        """Names of the nodes that runs are within, by the ids of the runs."""
        self.children: dict[str | None, list[SpanStart]] = defaultdict(list)
        self.nodes: dict[str | None, list[SpanStart]] = defaultdict(list)
        are_nodes: set[str] = set()
        for span_id, start in self.starts.items():  # parents start before their children
            self.children[start.parent_id].append(start)
            if self._is_node(start, is_below_node=start.parent_id in are_nodes):
                are_nodes.add(span_id)
                self.nodes[start.parent_id].append(start)

    def _is_node(self, start: SpanStart, *, is_below_node: bool) -> bool:
        """Return whether a run is a node of its parent: it has the node's name, which runs within it inherit.

        A graph that is a node runs within the node, and may have the same name.
        """
        node, parent_id = self.within[start.span_id], start.parent_id
        if parent_id is None or node is None or node != self.names[start.span_id]:
            return False
        return not (is_below_node and self.within[parent_id] == node)

    def is_agent(self, start: SpanStart, nodes: Sequence[SpanStart]) -> bool:
        """Return whether a run is an agent's graph, or an executor."""
        if self.names[start.span_id] == _EXECUTOR or any(map(self._is_agents_node, nodes)):
            return True
        names = {self.names[node.span_id] for node in nodes}
        integration = metadata_of(start.details).get("ls_integration")
        if integration is None:  # older versions of create_agent say nothing
            return {"model", "tools"} <= names
        if integration not in AGENT_INTEGRATIONS:
            return False
        above = self.starts.get(start.parent_id or "")
        is_first = above is None or _agent(above) != _agent(start)
        return is_first or "model" in names

    def _is_agents_node(self, node: SpanStart) -> bool:
        name, within = self.names[node.span_id], self.within[node.span_id]
        ran = [self.names[one.span_id] for one in self.children[node.span_id] if self.within[one.span_id] == within]
        return any((name, function) in _STEPS or function == _DELEGATING for function in ran)

    def graphs_around(self, start: SpanStart) -> list[str]:
        """Return the ids of the graphs that a run is in, from the inside."""
        return [one.span_id for one in self._above(start) if self.nodes.get(one.span_id)]

    def _above(self, start: SpanStart) -> Iterator[SpanStart]:
        above = self.starts.get(start.parent_id or "")
        while above is not None:
            yield above
            above = self.starts.get(above.parent_id or "")


def _name(start: SpanStart) -> str:
    return span_name(start.kind, start.name, start.details)


def _agent(start: SpanStart) -> tuple[object, object]:
    """Return what metadata says of the agent that a run belongs to."""
    metadata = metadata_of(start.details)
    return metadata.get("ls_integration"), metadata.get("lc_agent_name")


def _entrypoint(node: SpanStart) -> str | None:
    """Return the name of a node that is the function of an ``@entrypoint``: the graph's input itself starts it."""
    is_first = metadata_of(node.details).get("langgraph_triggers") == ["__start__"]
    return _name(node) if is_first and _name(node) != "__start__" else None


def _hands_over(model: SpanStart) -> bool:
    """Return whether a model is offered a tool that hands over to another agent."""
    params = model.details.get("params")
    offered = params.get("tools") if isinstance(params, dict) else None
    described = (tool["function"] for tool in chat.tools(offered))
    return any(isinstance(one, dict) and str(one.get("description", "")).startswith(_HANDOFF) for one in described)
