"""Whole programs in which LangChain loses the parent of a run: it belongs below the run that encloses it."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypedDict

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models.fake_chat_models import FakeListChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import PydanticToolsParser
from langchain_core.runnables import RunnableConfig, RunnableGenerator, RunnablePassthrough
from langchain_core.runnables import RunnableLambda as TypedLambda
from langchain_core.tools import tool
from langgraph.graph import StateGraph as TypedGraph
from pydantic import BaseModel

import langchain_autotrace
from langchain_autotrace import AutotraceHandler
from tests.support import deliver, stored, tree

# Their generic types say nothing of these programs.
RunnableLambda: Any = TypedLambda
StateGraph: Any = TypedGraph

MODEL = FakeListChatModel(responses=["a"], name="model")
CALLED: Any = ("model", [])


class Other(BaseCallbackHandler):
    """A handler of the program's own."""


CALLBACKS: dict[str, list[BaseCallbackHandler]] = {"empty": [], "a handler": [Other()]}


def ask(callbacks: Any) -> str:
    """Ask a model with callbacks of its own."""
    return str(MODEL.invoke("q", config={"callbacks": callbacks}).content)


async def aask(callbacks: Any) -> str:
    """Ask a model with callbacks of its own."""
    return str((await MODEL.ainvoke("q", config={"callbacks": callbacks})).content)


class State(TypedDict):
    """Of a graph with one node."""

    a: str


def graph(node: Any) -> Any:
    """A graph with one node."""
    builder = StateGraph(State)
    builder.add_node("node", node)
    builder.set_entry_point("node")
    return builder.compile(name="graph")


def in_a_lambda(callbacks: Any) -> Any:
    """A call in a lambda."""
    RunnableLambda(lambda _: ask(callbacks), name="outer").invoke("x")
    return ("outer", [CALLED])


def in_an_async_lambda(callbacks: Any) -> Any:
    """A call in a coroutine function."""

    async def outer(_: object) -> str:
        return await aask(callbacks)

    asyncio.run(RunnableLambda(outer).ainvoke("x"))
    return ("outer", [CALLED])


def in_a_node(callbacks: Any) -> Any:
    """A call in a graph's node."""
    graph(lambda _: {"a": ask(callbacks)}).invoke({"a": "x"})
    return ("graph", [("node", [CALLED])])


def in_an_async_node(callbacks: Any) -> Any:
    """A call in a graph's node that is a coroutine function."""

    async def node(_: object) -> dict[str, str]:
        return {"a": await aask(callbacks)}

    asyncio.run(graph(node).ainvoke({"a": "x"}))
    return ("graph", [("node", [CALLED])])


def in_a_tool(callbacks: Any) -> Any:
    """A call in a tool."""

    @tool
    def lookup(x: str) -> str:
        """Look up."""
        return ask(callbacks) + x

    (RunnableLambda(lambda x: x, name="first") | lookup).invoke("x", config={"run_name": "chain"})
    return ("chain", [("first", []), ("lookup", [CALLED])])


def in_an_async_tool(callbacks: Any) -> Any:
    """A call in a tool that is a coroutine function."""

    @tool
    async def lookup(x: str) -> str:
        """Look up."""
        return await aask(callbacks) + x

    asyncio.run(lookup.ainvoke("x"))
    return ("lookup", [CALLED])


def in_a_stream(callbacks: Any) -> Any:
    """A streamed call in a generator."""

    def outer(chunks: Iterator[Any]) -> Iterator[Any]:
        for _ in chunks:
            yield from MODEL.stream("q", config={"callbacks": callbacks})

    list(RunnableGenerator(outer).stream("x"))
    return ("outer", [CALLED])


def in_a_batch(callbacks: Any) -> Any:
    """A batch in a lambda."""
    RunnableLambda(lambda _: MODEL.batch(["a", "b"], config={"callbacks": callbacks}), name="outer").invoke("x")
    return ("outer", [CALLED, CALLED])


def in_a_pool(callbacks: Any) -> Any:
    """A call in a thread of a plain pool, with a copied context."""

    def outer(_: object) -> str:
        with ThreadPoolExecutor() as pool:
            return pool.submit(contextvars.copy_context().run, ask, callbacks).result()

    RunnableLambda(outer).invoke("x")
    return ("outer", [CALLED])


def a_graph_in_a_node(callbacks: Any) -> Any:
    """A graph with callbacks of its own in a graph's node, which again asks with callbacks of its own."""
    inner = graph(lambda _: {"a": ask(callbacks)})
    graph(lambda state: inner.invoke(state, config={"callbacks": callbacks})).invoke({"a": "x"})
    return ("graph", [("node", [("graph", [("node", [CALLED])])])])


PROGRAMS: list[Callable[[Any], Any]] = [
    *(in_a_lambda, in_an_async_lambda, in_a_node, in_an_async_node, in_a_tool, in_an_async_tool),
    *(in_a_stream, in_a_batch, in_a_pool, a_graph_in_a_node),
]


def shape(one: Any) -> Any:
    """Names of a tree's spans, as nested pairs."""
    return one[0], [shape(child) for child in one[3]]


def the_tree(store: str) -> Any:
    """The tree of the only trace that is stored."""
    deliver()
    (trace,) = stored(store)
    return shape(tree(trace))


@pytest.mark.parametrize("callbacks", CALLBACKS)
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_callbacks_of_its_own(program: Callable[[Any], Any], callbacks: str, store: str) -> None:
    """A call with callbacks of its own is below the run in which it is made."""
    langchain_autotrace.autolog(tracking_uri=store, shipper="external")
    expected = program(CALLBACKS[callbacks])

    assert the_tree(store) == expected


def boom(_: object) -> str:
    """Fail."""
    msg = "no"
    raise ValueError(msg)


def run(chain: Any, way: str) -> None:
    """Run a chain in a way to run it."""
    if way == "invoke":
        chain.invoke("x", config={"run_name": "chain"})
    elif way == "batch":
        chain.batch(["x"], config={"run_name": "chain"})
    elif way == "stream":
        list(chain.stream("x", config={"run_name": "chain"}))
    elif way == "ainvoke":
        asyncio.run(chain.ainvoke("x", config={"run_name": "chain"}))
    else:
        asyncio.run(chain.abatch(["x"], config={"run_name": "chain"}))


WAYS = ("invoke", "batch", "stream", "ainvoke", "abatch")


@pytest.mark.parametrize("way", WAYS)
def test_fallbacks_in_a_chain(way: str, store: str) -> None:
    """The attempts of a runnable with fallbacks are below it, however the chain is run."""
    langchain_autotrace.autolog(tracking_uri=store, shipper="external")
    second = RunnableLambda(lambda _: ask([]), name="second")
    run(RunnablePassthrough() | RunnableLambda(boom).with_fallbacks([second]), way)

    attempts = [("boom", []), ("second", [CALLED])]
    assert the_tree(store) == ("chain", [("RunnablePassthrough", []), ("RunnableWithFallbacks", attempts)])


@pytest.mark.parametrize("way", ["invoke", "batch", "ainvoke", "abatch"])
def test_retries_in_a_chain(way: str, store: str) -> None:
    """The attempts of a runnable with retries are below it."""
    langchain_autotrace.autolog(tracking_uri=store, shipper="external")
    failures = iter([True, False])

    def once(x: str) -> str:
        return boom(x) if next(failures) else x

    run(RunnablePassthrough() | RunnableLambda(once).with_retry(wait_exponential_jitter=False), way)

    retried: Any = ("once", [("once", []), ("once", [])])
    assert the_tree(store) == ("chain", [("RunnablePassthrough", []), retried])


class Answer(BaseModel):
    """What the model is to answer."""

    number: int


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
def test_structured_output_with_the_raw_answer(way: str, store: str) -> None:
    """The parser's attempts of ``include_raw=True`` are below the runnable with fallbacks, also when it fails."""
    langchain_autotrace.autolog(tracking_uri=store, shipper="external")
    calls = [{"name": "Answer", "args": {"number": "none"}, "id": "1"}]
    model = GenericFakeChatModel(messages=iter([AIMessage("", tool_calls=calls)]), name="model")
    # As in BaseChatModel.with_structured_output.
    parser = RunnablePassthrough.assign(
        parsed=RunnableLambda(lambda found: found["raw"], name="raw") | PydanticToolsParser(tools=[Answer]),
        parsing_error=lambda _: None,
    )
    none = RunnablePassthrough.assign(parsed=lambda _: None)
    run({"raw": model} | parser.with_fallbacks([none], exception_key="parsing_error"), way)

    (name, (first, fallbacks)) = the_tree(store)
    assert (name, first) == ("chain", ("RunnableParallel<raw>", [("model", [])]))
    assert (fallbacks[0], [attempt for attempt, _ in fallbacks[1]]) == (
        "RunnableWithFallbacks",
        ["RunnableAssign<parsed,parsing_error>", "RunnableAssign<parsed>"],
    )


def test_a_config_of_a_run_further_up(store: str) -> None:
    """A run that is given the parent of the run in which it is made is below that one."""
    langchain_autotrace.autolog(tracking_uri=store, shipper="external")

    def outer(_: object, config: RunnableConfig) -> Any:
        inner = RunnableLambda(lambda _: MODEL.invoke("q", config), name="inner")
        return inner.invoke("y", config)

    RunnableLambda(outer).invoke("x")

    assert the_tree(store) == ("outer", [("inner", [CALLED])])


def test_a_call_that_outlives_the_run(store: str) -> None:
    """A call in a thread that goes on after the run in which it began, with callbacks of its own, is its own trace."""
    langchain_autotrace.autolog(tracking_uri=store, shipper="external")
    contexts: list[contextvars.Context] = []
    RunnableLambda(lambda _: contexts.append(contextvars.copy_context()), name="outer").invoke("x")
    contexts[0].run(ask, [])
    deliver()

    assert [shape(tree(trace)) for trace in stored(store)] == [("outer", []), CALLED]


def test_a_run_that_is_left_out(store: str) -> None:
    """A call with callbacks of its own in a run that is not sampled is not traced either."""
    langchain_autotrace.autolog(tracking_uri=store, shipper="external", sample_rate=0.0)
    in_a_node([])
    langchain_autotrace.autolog(tracking_uri=store, shipper="external")
    ask([])

    assert the_tree(store) == CALLED


def test_a_handler_with_settings_of_its_own(store: str, new_store: Any, tmp_path: Any) -> None:
    """A call with a handler that traces elsewhere is a trace there, and nothing of the run in which it is made."""
    folder = tmp_path / "other"
    folder.mkdir()
    other = new_store(folder)
    langchain_autotrace.autolog(tracking_uri=store, shipper="external")
    in_a_node([AutotraceHandler(tracking_uri=other, shipper="external")])

    assert the_tree(store) == ("graph", [("node", [])])
    assert the_tree(other) == CALLED
