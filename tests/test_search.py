"""Traces are found in MLflow by what the program gave its run, and read by their previews."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import mlflow
import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, interrupt
from mlflow.entities import TraceInfo
from mlflow.tracing.client import TracingClient

import langchain_autotrace
from tests.support import deliver, stored
from tests.test_journeys import Facts, Scripted, add

CONFIG: RunnableConfig = {
    "tags": ["prod-7"],
    "metadata": {"customer": "x", "plan": {"seats": 3}},
    "configurable": {"thread_id": "t1"},
}


def graph() -> Any:
    """A graph that answers a chat."""
    made = StateGraph(MessagesState)
    made.add_node("answer", lambda _: {"messages": [("ai", "Hello")]})
    made.add_edge(START, "answer")
    return made.compile()


def chain() -> Runnable[Any, Any]:
    """A prompt and a model."""
    return ChatPromptTemplate.from_template("{question}") | GenericFakeChatModel(messages=iter([AIMessage("Hello")]))


def agent(*answers: AIMessage) -> Any:
    """An agent whose model says the answers."""
    return create_agent(Scripted(messages=iter(answers or (AIMessage("Hello"),))), [add])


def infos(uri: str, program: Callable[[], Any], **settings: Any) -> list[TraceInfo]:
    """What MLflow has of the program's traces."""
    langchain_autotrace.autolog(tracking_uri=uri, shipper="external", **settings)
    program()
    deliver()
    return [trace.info for trace in stored(uri)]


def names_found(uri: str, filter_string: str) -> list[str]:
    """The names of the traces that MLflow finds."""
    found = TracingClient(uri).search_traces(locations=["0"], filter_string=filter_string)
    return sorted(str(trace.info.tags["mlflow.traceName"]) for trace in found)


def all_ways() -> None:
    """Runs of every kind, each with the labels, run in every way; and one without."""
    chain().with_config(run_name="chain").invoke({"question": "Hi"}, CONFIG)
    list(chain().with_config(run_name="streamed").stream({"question": "Hi"}, CONFIG))
    chain().with_config(run_name="batch").batch([{"question": "Hi"}], CONFIG)
    asyncio.run(graph().with_config(run_name="graph").ainvoke({"messages": [("user", "Hi")]}, CONFIG))
    agent().with_config(run_name="agent", **CONFIG).invoke({"messages": [("user", "Hi")]})
    Facts(name="facts", tags=["prod-7"], metadata={"customer": "x"}).invoke("Hi")
    GenericFakeChatModel(messages=iter([AIMessage("Hello")]), name="model").invoke("Hi", CONFIG)
    RunnableLambda(str.upper, name="other").invoke("Hi", {"tags": ["prod-8"], "metadata": {"customer": "y"}})


def test_searching(store: str) -> None:
    """MLflow finds traces by LangChain's tags and metadata of their roots, however these ran."""
    infos(store, all_ways)
    labelled = ["agent", "batch", "chain", "facts", "graph", "model", "streamed"]

    assert names_found(store, "tags.`prod-7` = 'true'") == labelled
    assert names_found(store, "metadata.`customer` = 'x'") == labelled
    assert names_found(store, "metadata.customer = 'y' AND tags.`prod-8` = 'true'") == ["other"]


def test_previews_of_every_kind_of_run(store: str) -> None:
    """A list of traces reads as questions and answers, whatever ran."""
    found = {
        info.tags["mlflow.traceName"]: (info.request_preview, info.response_preview) for info in infos(store, all_ways)
    }

    documents = found.pop("facts")
    assert found == {
        **dict.fromkeys(["chain", "streamed", "batch", "graph", "agent", "model"], ("Hi", "Hello")),
        "other": ("Hi", "HI"),
    }
    assert documents == ("Hi", '[{"page_content":"A span has a start.","metadata":{"source":"a.md"},"id":"d1"}]')


@pytest.mark.parametrize(
    "messages",
    [
        [HumanMessage("Old"), AIMessage("So?"), HumanMessage("Hi")],
        [{"role": "user", "content": "Hi"}],
        [("system", "Be brief."), ("user", "Hi")],
        [HumanMessage([{"type": "text", "text": "Hi"}])],
        "Hi",
        ["Hi"],
        ("user", "Hi"),
        HumanMessage("Hi"),
    ],
    ids=["objects", "dicts", "pairs", "blocks", "text", "texts", "pair", "object"],
)
def test_messages_of_every_form(messages: Any, store: str) -> None:
    """A chat has the same previews, in whichever form its messages were given."""
    (info,) = infos(store, lambda: graph().invoke({"messages": messages}))
    assert (info.request_preview, info.response_preview) == ("Hi", "Hello")


def test_labels_beside_those_of_the_program(store: str) -> None:
    """The program's tags and metadata, MLflow's own and LangChain's internals stay what they are."""

    def program() -> None:
        config: RunnableConfig = {
            "tags": ["app", "team", "blue", "seq:step:1", "mlflow.traceName"],
            "metadata": {"build": "0", "session_id": "s", "mlflow.user": "eve", "ls_provider": "x", "n": 7},
        }
        with langchain_autotrace.context(tags={"team": "a"}, metadata={"build": "9"}):
            RunnableLambda(str.upper, name="loud").invoke("x", config)

    (info,) = infos(store, program, extra_tags={"app": "shop"})
    tags = {key: value for key, value in info.tags.items() if not key.startswith("mlflow.")}
    metadata = {key: value for key, value in info.trace_metadata.items() if not key.startswith("mlflow.")}
    assert tags == {"app": "shop", "team": "a", "blue": "true"}
    assert metadata == {"build": "9", "session_id": "s", "n": "7"}
    assert info.tags["mlflow.traceName"] == "loud"
    assert info.trace_metadata["mlflow.user"] != "eve"


def test_labels_and_previews_beside_mlflows_own(store: str) -> None:
    """What the program says through MLflow's API wins, and a root that is MLflow's span has MLflow's previews."""

    def changes(value: str) -> str:
        mlflow.update_current_trace(
            tags={"prod-7": "mine"}, metadata={"customer": "mine"}, request_preview="asked", response_preview="said"
        )
        return value

    @mlflow.trace
    def outer(value: str) -> str:
        return RunnableLambda(str.upper).invoke(value, CONFIG)

    def program() -> None:
        RunnableLambda(changes).invoke("x", CONFIG)
        outer("x")

    changed, around = infos(store, program)
    assert (changed.tags["prod-7"], changed.trace_metadata["customer"]) == ("mine", "mine")
    assert (changed.trace_metadata["plan"], changed.request_preview, changed.response_preview) == (
        '{"seats":3}',
        "asked",
        "said",
    )
    assert (around.tags["prod-7"], around.trace_metadata["customer"]) == ("true", "x")
    assert (around.request_preview, around.response_preview) == ('{"value":"x"}', '"X"')


def test_secrets_in_labels_and_previews(store: str) -> None:
    """A secret in a tag, in metadata or in a message is in no label and no preview."""
    secret = "sk-proj-" + "a1B2" * 12

    def program() -> None:
        config: RunnableConfig = {"tags": [f"key {secret}"], "metadata": {"note": f"use {secret}", "api_key": secret}}
        graph().invoke({"messages": [("user", f"Use {secret}")]}, config)

    (info,) = infos(store, program)
    assert secret not in str(info.to_dict())
    assert {"note", "api_key"} <= info.trace_metadata.keys()


def test_previews_without_content(store: str) -> None:
    """Without content there are no previews; tags stay."""
    (info,) = infos(store, lambda: graph().invoke({"messages": "Hi"}, CONFIG), capture_content=False)

    assert (info.request_preview, info.response_preview, info.tags["prod-7"]) == (None, None, "true")


def test_an_agent_that_calls_a_tool(store: str) -> None:
    """An agent that stops before its tool shows the call that it is about to make."""
    call = {"name": "add", "args": {"a": 1, "b": 2}, "id": "c1", "type": "tool_call"}

    def program() -> None:
        agent(AIMessage("", tool_calls=[call])).invoke({"messages": [("user", "Add.")]}, interrupt_before=["tools"])

    (info,) = infos(store, program)
    assert (info.request_preview, info.response_preview) == ("Add.", "add(a=1, b=2)")


def test_a_graph_that_asks(store: str) -> None:
    """A graph that is interrupted shows what it asks, and the run that resumes it what was answered."""

    def program() -> None:
        made = StateGraph(MessagesState)
        made.add_node("ask", lambda _: {"messages": [("ai", f"So {interrupt('Really?')}.")]})
        made.add_edge(START, "ask")
        asking: Any = made.compile(checkpointer=InMemorySaver())
        asking.invoke({"messages": [("user", "Do it.")]}, CONFIG)
        asking.invoke(Command(resume="yes"), CONFIG)

    found = [(info.request_preview, info.response_preview) for info in infos(store, program)]
    assert found == [("Do it.", "Really?"), ("yes", "So yes.")]


def test_an_agent_that_asks(store: str) -> None:
    """An agent that wants a tool call approved shows the call, and the run that resumes it the decision."""
    call = {"name": "add", "args": {"a": 1, "b": 2}, "id": "c1", "type": "tool_call"}

    def program() -> None:
        made: Any = create_agent(
            Scripted(messages=iter([AIMessage("", tool_calls=[call]), AIMessage("3.")])),
            [add],
            middleware=[HumanInTheLoopMiddleware(interrupt_on={"add": True})],
            checkpointer=InMemorySaver(),
        )
        made.invoke({"messages": [HumanMessage("Add.")]}, CONFIG)
        made.invoke(Command(resume={"decisions": [{"type": "approve"}]}), CONFIG)

    found = [(info.request_preview, info.response_preview) for info in infos(store, program)]
    assert found == [("Add.", "add(a=1, b=2)"), ("approve", "3.")]
