"""Programs that mix LangChain with MLflow's own API, and the trees that they are to leave.

Each is run in a process of its own. The docstring is the tree: a line for each span, indented below its parent, by the
time they started; a status other than OK stands behind the name. Traces stand in the order in which they began.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypedDict

import mlflow
from langchain_core.callbacks import CallbackManagerForLLMRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel, FakeListChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, ToolCall
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableConfig, RunnableGenerator, RunnableLambda, RunnableParallel
from langchain_core.tools import tool
from langgraph.graph import END, START, StateGraph

import langchain_autotrace

PROGRAMS: dict[str, Callable[[], Any]] = {}


def program(function: Callable[[], Any]) -> Callable[[], Any]:
    """Put a function into the table."""
    PROGRAMS[function.__name__] = function
    return function


def tree(name: str) -> str:
    """The tree that a program is to leave."""
    return inspect.cleandoc(PROGRAMS[name].__doc__ or "")


def step(name: str, function: Callable[..., Any] = lambda x: x) -> Runnable[Any, Any]:
    """A lambda of that name."""
    return RunnableLambda(function, name=name)


def spanned(name: str, function: Callable[..., Any] = lambda x: x) -> Callable[..., Any]:
    """A function that does its work within a span of MLflow's."""

    def run(value: Any) -> Any:
        with mlflow.start_span(name):
            return function(value)

    return run


@mlflow.trace
def helper(value: Any) -> Any:
    """Be a span."""
    return value


@mlflow.trace
async def async_helper(value: Any) -> Any:
    """Be a span, after others had their turn."""
    await asyncio.sleep(0.001)
    return value


# Nesting.


@program
def chain_in_a_span() -> None:
    """
    outer
      chain
        first
        second
      after
    """
    with mlflow.start_span("outer"):
        (step("first") | step("second")).with_config(run_name="chain").invoke(1)
        step("after").invoke(1)


def name_of_the_current_span() -> str | None:
    """What MLflow calls the current span."""
    span = mlflow.get_current_active_span()
    return None if span is None else span.name


@program
def the_span_is_around_the_run() -> None:
    """
    s
      chain
        lambda
        StrOutputParser
    """

    def work(value: Any) -> Any:
        assert name_of_the_current_span() == "lambda"
        return value

    with mlflow.start_span("s"):
        (step("lambda", work) | StrOutputParser()).with_config(run_name="chain").invoke("x")
        assert name_of_the_current_span() == "s"


@program
def the_span_is_within_the_run() -> None:
    """
    chain
      lambda
        s
          inner
      StrOutputParser
    """

    def work(value: Any) -> Any:
        with mlflow.start_span("s"):
            assert name_of_the_current_span() == "s"
            step("inner").invoke(value)
        assert name_of_the_current_span() == "lambda"
        return value

    (step("lambda", work) | StrOutputParser()).with_config(run_name="chain").invoke("x")


@program
def span_in_a_lambda() -> None:
    """
    chain
      first
        span
          helper
      second
    """
    (step("first", spanned("span", helper)) | step("second")).with_config(run_name="chain").invoke(1)


@program
def alternating() -> None:
    """
    outer
      chain
        helper
          inner
            span
              innermost
          helper_after
    """

    @mlflow.trace(name="helper")
    def work(value: Any) -> Any:
        step("inner", spanned("span", step("innermost").invoke)).invoke(value)
        with mlflow.start_span("helper_after"):
            return value

    with mlflow.start_span("outer"):
        step("chain", work).invoke(1)


@program
def alternating_async() -> None:
    """
    outer
      chain
        work
          inner
            async_helper
          async_helper
    """

    @mlflow.trace
    async def work(value: Any) -> Any:
        await step("inner", async_helper).ainvoke(value)
        return await async_helper(value)

    async def main() -> None:
        with mlflow.start_span("outer"):
            await step("chain", work).ainvoke(1)

    asyncio.run(main())


@program
def one_after_the_other() -> None:
    """
    one
      span
    helper
    two
      span
    """
    step("one", spanned("span")).invoke(1)
    helper(2)
    step("two", spanned("span")).invoke(3)


@program
def threads_with_copied_context() -> None:
    """
    outer
      lambda
        helper
        chain
          helper
    """

    def work(value: Any) -> Any:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(contextvars.copy_context().run, helper, value).result()
            pool.submit(contextvars.copy_context().run, step("chain", helper).invoke, value).result()
        return value

    with mlflow.start_span("outer"):
        step("lambda", work).invoke(1)


@program
def thread_without_context() -> None:
    """
    outer
      lambda
    helper
    """

    def work(value: Any) -> Any:
        thread = threading.Thread(target=helper, args=(value,))
        thread.start()
        thread.join()
        return value

    with mlflow.start_span("outer"):
        step("lambda", work).invoke(1)


@program
def branches_and_batches() -> None:
    """
    outer
      parallel
        left
          helper
        right
          helper
      item
        helper
      item
        helper
    """
    config = {"max_concurrency": 1}
    with mlflow.start_span("outer"):
        parallel = RunnableParallel(left=step("left", helper), right=step("right", helper))
        parallel.with_config(run_name="parallel").invoke(1, {"max_concurrency": 1})
        step("item", helper).batch([1, 2], config)  # type: ignore[arg-type] # as users write it


@program
def gathered_chains() -> None:
    """
    outer
      chain
        async_helper
      chain
        async_helper
      chain
        async_helper
    """

    async def main() -> None:
        with mlflow.start_span("outer"):
            await asyncio.gather(*[step("chain", async_helper).ainvoke(number) for number in range(3)])

    asyncio.run(main())


@program
def many_at_once() -> None:
    """
    root
      chain
        async_helper
    """

    async def one(number: int) -> None:
        with mlflow.start_span("root"):
            await step("chain", async_helper).ainvoke(number)

    async def main() -> None:
        await asyncio.gather(*[one(number) for number in range(40)])

    asyncio.run(main())


# Streams.


def _chunks(values: Iterator[Any]) -> Iterator[str]:
    for value in values:
        with mlflow.start_span("span"):
            yield from str(value)


async def _async_chunks(values: AsyncIterator[Any]) -> AsyncIterator[str]:
    async for value in values:
        await async_helper(value)
        for letter in str(value):
            yield letter


@program
def a_stream() -> None:
    """
    outer
      chain
        upper
          helper
        _chunks
          span
    """
    chain = (step("upper", helper) | RunnableGenerator(_chunks)).with_config(run_name="chain")
    with mlflow.start_span("outer"):
        assert list(chain.stream("abc")) == ["a", "b", "c"]


@program
def an_async_stream() -> None:
    """
    outer
      chain
        upper
          helper
        _chunks
          async_helper
    """
    chain = (step("upper", helper) | RunnableGenerator(_chunks, _async_chunks)).with_config(run_name="chain")

    async def main() -> None:
        with mlflow.start_span("outer"):
            assert [one async for one in chain.astream("abc")] == ["a", "b", "c"]

    asyncio.run(main())


@program
def spans_between_the_chunks_of_an_open_stream() -> None:
    """
    FakeListChatModel
    between
      helper
    between
      helper
    chain
    """
    stream = FakeListChatModel(responses=["ab"]).stream("x")
    for _ in stream:
        with mlflow.start_span("between"):
            helper(1)
    step("chain").invoke(1)


@program
def chains_between_the_chunks_of_an_open_stream() -> None:
    """
    outer
      stream
        FakeListChatModel
        StrOutputParser
      between
        chain
          helper
      between
        chain
          helper
    """
    chain = FakeListChatModel(responses=["ab"]) | StrOutputParser()
    with mlflow.start_span("outer"):
        for _ in chain.with_config(run_name="stream").stream("x"):
            with mlflow.start_span("between"):
                step("chain", helper).invoke(1)


@program
def a_generator_of_mlflow_around_a_stream() -> None:
    """
    tell
      chain
        upper
          helper
        _chunks
          span
    between
    between
    between
    """
    chain = (step("upper", helper) | RunnableGenerator(_chunks)).with_config(run_name="chain")

    @mlflow.trace
    def tell(question: str) -> Iterator[str]:
        yield from chain.stream(question)

    for _ in tell("abc"):
        with mlflow.start_span("between"):
            pass


@program
def a_generator_of_mlflow_within_a_lambda() -> None:
    """
    lambda
      tell
        chain
          helper
    """

    @mlflow.trace
    def tell(question: str) -> Iterator[str]:
        step("chain", helper).invoke(question)
        yield from question

    step("lambda", lambda text: "".join(tell(text))).invoke("abc")


# Tools, graphs, retrievers, models.


@tool
def shout(text: str) -> str:
    """Say it louder."""
    return str(helper(text.upper()))


@tool
async def ashout(text: str) -> str:
    """Say it louder."""
    return str(await async_helper(text.upper()))


@program
def tools() -> None:
    """
    shout
      helper
    outer
      ashout
        async_helper
    """
    shout.invoke({"text": "a"})

    async def main() -> None:
        with mlflow.start_span("outer"):
            await ashout.ainvoke({"text": "a"})

    asyncio.run(main())


class State(TypedDict):
    value: int


def _graph(*nodes: tuple[str, Any]) -> Any:
    graph = StateGraph(State)
    before = START
    for name, function in nodes:
        graph.add_node(name, function)
        graph.add_edge(before, name)
        before = name
    graph.add_edge(before, END)
    return graph.compile(name="graph")


@program
def a_graph() -> None:
    """
    outer
      graph
        first
          span
            helper
        second
          helper
    """

    def second(state: State) -> State:
        return {"value": helper(state["value"])}

    graph = _graph(("first", spanned("span", helper)), ("second", second))
    with mlflow.start_span("outer"):
        graph.invoke({"value": 1})


@program
def an_async_graph() -> None:
    """
    graph
      first
        async_helper
        span
          async_helper
      second
        async_helper
        async_helper
        chain
          async_helper
    """

    async def first(state: State) -> State:
        await async_helper(1)
        with mlflow.start_span("span"):
            return {"value": await async_helper(state["value"])}

    async def second(state: State) -> State:
        await asyncio.gather(async_helper(1), async_helper(2))
        await asyncio.create_task(step("chain", async_helper).ainvoke(3))
        return state

    asyncio.run(_graph(("first", first), ("second", second)).ainvoke({"value": 1}))


@program
def a_sync_node_of_an_async_graph() -> None:
    """
    graph
      first
        helper
    """

    def first(state: State) -> State:
        return {"value": helper(state["value"])}

    asyncio.run(_graph(("first", first)).ainvoke({"value": 1}))


@program
def a_graph_in_a_node() -> None:
    """
    graph
      outside
        helper
          graph
            inside
              helper
    """
    inner = _graph(("inside", lambda state: {"value": helper(state["value"])}))

    @mlflow.trace(name="helper")
    def call(state: State) -> Any:
        return inner.invoke(state)

    _graph(("outside", call)).invoke({"value": 1})


class Library(BaseRetriever):
    """Finds things, within a span."""

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        return [Document(helper(query))]

    async def _aget_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return [Document(await async_helper(query))]


@program
def retrievers() -> None:
    """
    Library
      helper
    chain
      Library
        helper
      last
        helper
    Library
      async_helper
    """
    Library().invoke("a")
    (Library() | step("last", helper)).with_config(run_name="chain").invoke("b")
    asyncio.run(Library().ainvoke("c"))


class Talker(BaseChatModel):
    """Answers, within a span."""

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        step("within", helper).invoke("a")
        return ChatResult(generations=[ChatGeneration(message=AIMessage(helper("answer")))])

    async def _agenerate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage(await async_helper("answer")))])

    @property
    def _llm_type(self) -> str:
        return "talker"


class Streamer(Talker):
    """Answers word by word, each within a span."""

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        for word in ("a", "b"):
            yield ChatGenerationChunk(message=AIMessageChunk(content=helper(word)))


@program
def models() -> None:
    """
    chain
      ChatPromptTemplate
      Talker
        helper
      within
        helper
      last
        helper
    Talker
      async_helper
    Streamer
      helper
      helper
    between
    between
    between
    """
    chain = ChatPromptTemplate.from_template("{x}") | Talker() | step("last", helper)
    chain.with_config(run_name="chain").invoke({"x": 1})
    asyncio.run(Talker().ainvoke("x"))
    for _ in Streamer().stream("x"):
        with mlflow.start_span("between"):
            pass


class Caller(BaseChatModel):
    """Calls a tool, then answers."""

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        calls = [ToolCall(name="shout", args={"text": "a"}, id="1")] if len(messages) == 1 else []
        return ChatResult(generations=[ChatGeneration(message=AIMessage("x", tool_calls=calls))])

    def bind_tools(self, *args: Any, **kwargs: Any) -> Runnable[Any, AIMessage]:
        return self

    @property
    def _llm_type(self) -> str:
        return "caller"


@program
def an_agent() -> None:
    """
    ask
      agent
        model
          Caller
        tools
          shout
            helper
        model
          Caller
    """
    from langchain.agents import create_agent

    agent = create_agent(Caller(), [shout], name="agent")

    @mlflow.trace
    def ask(question: str) -> Any:
        return agent.invoke({"messages": [HumanMessage(question)]})["messages"][-1].content

    ask("x")


# What goes wrong.


@program
def an_error_in_a_span() -> None:
    """
    chain ERROR
      span ERROR
    """

    def fail(_: Any) -> None:
        raise ValueError("no")

    try:
        step("chain", spanned("span", fail)).invoke(1)
    except ValueError:
        pass


@program
def an_error_that_is_handled() -> None:
    """
    outer
      RunnableWithFallbacks
        bad ERROR
          helper
        good
          helper
    """

    def fail(value: Any) -> None:
        helper(value)
        raise ValueError("no")

    with mlflow.start_span("outer"):
        step("bad", fail).with_fallbacks([step("good", helper)]).invoke(1)


# The switches.


@program
def suppressed() -> None:
    """
    before
      helper
    after
    """
    step("before", helper).invoke(1)
    with langchain_autotrace.suppress():
        step("left out", helper).invoke(1)
        helper(1)
    helper_after = mlflow.trace(lambda x: x, name="after")
    helper_after(1)


@program
def disabled_in_a_block() -> None:
    """
    outer
      helper
    """
    with mlflow.start_span("outer"):
        with mlflow.tracing.context(enabled=False):
            step("left out", helper).invoke(1)
        helper(1)


@program
def disabled_and_enabled() -> None:
    """
    after
      helper
    """
    mlflow.tracing.disable()
    step("left out", helper).invoke(1)
    helper(1)
    mlflow.tracing.enable()
    step("after", helper).invoke(1)


@program
def disabled_for_a_function() -> None:
    """
    after
      helper
    """
    from mlflow.tracing.provider import trace_disabled

    @trace_disabled
    def quiet() -> None:
        step("left out", helper).invoke(1)

    quiet()
    step("after", helper).invoke(1)


@program
def switched_off_and_on() -> None:
    """
    before
      helper
    helper
    after
      helper
    """
    step("before", helper).invoke(1)
    langchain_autotrace.disable()
    step("left out").invoke(1)
    helper("written by MLflow itself")
    mlflow.flush_trace_async_logging()
    langchain_autotrace.autolog(shipper="thread")
    step("after", helper).invoke(1)


@program
def a_trace_that_was_not_sampled() -> None:
    """
    kept
      helper
    """

    @mlflow.trace(sampling_ratio_override=0.0)
    def dropped() -> None:
        step("left out", helper).invoke(1)

    dropped()
    step("kept", helper).invoke(1)


@program
def a_chain_that_was_not_sampled() -> None:
    """
    kept
    """
    langchain_autotrace.autolog(shipper="thread", sample_rate=0.0)
    step("left out", helper).invoke(1)
    helper(1)
    langchain_autotrace.autolog(shipper="thread")
    step("kept").invoke(1)


@program
def mlflow_was_there_before() -> None:
    """
    before
      within
    chain
      helper
    """
    langchain_autotrace.disable()
    with mlflow.start_span("before"):
        langchain_autotrace.autolog(shipper="thread")
        with mlflow.start_span("within"):
            pass
    mlflow.flush_trace_async_logging()
    step("chain", helper).invoke(1)


# The client, and no LangChain at all.


@program
def the_client() -> None:
    """
    root
      child
        grandchild
      other
    """
    client = mlflow.MlflowClient()
    root = client.start_trace("root", inputs={"a": 1})
    child = client.start_span("child", root.trace_id, root.span_id)
    grandchild = client.start_span("grandchild", root.trace_id, child.span_id)
    client.end_span(root.trace_id, grandchild.span_id)
    client.end_span(root.trace_id, child.span_id, outputs=2)
    other = client.start_span("other", root.trace_id, root.span_id)
    client.end_span(root.trace_id, other.span_id)
    client.end_trace(root.trace_id, outputs=3)


@program
def the_client_below_a_run() -> None:
    """
    chain
      by hand
        below
    """

    def work(value: Any) -> Any:
        above = mlflow.get_current_active_span()
        assert above is not None
        client = mlflow.MlflowClient()
        span = client.start_span("by hand", above.trace_id, above.span_id)
        below = mlflow.start_span_no_context("below", parent_span=span)
        below.end()
        client.end_span(above.trace_id, span.span_id)
        return value

    step("chain", work).invoke(1)


@program
def a_span_that_ends_after_its_root() -> None:
    """
    root
      late
        chain
    """
    may_end = threading.Event()

    def late() -> None:
        with mlflow.start_span("late"):
            may_end.wait()
            step("chain").invoke(1)

    with mlflow.start_span("root"):
        thread = threading.Thread(target=contextvars.copy_context().run, args=(late,))
        thread.start()
        threading.Event().wait(0.01)
    may_end.set()
    thread.join()


@program
def decorated_methods() -> None:
    """
    outer
      add
      make
        add
    """

    class Sums:
        @mlflow.trace
        def add(self, a: int, b: int) -> int:
            return a + b

        @classmethod
        @mlflow.trace
        def make(cls) -> int:
            return cls().add(1, 2)

    with mlflow.start_span("outer"):
        Sums().add(1, 2)
        Sums.make()


@program
def a_config_that_is_passed_on() -> None:
    """
    outer
      chain
        span
          inner
            helper
    """

    def work(value: Any, config: RunnableConfig) -> Any:
        with mlflow.start_span("span"):
            return step("inner", helper).invoke(value, config)

    with mlflow.start_span("outer"):
        step("chain", work).invoke(1)
