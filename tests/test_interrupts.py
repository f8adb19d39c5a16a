"""Programs in which a graph asks a person and goes on: what their stored traces say, and how these find each other."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Callable
from functools import partial
from inspect import signature
from typing import Annotated, Any, Final, TypedDict

import mlflow
import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda as TypedLambda
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint as typed_entrypoint
from langgraph.func import task
from langgraph.graph import START
from langgraph.graph import StateGraph as TypedGraph
from langgraph.pregel import Pregel
from langgraph.types import Command, interrupt
from mlflow.entities import Span, Trace
from mlflow.exceptions import MlflowException
from mlflow.tracing.client import TracingClient

import langchain_autotrace
from tests.support import Tree, deliver, spans_named, stored, tree

# Their generic types say nothing of these programs.
RunnableLambda: Any = TypedLambda
StateGraph: Any = TypedGraph
entrypoint: Any = typed_entrypoint
THREAD: Final = {"configurable": {"thread_id": "thread 1"}}
EMPTY: Final[dict[str, Any]] = {"items": []}


class State(TypedDict):
    items: Annotated[list[Any], operator.add]


class Scripted(GenericFakeChatModel):
    """A model that takes tools and says what the script says."""

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        """Take them."""
        return self


def asking(*questions: Any, name: str = "asks", **options: Any) -> Any:
    """A graph whose node "ask" asks a person, one question after the other."""
    graph = StateGraph(State)
    graph.add_node("ask", lambda _: {"items": [interrupt(question) for question in questions]})
    graph.add_edge(START, "ask")
    return graph.compile(checkpointer=InMemorySaver(), name=name, **options)


def stopping(**where: Any) -> Any:
    """A graph of two nodes that is to stop somewhere."""
    graph = StateGraph(State)
    graph.add_node("draft", lambda _: {"items": ["draft"]})
    graph.add_node("approve", lambda _: {"items": ["approved"]})
    graph.add_edge(START, "draft")
    graph.add_edge("draft", "approve")
    return graph.compile(checkpointer=InMemorySaver(), name="stops", **where)


def traced(uri: str, *programs: Callable[[], Any], **settings: Any) -> list[Trace]:
    """The traces of programs, each delivered by itself, in the order in which they started."""
    langchain_autotrace.autolog(tracking_uri=uri, shipper="external", **settings)
    for program in programs:
        program()
        deliver()
    return sorted(stored(uri), key=lambda trace: root(trace).start_time_ns)


def root(trace: Trace) -> Span:
    """The root of a trace."""
    (found,) = (span for span in trace.data.spans if span.parent_id is None)
    return found


def values(span: Span) -> list[Any]:
    """What a span asks, without LangGraph's ids, which are there."""
    asked = span.outputs["__interrupt__"]
    assert all(len(one["id"]) == 32 for one in asked)
    return [one["value"] for one in asked]


def assert_resumes(second: Trace, first: Trace) -> None:
    """The second trace names the first: on its root, in its metadata, and by MLflow's link."""
    assert root(second).get_attribute("langchain_autotrace.resumes") == first.info.trace_id
    assert second.info.trace_metadata["langchain_autotrace.resumes"] == first.info.trace_id
    links = [(link.trace_id, link.span_id, link.attributes) for link in root(second).links]
    assert links == [(first.info.trace_id, root(first).span_id, {"type": "resumes"})]


def resumes(trace: Trace) -> str | None:
    """The trace that this one names."""
    return trace.info.trace_metadata.get("langchain_autotrace.resumes")


def test_a_question_and_its_answer(store: str) -> None:
    """What was asked is on the node and on the graph, the answer on the trace that resumes it, and names the first."""
    graph = asking({"question": "go on?"})
    first, second = traced(
        store, lambda: (graph.invoke(EMPTY, THREAD), graph.invoke(Command(resume={"go": True}), THREAD))
    )
    assert tree(first) == ("asks", "CHAIN", "interrupted", [("ask", "CHAIN", "interrupted", [])])
    (node,) = spans_named(first, "ask")
    assert values(node) == values(root(first)) == [{"question": "go on?"}]
    assert root(first).outputs["items"] == []
    assert first.info.trace_metadata["langchain_autotrace.interrupted_thread"] == "thread 1"
    assert root(second).inputs == {"resume": {"go": True}}
    assert root(second).get_attribute("langgraph.resume") == {"go": True}
    assert_resumes(second, first)
    assert resumes(first) is None


def test_two_questions_in_a_row_and_a_resume_that_fails(store: str) -> None:
    """Each answer resumes the last trace of the thread that was interrupted, whatever came between."""
    graph = asking("one?", "two?")

    def fail() -> None:
        with pytest.raises(TypeError):
            graph.invoke(Command(resume="b", goto=7), THREAD)

    first, second, other, _, last = traced(
        store,
        lambda: graph.invoke(EMPTY, THREAD),
        lambda: graph.invoke(Command(resume="a"), THREAD),
        lambda: graph.invoke(EMPTY, {"configurable": {"thread_id": "another's"}}),
        fail,
        lambda: graph.invoke(Command(resume="b"), THREAD),
    )
    assert [values(root(one)) for one in (first, second)] == [["one?"], ["two?"]]
    assert_resumes(second, first)
    assert_resumes(last, second)
    assert resumes(other) is None


def test_questions_at_the_same_time(store: str) -> None:
    """A graph whose nodes ask at the same time shows all that they ask."""
    graph = StateGraph(State)
    for name in ("a", "b"):
        graph.add_node(name, lambda _, name=name: {"items": [interrupt(f"{name}?")]})
        graph.add_edge(START, name)
    compiled = graph.compile(checkpointer=InMemorySaver(), name="asks")

    (trace,) = traced(store, lambda: compiled.invoke(EMPTY, THREAD))
    assert [values(spans_named(trace, name)[0]) for name in ("a", "b")] == [["a?"], ["b?"]]
    assert sorted(values(root(trace))) == ["a?", "b?"]


def stream(graph: Any, given: Any, **options: Any) -> None:
    """Run a graph and take what it streams."""
    for _ in graph.stream(given, THREAD, **options):
        pass


def astream(graph: Any, given: Any, **options: Any) -> None:
    """Run a graph in an event loop and take what it streams."""

    async def consume() -> None:
        async for _ in graph.astream(given, THREAD, **options):
            pass

    asyncio.run(consume())


WAYS: Final[dict[str, Callable[[Any, Any], object]]] = {
    "invoke": lambda graph, given: graph.invoke(given, THREAD),
    "ainvoke": lambda graph, given: asyncio.run(graph.ainvoke(given, THREAD)),
    "batch": lambda graph, given: graph.batch([given], THREAD),
    "abatch": lambda graph, given: asyncio.run(graph.abatch([given], THREAD)),
    "bound": lambda graph, given: graph.with_config(THREAD).invoke(given),
}
for _mode in ("values", "updates", "messages", "custom", "debug", ["updates", "values"]):
    WAYS.update({f"{way.__name__} {_mode}": partial(way, stream_mode=_mode) for way in (stream, astream)})
if "version" in signature(Pregel.stream).parameters:  # LangGraph before 1.1 has one
    WAYS["invoke, version 2"] = lambda graph, given: graph.invoke(given, THREAD, version="v2")
    WAYS.update({f"{way.__name__}, version 2": partial(way, version="v2") for way in (stream, astream)})


def test_every_way_to_run_a_graph(store: str) -> None:
    """However a graph is run, its trace says what was asked, where it was to stop, and what it resumes."""

    def program() -> None:
        for way, run in WAYS.items():
            asks, stops = asking("sure?", name=f"asks {way}"), stopping(interrupt_before=["approve"])
            for graph, answer in ((asks, Command(resume="yes")), (stops, None)):
                run(graph, EMPTY)
                run(graph, answer)

    found = iter(traced(store, program))
    for way in WAYS:
        asked, answered, stopped, went_on = (next(found) for _ in range(4))
        assert tree(asked) == (f"asks {way}", "CHAIN", "interrupted", [("ask", "CHAIN", "interrupted", [])]), way
        assert values(root(asked)) == ["sure?"], way
        assert root(answered).get_attribute("langgraph.resume") == "yes", way
        assert_resumes(answered, asked)
        assert tree(stopped) == ("stops", "CHAIN", "interrupted", [("draft", "CHAIN", "OK", [])]), way
        assert root(stopped).outputs == {"items": ["draft"], "__interrupt__": [{"value": {"before": ["approve"]}}]}
        assert tree(went_on) == ("stops", "CHAIN", "OK", [("approve", "CHAIN", "OK", [])]), way
        assert_resumes(went_on, stopped)


def test_a_graph_that_stops_after_a_node(store: str) -> None:
    """A graph that stops after a node says after which; a call that finds nothing to go on with resumes nothing."""
    graph = stopping(interrupt_after=["draft"])
    first, second, third = traced(store, lambda: [graph.invoke(given, THREAD) for given in (EMPTY, None, None)])
    (asked,) = root(first).outputs["__interrupt__"]
    assert asked["value"]["after"] == ["draft"]
    assert asked["value"].get("next", ["approve"]) == ["approve"]  # LangGraph before 1.2 does not know yet
    assert_resumes(second, first)
    assert (root(third).outputs, resumes(third)) == ({"items": ["draft", "approved"]}, None)


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
def test_a_graph_below_a_graph_that_stops(store: str, way: str) -> None:
    """A graph that stops below another one stops both, and each says where."""
    outer = StateGraph(State)
    inner = StateGraph(State)
    inner.add_node("approve", lambda _: {"items": ["approved"]})
    inner.add_edge(START, "approve")
    outer.add_node("sub", inner.compile(name="inner", interrupt_before=["approve"]))
    outer.add_edge(START, "sub")
    graph = outer.compile(checkpointer=InMemorySaver(), name="outer")

    (trace,) = traced(store, lambda: WAYS[way](graph, EMPTY))
    below: list[Tree] = [("sub", "CHAIN", "interrupted", [("inner", "CHAIN", "interrupted", [])])]
    assert tree(trace) == ("outer", "CHAIN", "interrupted", below)
    assert [span.outputs["__interrupt__"] for span in trace.data.spans] == [[{"value": {"before": ["approve"]}}]] * 3


def test_a_chain_around_a_graph_that_stops(store: str) -> None:
    """A chain that runs a graph is interrupted with it; one that itself goes on with the graph is not."""
    graph, another = (stopping(interrupt_before=["approve"]) for _ in range(2))

    def go_on(given: Any) -> Any:
        another.invoke(given, {"configurable": {"thread_id": "own"}})
        return another.invoke(None, {"configurable": {"thread_id": "own"}})

    around, whole = traced(
        store,
        lambda: (RunnableLambda(dict, name="copy") | graph).invoke(EMPTY, THREAD),
        lambda: RunnableLambda(go_on, name="whole").invoke(EMPTY),
    )
    assert root(around).outputs == {"items": ["draft"], "__interrupt__": [{"value": {"before": ["approve"]}}]}
    first: Tree = ("stops", "CHAIN", "interrupted", [("draft", "CHAIN", "OK", [])])
    assert tree(around) == ("RunnableSequence", "CHAIN", "interrupted", [("copy", "CHAIN", "OK", []), first])
    rest: Tree = ("stops", "CHAIN", "OK", [("approve", "CHAIN", "OK", [])])
    assert tree(whole) == ("whole", "CHAIN", "OK", [first, rest])


def test_an_agent_whose_tool_is_approved(store: str) -> None:
    """The middleware that asks a person before a tool is called shows the call, and the decision."""

    @tool
    def send(to: str) -> str:
        """Send a mail."""
        return f"sent to {to}"

    script = [AIMessage("", tool_calls=[{"name": "send", "args": {"to": "bob"}, "id": "c1"}]), AIMessage("Done.")]
    middleware: Any = HumanInTheLoopMiddleware(interrupt_on={"send": True})
    model: Any = Scripted(messages=iter(script))
    agent: Any = create_agent(model, [send], middleware=[middleware], checkpointer=InMemorySaver(), name="mailer")
    decision = {"decisions": [{"type": "approve"}]}
    first, second = traced(
        store,
        lambda: agent.invoke({"messages": [("user", "Mail Bob.")]}, THREAD),
        lambda: agent.invoke(Command(resume=decision), THREAD),
    )
    (asked,) = values(root(first))
    assert [(one["name"], one["args"]) for one in asked["action_requests"]] == [("send", {"to": "bob"})]
    (step,) = spans_named(first, "HumanInTheLoopMiddleware.after_model")
    assert values(step) == [asked]
    assert root(second).get_attribute("langgraph.resume") == decision
    assert_resumes(second, first)


def test_a_tool_that_asks(store: str) -> None:
    """A tool that asks a person shows what it asks, as the node and the agent do."""

    @tool
    def ask_person(question: str) -> str:
        """Ask a person."""
        return str(interrupt({"question": question}))

    script = [AIMessage("", tool_calls=[{"name": "ask_person", "args": {"question": "why?"}, "id": "c1"}])]
    model: Any = Scripted(messages=iter(script))
    agent: Any = create_agent(model, [ask_person], checkpointer=InMemorySaver(), name="helper")
    (trace,) = traced(store, lambda: agent.invoke({"messages": [("user", "Why?")]}, THREAD))
    asked = [values(one) for name in ("ask_person", "tools", "helper") for one in spans_named(trace, name)]
    assert asked == [[{"question": "why?"}]] * 3


def test_a_workflow_of_functions(store: str) -> None:
    """A task of a workflow that asks shows what it asks, as its workflow does."""

    @task
    def ask(draft: str) -> Any:
        return interrupt({"draft": draft})

    @entrypoint(checkpointer=InMemorySaver())  # type: ignore[untyped-decorator] # Any, as above
    def write(draft: str) -> Any:
        return ask(draft).result()

    first, second = traced(
        store, lambda: write.invoke("cats", THREAD), lambda: write.invoke(Command(resume="fine"), THREAD)
    )
    assert [values(span) for span in first.data.spans] == [[{"draft": "cats"}]] * 3
    assert root(second).outputs == "fine"
    assert_resumes(second, first)


def test_no_content_and_the_hook(store: str) -> None:
    """Without content, and with a hook, what was asked is not shown, but a resume still finds what it resumes."""
    graph = asking("sure?")
    run = (lambda: graph.invoke(EMPTY, THREAD), lambda: graph.invoke(Command(resume="yes"), THREAD))
    first, second = traced(store, *run, capture_content=False)
    assert [(root(one).inputs, root(one).outputs) for one in (first, second)] == [(None, None)] * 2
    assert_resumes(second, first)

    *_, third, fourth = traced(store, *run, capture_content=True, redact=lambda _: "[hidden]")
    (node,) = spans_named(third, "ask")
    assert (node.outputs, root(fourth).inputs) == ({"__interrupt__": ["[hidden]"]}, "[hidden]")
    assert_resumes(fourth, third)


@pytest.mark.parametrize("thread", ["it's", 'a "b"', "a\\", "ü%_"])
def test_threads_of_any_name(store: str, thread: str) -> None:
    """A trace is found by its thread, whatever the thread's id is made of."""
    graph, config = asking("sure?"), {"configurable": {"thread_id": thread}}
    first, second = traced(
        store, lambda: graph.invoke(EMPTY, config), lambda: graph.invoke(Command(resume="yes"), config)
    )
    assert_resumes(second, first)


def test_threads_of_two_experiments(store: str) -> None:
    """A thread of another experiment is another thread."""
    graph = asking("sure?")
    traced(store, lambda: graph.invoke(EMPTY, THREAD), experiment="one")
    _, second = traced(store, lambda: graph.invoke(Command(resume="yes"), THREAD), experiment="two")
    assert (root(second).get_attribute("langgraph.resume"), resumes(second)) == ("yes", None)


def test_a_store_that_cannot_be_asked(store: str, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    """A store that fails when it is asked for the interrupted trace costs the link, and not the trace."""

    def fail(*_: object, **__: object) -> None:
        raise MlflowException("no search today")

    graph = asking("sure?")
    traced(store, lambda: graph.invoke(EMPTY, THREAD))
    with monkeypatch.context() as patch:
        patch.setattr(TracingClient, "search_traces", fail)
        graph.invoke(Command(resume="yes"), THREAD)
        deliver()
    first, second = stored(store)
    assert {resumes(first), resumes(second)} == {None}
    assert {one.info.trace_metadata["mlflow.trace.session"] for one in (first, second)} == {"thread 1"}
    assert "cannot find the trace that it resumes: " in caplog.text


def test_a_span_of_mlflow_around_graphs(store: str) -> None:
    """A trace that begins with a span of MLflow's own API is found, and finds, by the graph's thread below it."""
    graph = asking("sure?")

    @mlflow.trace
    def request(given: Any) -> Any:
        return graph.invoke(given, THREAD)["items"]

    first, second = traced(store, lambda: request(EMPTY), lambda: request(Command(resume="yes")))
    assert [root(one).name for one in (first, second)] == ["request", "request"]
    assert values(spans_named(first, "asks")[0]) == ["sure?"]
    assert_resumes(second, first)
