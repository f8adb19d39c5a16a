"""Agents, workflows and failed tools of whole programs, as they stand in the store."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, Final

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.func import entrypoint, task
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import create_react_agent
from mlflow.entities import Trace

from tests.local_http import QuietHandler, serving
from tests.support import Tree, spans_named, tree
from tests.test_journeys import Scripted, add, calling, collect, traced

pytestmark = [
    pytest.mark.filterwarnings("ignore:create_react_agent has been moved"),
    # Versions of openai differ in the type of an MCP call's error.
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings"),
]

Json = dict[str, Any]
QUESTION: Final[Json] = {"messages": [("user", "1 + 2?")]}
MISSING: Final = AIMessage(
    "",
    tool_calls=[{"name": "sub", "args": {"a": 3}, "id": "c1"}, {"name": "add", "args": {"a": 1, "b": 2}, "id": "c2"}],
)


def agent(make: Any, *answers: AIMessage, **more: Any) -> Any:
    """An agent that can add."""
    return make(Scripted(messages=iter(answers)), [add], **more)


def missing(make: Any = create_agent, **more: Any) -> Any:
    """An agent whose model calls a tool that does not exist, and one that does, and the first one again."""
    return agent(make, MISSING, calling("sub", {"a": 4}), AIMessage("?"), **more)


def names_and_types(trace: Trace, *types: str) -> list[tuple[str, str]]:
    """The spans of these types, below their parents' names."""
    by_id = {span.span_id: span.name for span in trace.data.spans}
    return sorted(
        (by_id.get(str(span.parent_id), ""), span.name) for span in trace.data.spans if span.span_type in types
    )


WAYS: Final[dict[str, Callable[[], Any]]] = {
    "invoke": lambda: missing().invoke(QUESTION),
    "stream": lambda: list(missing().stream(QUESTION)),
    "ainvoke": lambda: asyncio.run(missing().ainvoke(QUESTION)),
    "astream": lambda: asyncio.run(collect(missing().astream(QUESTION))),
    "batch": lambda: missing().batch([QUESTION]),
    "react": lambda: missing(create_react_agent).invoke(QUESTION),
    "one node for all calls": lambda: missing(create_react_agent, version="v1").invoke(QUESTION),
}


def test_tools_that_do_not_exist(store: str) -> None:
    """Each call of a tool that does not exist is an ERROR span below its node, with what was asked and answered."""
    traces = traced(store, lambda: [run() for run in WAYS.values()])
    assert len(traces) == len(WAYS)
    for way, trace in zip(WAYS, traces, strict=True):
        assert names_and_types(trace, "TOOL") == [("tools", "add"), ("tools", "sub"), ("tools", "sub")], way
        asked = {str(span.inputs): span for span in spans_named(trace, "sub")}
        assert set(asked) == {"{'a': 3}", "{'a': 4}"}, way
        text = "Error: sub is not a valid tool, try one of [add]."
        for span in asked.values():
            assert (span.status.status_code.value, span.status.description) == ("ERROR", text)
            assert span.outputs["content"] == text
            assert span.get_attribute("langchain.tool_call_id") == "c1"
            above = next(one for one in trace.data.spans if one.span_id == span.parent_id)
            assert (span.start_time_ns, span.end_time_ns) == (above.start_time_ns, above.end_time_ns)
        errors = [span.name for span in trace.data.spans if span.status.status_code.value == "ERROR"]
        assert (sorted(errors), trace.info.state.value) == (["sub", "sub"], "OK"), way


def test_arguments_that_a_tool_does_not_take(store: str) -> None:
    """A call with wrong arguments is one ERROR span, the tool's run."""
    wrong = agent(create_agent, calling("add", {"a": "x"}), AIMessage("?"))
    (trace,) = traced(store, lambda: wrong.invoke(QUESTION))
    (span,) = (one for one in trace.data.spans if one.span_type == "TOOL")
    assert (span.name, span.status.status_code.value) == ("add", "ERROR")
    assert span.status.description.startswith("ValidationError: ")


def in_a_graph(node: Any, name: str) -> Any:
    """A graph with one node."""
    graph = StateGraph(MessagesState)
    graph.add_node(name, node)
    graph.add_edge(START, name)
    return graph.compile(name="plain")


@tool
def ask(question: str) -> str:
    """Run a graph, and an agent."""
    in_a_graph(lambda _: {"messages": [AIMessage("?")]}, "think").invoke(QUESTION)
    in_a_graph(lambda _: {"messages": [AIMessage("?")]}, "agent").with_config(run_name="LangGraph").invoke(QUESTION)
    return str(adding(create_agent, name="inner").invoke(QUESTION)["messages"][-1].content)


def adding(make: Any, **more: Any) -> Any:
    """An agent that adds."""
    return agent(make, calling("add", {"a": 1, "b": 2}), AIMessage("3"), **more)


def asking() -> Any:
    """An agent without a name that asks another."""
    return create_agent(Scripted(messages=iter([calling("ask", {"question": "?"}), AIMessage("3")])), [ask])


MINE: Final[Any] = {"run_name": "mine"}
AGENTS: Final[dict[str, tuple[Callable[[], Any], list[tuple[str, str]]]]] = {
    "create_agent": (lambda: adding(create_agent).invoke(QUESTION), [("", "LangGraph")]),
    "create_agent, named": (lambda: adding(create_agent, name="adder").invoke(QUESTION), [("", "adder")]),
    "create_agent, run_name": (lambda: adding(create_agent, name="adder").invoke(QUESTION, MINE), [("", "mine")]),
    "create_react_agent": (lambda: adding(create_react_agent).invoke(QUESTION), [("", "LangGraph")]),
    "create_react_agent, run_name": (lambda: adding(create_react_agent).invoke(QUESTION, MINE), [("", "mine")]),
    "create_react_agent, async": (
        lambda: asyncio.run(collect(adding(create_react_agent, name="adder").astream(QUESTION))),
        [("", "adder")],
    ),
    "create_agent as a node": (
        lambda: in_a_graph(adding(create_agent, name="adder"), "adder").invoke(QUESTION),
        [("adder", "adder")],
    ),
    "create_react_agent as a node": (
        lambda: in_a_graph(adding(create_react_agent), "adder").invoke(QUESTION),
        [("adder", "LangGraph")],
    ),
    "agent within a tool": (lambda: asking().invoke(QUESTION), [("", "LangGraph"), ("ask", "inner")]),
    "plain graph": (lambda: in_a_graph(lambda _: {"messages": []}, "agent").invoke(QUESTION), []),
}


def test_agents(store: str) -> None:
    """An agent's own graph is AGENT, under any name and wherever it runs; its nodes and plain graphs are CHAIN."""
    traces = traced(store, lambda: [run() for run, _ in AGENTS.values()])
    found = [names_and_types(trace, "AGENT") for trace in traces]
    assert dict(zip(AGENTS, found, strict=True)) == {name: expected for name, (_, expected) in AGENTS.items()}


@task
def double(x: int) -> int:
    """Double."""
    return 2 * x


@entrypoint()
def quadruple(x: int) -> int:
    """Double twice."""
    return double(double(x).result()).result()


@task
async def adouble(x: int) -> int:
    """Double."""
    return 2 * x


@entrypoint()
async def aquadruple(x: int) -> int:
    """Double twice."""
    return await adouble(await adouble(x))


def flow(name: str, function: str, step: str) -> Tree:
    """The tree of a workflow of two steps."""
    steps: list[Tree] = [(step, "CHAIN", "OK", []), (step, "CHAIN", "OK", [])]
    return (name, "CHAIN", "OK", [(function, "CHAIN", "OK", steps)])


SYNC: Final = flow("quadruple", "quadruple", "double")
ASYNC: Final = flow("aquadruple", "aquadruple", "adouble")
FLOWS: Final[dict[str, tuple[Callable[[], Any], Tree]]] = {
    "invoke": (lambda: quadruple.invoke(1), SYNC),
    "stream": (lambda: list(quadruple.stream(1)), SYNC),
    "batch": (lambda: quadruple.batch([1]), SYNC),
    "run_name": (lambda: quadruple.invoke(1, MINE), flow("mine", "quadruple", "double")),
    "ainvoke": (lambda: asyncio.run(aquadruple.ainvoke(1)), ASYNC),
    "astream": (lambda: asyncio.run(collect(aquadruple.astream(1))), ASYNC),
}


@pytest.mark.parametrize("content", [True, False])
def test_functional_workflows(content: bool, store: str) -> None:  # noqa: FBT001 - a setting
    """A functional workflow, and its trace, have the name of its function, or of its run when that has one."""
    traces = traced(store, lambda: [run() for run, _ in FLOWS.values()], capture_content=content)
    assert dict(zip(FLOWS, map(tree, traces), strict=True)) == {way: expected for way, (_, expected) in FLOWS.items()}
    assert [one.info.tags["mlflow.traceName"] for one in traces] == [expected[0] for _, expected in FLOWS.values()]


OUTPUT: Final[list[Json]] = [
    {"type": "web_search_call", "id": "w1", "status": "failed", "action": {"type": "search", "query": "cats"}},
    {
        "type": "mcp_call",
        "id": "m1",
        "name": "rows",
        "server_label": "db",
        "arguments": '{"table": "cats"}',
        "error": {"type": "http_error", "code": 503, "message": "unreachable"},
        "output": None,
    },
    {
        "type": "code_interpreter_call",
        "id": "i1",
        "status": "completed",
        "code": "1 + 1",
        "container_id": "k",
        "outputs": [{"type": "logs", "logs": "2"}],
    },
    {
        "type": "message",
        "id": "t1",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": "Cats sleep.", "annotations": []}],
    },
]
RESPONSE: Final[Json] = {
    "id": "r1",
    "object": "response",
    "created_at": 1,
    "model": "gpt-5.1",
    "status": "completed",
    "tools": [],
    "output": OUTPUT,
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "usage": {
        "input_tokens": 5,
        "output_tokens": 7,
        "total_tokens": 12,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    },
}


def streamed() -> list[Json]:
    """The response as events."""
    begun = {**RESPONSE, "output": [], "status": "in_progress", "usage": None}
    events: list[Json] = [{"type": "response.created", "response": begun}]
    for place, item in enumerate(OUTPUT):
        at = {"output_index": place}
        is_text = item["type"] == "message"
        added = {**item, **({"content": []} if is_text else {}), "status": "in_progress"}
        events.append({"type": "response.output_item.added", "item": added, **at})
        if is_text:
            text = {"item_id": "t1", "content_index": 0, "delta": "Cats sleep.", "logprobs": []}
            events.append({"type": "response.output_text.delta", **text, **at})
        events.append({"type": "response.output_item.done", "item": item, **at})
    return [*events, {"type": "response.completed", "response": RESPONSE}]


class Responses(QuietHandler):
    """Answers as OpenAI's Responses API."""

    def do_POST(self) -> None:  # noqa: N802 - the name that http.server calls
        """Answer a request, as a stream where it asks for one."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body, kind = json.dumps(RESPONSE), "application/json"
        if asked.get("stream"):
            numbered = [{**event, "sequence_number": number} for number, event in enumerate(streamed())]
            body = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in numbered)
            kind = "text/event-stream"
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())


@pytest.mark.parametrize("version", ["responses/v1", "v1"])
@pytest.mark.parametrize("ask", [lambda model: model.invoke("cats?"), lambda model: list(model.stream("cats?"))])
def test_tools_that_openai_runs(ask: Callable[[Any], Any], version: str, store: str) -> None:
    """OpenAI's own tools are TOOL spans below the model's, failed ones ERROR; the model's is OK, with its usage."""
    with serving(Responses) as url:
        model = ChatOpenAI(model="gpt-5.1", base_url=url, api_key="k", use_responses_api=True, output_version=version)  # type: ignore[arg-type]
        (trace,) = traced(store, lambda: ask(model))
    root = tree(trace)
    assert root[:3] == ("ChatOpenAI", "CHAT_MODEL", "OK")
    assert sorted(root[3]) == [
        ("code_interpreter", "TOOL", "OK", []),
        ("rows", "TOOL", "ERROR", []),
        ("web_search", "TOOL", "ERROR", []),
    ]
    (rows,) = spans_named(trace, "rows")
    assert (rows.inputs, rows.status.description) == ({"table": "cats"}, "unreachable")
    assert trace.info.state.value == "OK"
    assert (trace.info.token_usage or {})["total_tokens"] == 12
