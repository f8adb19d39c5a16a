"""Whole programs, from ``autolog()`` to the stored trace: every way to run a chain, every kind of run."""

from __future__ import annotations

import asyncio
import operator
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress as ignoring
from contextvars import copy_context
from types import SimpleNamespace
from typing import Annotated, Any, TypedDict
from uuid import uuid4

import pytest
from langchain.agents import create_agent
from langchain_core.agents import AgentAction, AgentFinish
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler, adispatch_custom_event, dispatch_custom_event
from langchain_core.documents import Document
from langchain_core.language_models.fake import FakeListLLM
from langchain_core.language_models.fake_chat_models import FakeListChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import (
    Runnable,
    RunnableBranch,
    RunnableConfig,
    RunnableGenerator,
    RunnableParallel,
    RunnablePassthrough,
)
from langchain_core.runnables import RunnableLambda as TypedLambda
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState
from langgraph.graph import StateGraph as TypedGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, Send, interrupt

import langchain_autotrace
from langchain_autotrace import AutotraceHandler
from tests.support import Tree, assert_same_tree, deliver, observed, spans_named, stored, tree

# Their generic types say nothing of these programs.
RunnableLambda: Any = TypedLambda
StateGraph: Any = TypedGraph


def chain(answer: str = "An answer in words.") -> Runnable[Any, str]:
    """Prompt, model, parser."""
    model = FakeListChatModel(responses=[answer])
    return ChatPromptTemplate.from_messages([("system", "Be brief."), ("human", "{topic}")]) | model | StrOutputParser()


class Facts(BaseRetriever):
    """Knows one fact."""

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return [Document("A span has a start.", metadata={"source": "a.md"}, id="d1")]


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool
def break_down(x: int) -> str:
    """Fail."""
    raise ValueError("the tool broke")


class Scripted(GenericFakeChatModel):
    """A model that takes tools and says what the script says."""

    disable_streaming: bool = True

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        """Offer the tools in OpenAI's form."""
        forms = [
            {
                "type": "function",
                "function": {
                    "name": one.name,
                    "description": one.description,
                    "parameters": one.args_schema.model_json_schema(),
                },
            }
            for one in tools
        ]
        return self.bind(tools=forms)


def calling(name: str, args: dict[str, Any], call_id: str = "c1", **more: Any) -> AIMessage:
    """A message that calls a tool."""
    return AIMessage("", tool_calls=[{"name": name, "args": args, "id": call_id}], **more)


class State(TypedDict):
    """A graph's state that collects."""

    items: Annotated[list[Any], operator.add]


def fan_out() -> Any:
    """A graph that sends three items to one node."""
    graph = StateGraph(State)
    graph.add_node("work", lambda state: {"items": [state["items"][0] * 10]})
    graph.add_conditional_edges(START, lambda _: [Send("work", {"items": [i]}) for i in range(3)], ["work"])
    graph.add_edge("work", END)
    return graph.compile(name="fan")


def nested_graph() -> Any:
    """A graph with a graph as a node, in which a chain runs."""
    inner = StateGraph(State)
    inner.add_node("say", lambda state: {"items": [chain().invoke({"topic": "deep"})]})
    inner.add_edge(START, "say")
    outer = StateGraph(State)
    outer.add_node("sub", inner.compile(name="inner"))
    outer.add_edge(START, "sub")
    return outer.compile(name="outer")


async def collect(stream: AsyncIterator[Any]) -> list[Any]:
    """Everything of a stream."""
    return [one async for one in stream]


def doubled(parts: Iterator[Any]) -> Iterator[Any]:
    """Each part twice."""
    for part in parts:
        yield part
        yield part


async def adoubled(parts: AsyncIterator[Any]) -> AsyncIterator[Any]:
    """Each part twice."""
    async for part in parts:
        yield part
        yield part


def calls_inside(_: Any, config: RunnableConfig) -> str:
    """Run chains within a lambda: with the config passed on, and without."""
    return chain().invoke({"topic": "passed"}, config) + chain().invoke({"topic": "found"})


async def gathers(_: Any) -> list[Any]:
    """Run three chains at once within a lambda."""
    return await asyncio.gather(*(chain().ainvoke({"topic": str(i)}) for i in range(3)))


def fails_twice() -> Callable[[Any], Any]:
    """Fail at the first two calls."""
    left = [1, 1]

    def flaky(x: Any) -> Any:
        if left:
            left.pop()
            raise ConnectionError("not yet")
        return x

    return flaky


def two_open_streams() -> None:
    """Read two streams in turns, with a call in between."""
    first, second = chain("one two").stream({"topic": "a"}), chain("three four").stream({"topic": "b"})
    for _ in range(3):
        next(first)
        next(second)
        chain().invoke({"topic": "between"})
    list(second)
    list(first)


async def two_open_astreams() -> None:
    """Read two asynchronous streams in turns, with a call in between."""
    first, second = chain("one two").astream({"topic": "a"}), chain("three four").astream({"topic": "b"})
    for _ in range(3):
        await anext(first)
        await anext(second)
        await chain().ainvoke({"topic": "between"})
    await collect(second)
    await collect(first)


def in_threads() -> None:
    """Run the chain in twenty threads at once."""
    with ThreadPoolExecutor(20) as pool:
        calls = [pool.submit(copy_context().run, chain().invoke, {"topic": str(i)}) for i in range(60)]
    assert [call.result() for call in calls] == ["An answer in words."] * 60


async def many_tasks() -> None:
    """Run the chain in 200 tasks at once."""
    await asyncio.gather(*(chain().ainvoke({"topic": str(i)}) for i in range(200)))


def handler_everywhere() -> None:
    """Pass our handler in a constructor and in the config, several times, beside ``autolog()``."""
    model = FakeListChatModel(responses=["hi"], callbacks=[AutotraceHandler(), AutotraceHandler()])
    both = ChatPromptTemplate.from_template("{topic}") | model
    handler = AutotraceHandler()
    both.invoke({"topic": "x"}, {"callbacks": [handler, handler, AutotraceHandler()]})
    asyncio.run(both.ainvoke({"topic": "x"}, {"callbacks": [handler]}))
    list(both.stream({"topic": "x"}, {"callbacks": [handler, handler]}))


def agent() -> Any:
    """An agent that calls one tool and answers."""
    model = Scripted(messages=iter([calling("add", {"a": 1, "b": 2}), AIMessage("3")]))
    return create_agent(model, [add], name="calculator")


ASK: dict[str, Any] = {"messages": [("user", "1+2?")]}
TOPIC = {"topic": "cats"}

WAYS: dict[str, Callable[[], Any]] = {
    "invoke": lambda: chain().invoke(TOPIC),
    "ainvoke": lambda: asyncio.run(chain().ainvoke(TOPIC)),
    "batch": lambda: chain().batch([TOPIC] * 5),
    "batch_as_completed": lambda: list(chain().batch_as_completed([TOPIC] * 5)),
    "abatch": lambda: asyncio.run(chain().abatch([TOPIC] * 5)),
    "stream": lambda: list(chain().stream(TOPIC)),
    "astream": lambda: asyncio.run(collect(chain().astream(TOPIC))),
    "astream_events_v2": lambda: asyncio.run(collect(chain().astream_events(TOPIC, version="v2"))),
    "graph_astream_events_v2": lambda: asyncio.run(collect(fan_out().astream_events({"items": []}, version="v2"))),
    "transform": lambda: list(chain().transform(iter([TOPIC]))),
    "atransform": lambda: asyncio.run(collect(chain().atransform(_aiter([TOPIC])))),
    "generator": lambda: list(RunnableGenerator(doubled).stream("ab")),
    "agenerator": lambda: asyncio.run(collect(RunnableGenerator(adoubled).astream("ab"))),
    "generator_after_chain": lambda: list((chain() | RunnableGenerator(doubled)).stream(TOPIC)),
    "parallel": lambda: RunnableParallel(a=chain(), b=chain(), c=RunnablePassthrough()).invoke(TOPIC),
    "parallel_stream": lambda: list(RunnableParallel(a=chain(), b=chain()).stream(TOPIC)),
    "parallel_async": lambda: asyncio.run(RunnableParallel(a=chain(), b=chain()).ainvoke(TOPIC)),
    "assign": lambda: RunnablePassthrough.assign(answer=chain()).invoke(TOPIC),
    "branch": lambda: RunnableBranch((bool, chain()), chain()).invoke(TOPIC),
    "fallbacks": lambda: RunnableLambda(lambda _: 1 / 0).with_fallbacks([chain()]).invoke(TOPIC),
    "retries": lambda: RunnableLambda(fails_twice()).with_retry(wait_exponential_jitter=False).invoke(TOPIC),
    "map": lambda: chain().map().invoke([TOPIC] * 3),
    "nested_in_lambda": lambda: RunnableLambda(calls_inside).invoke(1),
    "nested_in_async_lambda": lambda: asyncio.run(RunnableLambda(gathers).ainvoke(1)),
    "nested_in_tool": lambda: tool(nested_in_tool).invoke({"x": 1}),
    "text_llm": lambda: FakeListLLM(responses=["yes"]).invoke("ok?"),
    "text_llm_batch": lambda: FakeListLLM(responses=["yes"]).generate(["a", "b"]),
    "retriever": lambda: (Facts() | RunnableLambda(len)).invoke("spans"),
    "tool": lambda: add.invoke({"a": 1, "b": 2}),
    "tool_async": lambda: asyncio.run(add.ainvoke({"a": 1, "b": 2})),
    "open_streams": two_open_streams,
    "open_astreams": lambda: asyncio.run(two_open_astreams()),
    "threads": in_threads,
    "tasks": lambda: asyncio.run(many_tasks()),
    "send": lambda: fan_out().invoke({"items": []}),
    "send_async": lambda: asyncio.run(fan_out().ainvoke({"items": []})),
    "graph_stream": lambda: list(fan_out().stream({"items": []})),
    "graph_astream": lambda: asyncio.run(collect(fan_out().astream({"items": []}))),
    "subgraph": lambda: nested_graph().invoke({"items": []}),
    "subgraph_async": lambda: asyncio.run(nested_graph().ainvoke({"items": []})),
    "agent": lambda: agent().invoke(ASK),
    "agent_async": lambda: asyncio.run(agent().ainvoke(ASK)),
    "agent_stream": lambda: list(agent().stream(ASK, stream_mode="messages")),
    "handler_everywhere": handler_everywhere,
}


async def _aiter(items: list[Any]) -> AsyncIterator[Any]:
    for item in items:
        yield item


def nested_in_tool(x: int) -> str:
    """Run a chain within a tool."""
    return chain().invoke({"topic": str(x)})


@pytest.mark.parametrize("way", sorted(WAYS))
def test_any_way_to_run(way: str, store: str) -> None:
    """The stored trees are the trees of LangChain's parent run ids, each run once."""
    langchain_autotrace.autolog(tracking_uri=store, shipper="external")
    with observed() as observer:
        WAYS[way]()
    deliver()
    assert observer.runs
    assert_same_tree(stored(store), observer.runs)


@pytest.mark.parametrize("way", ["invoke", "astream", "batch", "threads", "agent_async", "text_llm"])
def test_after_disable(way: str, store: str) -> None:
    """With tracing disabled nothing is captured, whatever runs."""
    langchain_autotrace.autolog(tracking_uri=store, shipper="external")
    langchain_autotrace.disable()
    WAYS[way]()
    deliver()
    assert stored(store) == []


STEPS: list[Tree] = [
    ("ChatPromptTemplate", "CHAIN", "OK", []),
    ("FakeListChatModel", "CHAT_MODEL", "OK", []),
    ("StrOutputParser", "PARSER", "OK", []),
]

AGENT_TREE: Tree = (
    "calculator",
    "AGENT",
    "OK",
    [
        ("model", "CHAIN", "OK", [("Scripted", "CHAT_MODEL", "OK", [])]),
        ("tools", "CHAIN", "OK", [("add", "TOOL", "OK", [])]),
        ("model", "CHAIN", "OK", [("Scripted", "CHAT_MODEL", "OK", [])]),
    ],
)


def traced(uri: str, program: Callable[[], Any], **settings: Any) -> list[Any]:
    """The traces of a program that may raise."""
    langchain_autotrace.autolog(tracking_uri=uri, shipper="external", **settings)
    with ignoring(Exception):
        program()
    deliver()
    return stored(uri)


def test_three_steps(store: str) -> None:
    """A chain of three steps is a root with three children, in order."""
    (trace,) = traced(store, WAYS["invoke"])
    assert tree(trace) == ("RunnableSequence", "CHAIN", "OK", STEPS)


def test_an_agent(store: str) -> None:
    """An agent's trace names the agent, its model calls and its tool calls."""
    (trace,) = traced(store, WAYS["agent"])
    assert tree(trace) == AGENT_TREE


def test_text_llm_and_retriever(store: str) -> None:
    """A text model is an LLM span, a retriever a RETRIEVER span with MLflow's documents."""
    llm, retrieval = traced(store, lambda: (WAYS["text_llm"](), WAYS["retriever"]()))
    assert tree(llm) == ("FakeListLLM", "LLM", "OK", [])
    (found,) = spans_named(retrieval, "Facts")
    assert found.span_type == "RETRIEVER"
    assert found.inputs == "spans"
    assert found.outputs == [{"page_content": "A span has a start.", "metadata": {"source": "a.md"}, "id": "d1"}]


def test_an_error(store: str) -> None:
    """What raises is an ERROR up to the root, with the exception's type, message and stack, and keeps its inputs."""
    (trace,) = traced(store, lambda: (chain() | RunnableLambda(lambda _: 1 / 0, name="divide")).invoke(TOPIC))
    assert tree(trace) == ("RunnableSequence", "CHAIN", "ERROR", [*STEPS, ("divide", "CHAIN", "ERROR", [])])
    (span,) = spans_named(trace, "divide")
    assert span.status.description == "ZeroDivisionError: division by zero"
    assert span.inputs == "An answer in words."
    assert span.outputs is None
    (event,) = span.events
    assert event.name == "exception"
    assert event.attributes["exception.type"] == "ZeroDivisionError"
    assert event.attributes["exception.message"] == "division by zero"
    assert "1 / 0" in str(event.attributes["exception.stacktrace"])
    assert trace.info.state.value == "ERROR"


def hitl() -> Any:
    """A graph that asks a person."""
    graph = StateGraph(State)
    graph.add_node("ask", lambda _: {"items": [interrupt({"question": "go on?"})]})
    graph.add_edge(START, "ask")
    return graph.compile(checkpointer=InMemorySaver(), name="asks")


def test_interrupt_and_resume(store: str) -> None:
    """An interrupted graph is no error but says so, up to the root; the resumed run is a trace of its own."""
    graph, config = hitl(), {"configurable": {"thread_id": "thread-7"}}
    first, second = traced(
        store, lambda: (graph.invoke({"items": [1]}, config), graph.invoke(Command(resume="yes"), config))
    )
    assert tree(first) == ("asks", "CHAIN", "interrupted", [("ask", "CHAIN", "interrupted", [])])
    assert tree(second) == ("asks", "CHAIN", "OK", [("ask", "CHAIN", "OK", [])])
    assert [one.info.state.value for one in (first, second)] == ["OK", "OK"]
    assert [one.info.trace_metadata["mlflow.trace.session"] for one in (first, second)] == ["thread-7", "thread-7"]


def test_handoff_to_the_parent_graph(store: str) -> None:
    """A ``Command`` to the parent graph is no error, and the parent goes on."""

    def program() -> None:
        inner = StateGraph(State)
        inner.add_node("leaf", lambda _: Command(goto="done", graph=Command.PARENT, update={"items": ["handed"]}))
        inner.add_edge(START, "leaf")
        outer = StateGraph(State)
        outer.add_node("sub", inner.compile(name="sub"))
        outer.add_node("done", lambda _: {"items": ["done"]})
        outer.add_edge(START, "sub")
        assert outer.compile(name="outer").invoke({"items": []}) == {"items": ["handed", "done"]}

    (trace,) = traced(store, program)
    below: list[Tree] = [("leaf", "CHAIN", "interrupted", [])]
    assert tree(trace) == (
        "outer",
        "CHAIN",
        "OK",
        [
            ("sub", "CHAIN", "interrupted", [("sub", "CHAIN", "interrupted", below)]),
            ("done", "CHAIN", "OK", []),
        ],
    )


def test_a_handled_tool_error(store: str) -> None:
    """A tool that fails and is handled is an ERROR on the tool's span alone."""
    graph = StateGraph(MessagesState)
    graph.add_node("tools", ToolNode([break_down], handle_tool_errors=True))
    graph.add_edge(START, "tools")
    call = {"messages": [calling("break_down", {"x": 1})]}
    (trace,) = traced(store, lambda: graph.compile(name="g").invoke(call))
    assert tree(trace) == ("g", "CHAIN", "OK", [("tools", "CHAIN", "OK", [("break_down", "TOOL", "ERROR", [])])])
    assert trace.info.state.value == "OK"


def test_a_tool_message_that_says_error(store: str) -> None:
    """A tool that returns a ToolMessage with status "error" is an ERROR span, and its caller is not."""

    @tool
    def soft(x: int) -> ToolMessage:
        """Fail softly."""
        return ToolMessage("no such row", tool_call_id="c9", status="error")

    (trace,) = traced(store, lambda: RunnableLambda(lambda x: soft.invoke({"x": x}), name="caller").invoke(1))
    assert tree(trace) == ("caller", "CHAIN", "OK", [("soft", "TOOL", "ERROR", [])])
    (span,) = spans_named(trace, "soft")
    assert span.status.description == "no such row"


def abandon(stream: Iterator[Any]) -> None:
    """Read two chunks and close."""
    next(stream)
    next(stream)
    stream.close()  # type: ignore[attr-defined]


async def aabandon(stream: AsyncIterator[Any]) -> None:
    """Read two chunks and close."""
    await anext(stream)
    await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]


@pytest.mark.parametrize("close", [abandon, aabandon])
def test_an_abandoned_stream(close: Callable[[Any], Any], store: str) -> None:
    """A stream that its consumer closes is OK and "abandoned", with what had been said until then."""

    def program() -> None:
        if close is abandon:
            close(chain("long answer").stream(TOPIC))
        else:
            asyncio.run(close(chain("long answer").astream(TOPIC)))

    (trace,) = traced(store, program)
    name, kind, how, below = tree(trace)
    assert (name, kind, how) == ("RunnableSequence", "CHAIN", "abandoned")
    assert [one[0] for one in below] == ["ChatPromptTemplate", "FakeListChatModel", "StrOutputParser"]
    assert trace.info.state.value == "OK"
    (root,) = spans_named(trace, "RunnableSequence")
    assert root.outputs == "lo"
    assert root.inputs == TOPIC


def test_an_abandoned_graph_stream(store: str) -> None:
    """A graph whose stream is closed is "abandoned", also where asyncio cancels the node that was running."""

    async def slow(_: State) -> dict[str, Any]:
        await asyncio.sleep(600)
        return {"items": [1]}

    async def program() -> None:
        graph = StateGraph(State)
        graph.add_node("fast", lambda _: {"items": [0]})
        graph.add_node("slow", slow)
        graph.add_edge(START, "fast")
        graph.add_edge(START, "slow")
        stream = graph.compile(name="g").astream({"items": []})
        await anext(stream)
        await stream.aclose()

    (trace,) = traced(store, lambda: asyncio.run(program()))
    name, _, how, below = tree(trace)
    assert (name, how) == ("g", "abandoned")
    assert {one[0]: one[2] for one in below} == {"fast": "OK", "slow": "abandoned"}
    assert trace.info.state.value == "OK"


def test_a_cancelled_task(store: str) -> None:
    """A cancelled task is an ERROR with outcome "cancelled"."""

    async def program() -> None:
        started = asyncio.Event()

        async def slow(_: Any) -> None:
            started.set()
            await asyncio.sleep(600)

        task = asyncio.create_task(RunnableLambda(slow, name="slow").ainvoke(1))
        await started.wait()
        task.cancel()
        with ignoring(asyncio.CancelledError):
            await task

    (trace,) = traced(store, lambda: asyncio.run(program()))
    assert tree(trace) == ("slow", "CHAIN", "cancelled", [])
    assert trace.info.state.value == "ERROR"


def test_events_of_a_run(store: str) -> None:
    """Custom events, retries, text and agent actions are events of the run they belong to, with their content."""

    def program() -> None:
        def node(x: int, config: RunnableConfig) -> int:
            dispatch_custom_event("progress", {"done": x}, config=config)
            return x

        RunnableLambda(node, name="sync").invoke(7)

        async def anode(x: int, config: RunnableConfig) -> int:
            await adispatch_custom_event("progress", {"done": x}, config=config)
            return x

        asyncio.run(RunnableLambda(anode, name="async").ainvoke(8))

    first, second = traced(store, program)
    seen = [[(event.name, event.attributes) for event in trace.data.spans[0].events] for trace in (first, second)]
    assert seen == [[("progress", {"data": '{"done":7}'})], [("progress", {"data": '{"done":8}'})]]


def test_each_try_of_a_retry(store: str) -> None:
    """Each try of a retried run is a span with its own status, and the whole is OK when the last one is."""
    (trace,) = traced(store, WAYS["retries"])
    assert tree(trace)[2] == "OK"
    assert [how for _, _, how, _ in tree(trace)[3]] == ["ERROR", "ERROR", "OK"]


def test_older_callbacks(store: str) -> None:
    """Retries, texts and agent actions that older chains announce are events of their run."""
    handler = AutotraceHandler(tracking_uri=store, shipper="external")
    run_id = uuid4()
    handler.on_chain_start({"name": "old"}, {"x": 1}, run_id=run_id)
    state: Any = SimpleNamespace(attempt_number=2, idle_for=1.5, outcome=None)
    handler.on_retry(state, run_id=run_id)
    failed = SimpleNamespace(failed=True, exception=lambda: ValueError("bad"))
    state.outcome = failed
    handler.on_retry(state, run_id=run_id)
    handler.on_text("thinking", run_id=run_id)
    handler.on_agent_action(AgentAction("add", {"a": 1}, "log"), run_id=run_id)
    handler.on_agent_finish(AgentFinish({"output": 3}, "log"), run_id=run_id)
    handler.on_text("unknown run", run_id=uuid4())
    handler.on_chain_end({"y": 2}, run_id=run_id)
    handler.on_chain_end({"y": 2}, run_id=run_id)
    deliver()
    (span,) = stored(store)[0].data.spans
    assert span.name == "old"
    assert [(event.name, event.attributes) for event in span.events] == [
        ("retry", {"attempt": 2, "slept": 1.5}),
        ("retry", {"attempt": 2, "slept": 1.5, "exception": "ValueError: bad"}),
        ("text", {"text": "thinking"}),
        ("agent_action", {"tool": "add", "tool_input": '{"a":1}', "log": "log"}),
        ("agent_finish", {"return_values": '{"output":3}', "log": "log"}),
    ]


def test_a_text_model_that_fails(store: str) -> None:
    """A text model that raises is an ERROR with the prompt it was asked."""

    class Broken(FakeListLLM):
        def _call(self, *args: Any, **kwargs: Any) -> str:
            raise TimeoutError("too slow")

    (trace,) = traced(store, lambda: Broken(responses=["x"]).invoke("ok?"))
    assert tree(trace) == ("Broken", "LLM", "ERROR", [])
    (span,) = trace.data.spans
    assert (span.inputs, span.status.description) == (["ok?"], "TimeoutError: too slow")


@pytest.mark.skipif(not hasattr(BaseCallbackHandler, "on_stream_event"), reason="this langchain-core has no version 3")
def test_protocol_events_are_chunks(store: str) -> None:
    """A model streamed as version 3 protocol events has its chunks counted and its answer whole."""

    async def program() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it is in beta
            stream: Any = await FakeListChatModel(responses=["an answer"]).astream_events("hi", version="v3")
            await collect(stream)

    (trace,) = traced(store, lambda: asyncio.run(program()))
    (span,) = trace.data.spans
    assert span.outputs["choices"][0]["message"]["content"] in ("an answer", [{"type": "text", "text": "an answer"}])
    assert span.get_attribute("langchain.chunk_count") == len("an answer")


def test_an_answer_from_the_cache(store: str) -> None:
    """An answer from LangChain's cache is marked and adds nothing to the trace's tokens."""
    usage = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    model = Scripted(messages=iter([AIMessage("a", usage_metadata=usage)]), cache=InMemoryCache())
    first, second = traced(store, lambda: (model.invoke("hi"), model.invoke("hi")))
    assert first.info.token_usage == usage
    assert not second.info.token_usage
    assert second.data.spans[0].get_attribute("langchain.cache_hit") is True


def test_inputs_are_those_of_the_start(store: str) -> None:
    """A node that changes its input in place does not change what the trace says came in."""

    def spoil(state: dict[str, Any]) -> dict[str, Any]:
        state["items"].append("late")
        return {"kept": len(state["items"])}

    (trace,) = traced(store, lambda: RunnableLambda(spoil, name="spoil").invoke({"items": ["early"]}))
    (span,) = trace.data.spans
    assert span.inputs == {"items": ["early"]}
    assert span.outputs == {"kept": 2}


def test_streamed_content_is_whole(store: str) -> None:
    """A streamed chain has its true inputs and its joined output on every span, with the time to the first token."""
    (trace,) = traced(store, lambda: list(chain("An answer in words.").stream(TOPIC)))
    (root,), (model,), (parser,) = (
        spans_named(trace, name) for name in ("RunnableSequence", "FakeListChatModel", "StrOutputParser")
    )
    assert (root.inputs, root.outputs) == (TOPIC, "An answer in words.")
    assert model.inputs == {
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "cats"}]
    }
    assert model.outputs["choices"][0]["message"] == {"role": "assistant", "content": "An answer in words."}
    assert parser.outputs == "An answer in words."
    assert model.get_attribute("langchain.chunk_count") == len("An answer in words.")
    assert 0 < float(model.get_attribute("gen_ai.response.time_to_first_chunk") or 0) < 10


def test_tags_metadata_session_and_user(store: str) -> None:
    """A run's tags and metadata stand on its spans; session and user, from there or ``context()``, on the trace."""

    def program() -> None:
        config: RunnableConfig = {"tags": ["blue"], "metadata": {"session_id": "s-1", "user_id": "u-1", "k": 1}}
        chain().invoke(TOPIC, config)
        with langchain_autotrace.context(session_id="s-2", user_id="u-2", tags={"team": "a"}, metadata={"build": "9"}):
            chain().invoke(TOPIC)
            chain().invoke(TOPIC, {"metadata": {"conversation_id": "s-3"}})

    first, second, third = traced(store, program, extra_tags={"app": "shop"})
    (root,) = spans_named(first, "RunnableSequence")
    assert root.get_attribute("langchain.tags") == ["blue"]
    assert root.get_attribute("metadata") == {"session_id": "s-1", "user_id": "u-1", "k": 1}
    owners = [
        (one.info.trace_metadata["mlflow.trace.session"], one.info.trace_metadata["mlflow.trace.user"])
        for one in (first, second, third)
    ]
    assert owners == [("s-1", "u-1"), ("s-2", "u-2"), ("s-3", "u-2")]
    assert [one.info.tags.get("app") for one in (first, second, third)] == ["shop"] * 3
    assert [one.info.tags.get("team") for one in (first, second, third)] == [None, "a", "a"]
    assert second.info.trace_metadata["build"] == "9"


def test_suppress(store: str) -> None:
    """Runs started within ``suppress()`` are left out, also below a run that is traced."""

    def quiet(x: Any) -> Any:
        with langchain_autotrace.suppress():
            chain().invoke(TOPIC)
        return x

    def program() -> None:
        with langchain_autotrace.suppress():
            chain().invoke(TOPIC)
            asyncio.run(chain().ainvoke(TOPIC))
        (RunnableLambda(quiet, name="quiet") | RunnableLambda(lambda x: x, name="loud")).invoke(1)

    (trace,) = traced(store, program)
    assert tree(trace) == (
        "RunnableSequence",
        "CHAIN",
        "OK",
        [("quiet", "CHAIN", "OK", []), ("loud", "CHAIN", "OK", [])],
    )


def test_sampling_keeps_whole_traces(store: str) -> None:
    """Sampling drops or keeps a trace with all its runs."""
    traces = traced(store, lambda: [chain().invoke(TOPIC) for _ in range(60)], sample_rate=0.5)
    assert 5 < len(traces) < 55
    assert {len(trace.data.spans) for trace in traces} == {4}


def test_without_content(store: str) -> None:
    """With content off, a trace has its tree, times, models and usage, and not a word that was said."""

    def program() -> None:
        answer = AIMessage(
            "a SPOKEN word",
            usage_metadata={"input_tokens": 3, "output_tokens": 4, "total_tokens": 7},
            response_metadata={"model_name": "m-1"},
        )
        model = Scripted(messages=iter([answer])).bind_tools([add])
        (ChatPromptTemplate.from_template("SPOKEN {topic}") | model | StrOutputParser()).invoke(TOPIC)
        RunnableLambda(lambda word: dict[str, str]()[word], name="fails").invoke("SPOKEN")

    traces = traced(store, program, capture_content=False)
    assert [len(trace.data.spans) for trace in traces] == [4, 1]
    assert "SPOKEN" not in str([span.to_dict() for trace in traces for span in trace.data.spans])
    (model,) = spans_named(traces[0], "Scripted")
    assert model.get_attribute("mlflow.chat.tokenUsage") == {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    assert model.model_name == "m-1"
    assert spans_named(traces[1], "fails")[0].status.description == "KeyError"


def test_results_are_left_as_they_are(store: str) -> None:
    """With tracing on, results, exceptions and the arguments of other callbacks are those without it."""

    class Spy(BaseCallbackHandler):
        run_inline = True

        def __init__(self) -> None:
            self.seen: list[Any] = []

        def on_chat_model_start(self, serialized: Any, messages: Any, **kwargs: Any) -> None:
            self.seen.append(repr((messages, kwargs["invocation_params"], kwargs["metadata"])))

        def on_llm_end(self, response: Any, **kwargs: Any) -> None:
            self.seen.append(response.model_dump_json(exclude={"run"}))

    def program() -> tuple[Any, Any, list[Any]]:
        spy = Spy()
        message = AIMessage("say", id="m1", additional_kwargs={"x": [1]})
        model = Scripted(messages=iter([message])).bind_tools([add])
        result: BaseMessage = model.invoke("hello", {"callbacks": [spy], "metadata": {"m": 1}})
        with pytest.raises(ZeroDivisionError) as raised:
            (chain() | (lambda _: 1 / 0)).invoke(TOPIC)
        return result, str(raised.value), spy.seen

    plain = program()
    langchain_autotrace.autolog(tracking_uri=store, shipper="external")
    assert program() == plain


def test_parent_unknown_to_us(store: str) -> None:
    """A run whose parent started before ``autolog()`` is the root of a trace, and says whose child it is."""
    parents: list[str] = []

    def late(_: Any) -> None:
        langchain_autotrace.autolog(tracking_uri=store, shipper="external")
        chain().invoke(TOPIC)

    with observed() as observer:
        RunnableLambda(late).invoke(1)
    parents = [run.run_id for run in observer.runs if run.parent_run_id is None]
    deliver()
    (trace,) = stored(store)
    assert tree(trace)[0] == "RunnableSequence"
    (root,) = spans_named(trace, "RunnableSequence")
    assert root.get_attribute("langchain.parent_run_id") == parents[0]


def test_last_trace_id(store: str) -> None:
    """The last trace id is that of the thread's own last trace."""
    langchain_autotrace.autolog(tracking_uri=store, shipper="external")
    assert langchain_autotrace.last_trace_id() is None
    chain().invoke(TOPIC)
    mine = langchain_autotrace.last_trace_id()
    others: list[str | None] = []

    def elsewhere() -> None:
        others.append(langchain_autotrace.last_trace_id())
        chain().invoke(TOPIC)
        others.append(langchain_autotrace.last_trace_id())

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    deliver()
    assert others[0] == mine
    assert others[1] != mine
    assert langchain_autotrace.last_trace_id() == mine
    assert [trace.info.trace_id for trace in stored(store)] == [mine, others[1]]
