"""Which graphs are agents, and what functional workflows are called."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest

from langchain_autotrace.journal.codec import decode
from langchain_autotrace.records import Record, SpanStart
from langchain_autotrace.trace.join import Joiner
from langchain_autotrace.trace.spans import Span, trace_of
from tests.trace.support import end, event, joiner, span_id, spans_of, start

AGENTS: Final = Path(__file__).parent / "agents"

Tree = tuple[str, str, list["Tree"]]

REACT: Final[Tree] = (
    "agent",
    "CHAIN",
    [
        ("call_model", "CHAIN", []),
        ("RunnableSequence", "CHAIN", [("Prompt", "CHAIN", []), ("Model", "CHAT_MODEL", [])]),
        ("should_continue", "CHAIN", []),
    ],
)
MODEL: Final[Tree] = ("model", "CHAIN", [("Model", "CHAT_MODEL", [])])
DEEP: Final[Tree] = ("PatchToolCallsMiddleware.before_agent", "CHAIN", [])
BOSS: Final[Tree] = ("boss", "CHAIN", [("boss", "AGENT", [REACT])])
SCRATCHPAD: Final = "agent_scratchpad"
PLAN: Final[Tree] = (
    "RunnableSequence",
    "CHAIN",
    [
        (
            f"RunnableAssign<{SCRATCHPAD}>",
            "CHAIN",
            [(f"RunnableParallel<{SCRATCHPAD}>", "CHAIN", [("RunnableLambda", "CHAIN", [])])],
        ),
        ("ChatPromptTemplate", "CHAIN", []),
        ("Model", "CHAT_MODEL", []),
        ("ToolsAgentOutputParser", "PARSER", []),
    ],
)


def calling(*nodes: Tree, tool: str) -> list[Tree]:
    """Nodes of an agent, and its node of tools, which has called one."""
    return [*nodes, ("tools", "CHAIN", [(tool, "TOOL", [])])]


TREES: Final[dict[str, Tree]] = {
    "supervisor": (
        "team",
        "AGENT",
        [
            ("boss", "CHAIN", [("boss", "AGENT", calling(REACT, tool="transfer_to_math"))]),
            ("math", "CHAIN", [("call_agent", "CHAIN", [("math", "AGENT", [REACT])])]),
            BOSS,
        ],
    ),
    "supervisor_alone": ("LangGraph", "AGENT", [BOSS]),
    "swarm": (
        "LangGraph",
        "AGENT",
        [
            ("__start__", "CHAIN", [("route_to_active_agent", "CHAIN", [])]),
            ("alice", "CHAIN", [("alice", "AGENT", calling(REACT, tool="transfer_to_bob"))]),
            ("bob", "CHAIN", [("bob", "AGENT", [REACT])]),
        ],
    ),
    "deep_agent": (
        "mine",
        "AGENT",
        [
            *(DEEP, MODEL),
            (
                "tools",
                "CHAIN",
                [("task", "TOOL", [("researcher", "AGENT", [*calling(DEEP, MODEL, tool="add"), MODEL])])],
            ),
            *(MODEL, ("_ParentNotifierMiddleware.after_agent", "CHAIN", [])),
        ],
    ),
    "executor": ("mine", "AGENT", [PLAN, ("invalid_tool", "TOOL", []), PLAN]),
    "executor_stream": ("AgentExecutor", "AGENT", [PLAN, ("add", "TOOL", []), PLAN]),
}
"""Of the programs that ``scripts/record_agents.py`` has recorded."""


def recorded(name: str) -> list[Span]:
    """The spans of a recorded program."""
    made = Joiner()
    for line in (AGENTS / f"{name}.jsonl").read_bytes().splitlines():
        made.add(decode(line), 0.0)
    (trace,) = made.take(0.0)
    return trace_of(trace).spans


def tree(spans: list[Span]) -> Tree:
    """The spans as (name, type, children)."""

    def node(span: Span) -> Tree:
        return (span.name, span.type, [node(one) for one in spans if one.parent_id == span.span_id])

    (root,) = (span for span in spans if span.parent_id is None)
    return node(root)


@pytest.mark.parametrize("name", TREES)
def test_a_recorded_agent(name: str) -> None:
    """Agents of other packages are AGENT, at the root and below, under any name; their nodes and steps are not."""
    assert tree(recorded(name)) == TREES[name]


def test_an_executor_asked_for_a_tool_that_does_not_exist() -> None:
    """The tool that AgentExecutor runs in place of one that does not exist is an ERROR, with what it said."""
    (tool,) = (span for span in recorded("executor") if span.type == "TOOL")
    assert (tool.status, tool.message) == ("ERROR", "sub is not a valid tool, try one of [add].")
    assert tool.inputs == [{"requested_tool_name": "sub", "available_tool_names": ["add"]}]


def within(node: str, **more: Any) -> dict[str, Any]:
    """Metadata of a run within a node of a graph."""
    return {"metadata": {"langgraph_node": node, **more}}


def test_an_agent_that_is_delivered_again_without_its_steps() -> None:
    """A graph that was open when its trace was delivered is AGENT then, and when it ends, also after a restart."""
    begun: list[Record] = [
        *(start(1, 1), start(1, 2, 1, name="LangGraph")),
        *(start(1, 3, 2, name="agent", **within("agent")), start(1, 4, 3, name="call_model", **within("agent"))),
        *(end(1, 4), end(1, 3), end(1, 1)),
    ]
    made = joiner(*begun)
    (first,) = map(trace_of, made.take(2.0))
    again = joiner(*made.unfinished())
    types = []
    for one in (made, again):
        one.add(end(1, 2), 5.0)
        (late,) = map(trace_of, one.take(5.0))
        types.append([(span.span_id, span.type) for span in late.spans])

    assert {span.span_id: span.type for span in first.spans}[span_id(2)] == "AGENT"
    assert types == [[(span_id(2), "AGENT")]] * 2


def test_a_workflow_that_is_delivered_again_without_its_function() -> None:
    """A functional workflow that was open when its trace was delivered keeps its name when it ends."""
    made = joiner(
        *(start(1, 1), start(1, 2, 1, name="LangGraph")),
        *(start(1, 3, 2, name="flow", **within("flow", langgraph_triggers=["__start__"])), end(1, 3), end(1, 1)),
    )
    (first,) = map(trace_of, made.take(2.0))
    made.add(end(1, 2), 5.0)
    (second,) = map(trace_of, made.take(5.0))

    assert [span.name for span in first.spans] == ["span 1", "flow", "flow"]
    assert [span.name for span in second.spans] == ["flow"]


CLASS: Final[dict[str, Any]] = {"class": "AgentExecutor"}
CREATED: Final = {"ls_integration": "langchain_create_agent"}
ROOT: Final = start(1, 1, name="LangGraph")


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        # A graph that a tool of an agent runs inherits the agent's metadata.
        ([start(1, 1, metadata=CREATED), start(1, 2, 1, name="LangGraph", metadata=CREATED)], ["AGENT", "CHAIN"]),
        (
            [
                *(start(1, 1, metadata=CREATED), start(1, 2, 1, name="LangGraph", metadata=CREATED)),
                start(1, 3, 2, name="model", **within("model", **CREATED)),
            ],
            ["AGENT", "AGENT", "CHAIN"],
        ),
        # Of an older create_agent, which says nothing.
        ([ROOT, start(1, 2, 1, name="model", **within("model"))], ["CHAIN", "CHAIN"]),
        (
            [ROOT, start(1, 2, 1, name="model", **within("model")), start(1, 3, 1, name="tools", **within("tools"))],
            ["AGENT", "CHAIN", "CHAIN"],
        ),
        # A workflow named agent with a task named call_model.
        (
            [
                *(ROOT, start(1, 2, 1, name="agent", **within("agent"))),
                start(1, 3, 2, name="call_model", **within("call_model")),
            ],
            ["CHAIN", "CHAIN", "CHAIN"],
        ),
        ([ROOT, event(1, 1, "agent_action", tool="add", tool_input={}, log="")], ["AGENT"]),
        ([ROOT, event(1, 1, "agent_action", data="an event of the program's")], ["CHAIN"]),
        ([start(1, 1, name=None, **CLASS)], ["AGENT"]),
        ([start(1, 1, name="AgentExecutor", kind="tool")], ["TOOL"]),
    ],
)
def test_what_is_an_agent(records: list[Any], expected: list[str]) -> None:
    """An agent is told by its own metadata, by its nodes and what they run, or by what an executor says."""
    ends = [end(1, int(one.span_id, 16)) for one in reversed(records) if isinstance(one, SpanStart)]
    assert [span.type for span in spans_of(*records, *ends)] == expected
