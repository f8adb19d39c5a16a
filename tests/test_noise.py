"""Whole programs whose traces are to be read by people: what is folded, and what exceptions say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress as ignoring
from operator import itemgetter
from typing import Any, Final, TypedDict

import anyio
import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware as TypedMiddleware
from langchain_core.documents import Document
from langchain_core.language_models.fake_chat_models import FakeListChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableBranch, RunnableParallel, RunnablePassthrough
from langchain_core.runnables import RunnableLambda as TypedLambda
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START
from langgraph.graph import StateGraph as TypedGraph
from langgraph.prebuilt import create_react_agent
from mlflow.entities import Trace
from pydantic import BaseModel, SecretStr, ValidationError

import langchain_autotrace
from langchain_autotrace.semconv import Attr
from langchain_autotrace.view.traces import folded, tree_of
from tests.models.chat_server import chatting
from tests.support import deliver, spans_named, stored

# Their generic types say nothing of these programs.
RunnableLambda: Any = TypedLambda
StateGraph: Any = TypedGraph
PROMPT: Final = ChatPromptTemplate.from_template("{x}")


class State(TypedDict):
    """A number."""

    x: int


class Scripted(GenericFakeChatModel):
    """A model that takes tools and says what the script says."""

    def bind_tools(self, *_: Any, **__: Any) -> Scripted:
        """Return itself."""
        return self


# Its generic parameters differ between versions.
AgentMiddleware: Any = TypedMiddleware


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class Idle(AgentMiddleware):  # type: ignore[misc] # as above
    """Middleware with two steps, of which one changes something."""

    def before_model(self, *_: Any) -> None:
        """Do nothing."""

    def after_model(self, *_: Any) -> dict[str, Any]:
        """Change something."""
        return {"messages": []}


def model() -> FakeListChatModel:
    """A model that answers."""
    return FakeListChatModel(responses=["yes"])


def scripted() -> Scripted:
    """A model that calls a tool and is done."""
    call = {"name": "add", "args": {"a": 1, "b": 2}, "id": "c1"}
    return Scripted(messages=iter([AIMessage("", tool_calls=[call]), AIMessage("3")]))


def find(question: str) -> list[Document]:
    """Find documents."""
    return [Document(question)]


def rag() -> Any:
    """A chain that finds documents for a question."""
    context = {"docs": itemgetter("x") | RunnableLambda(find), "x": itemgetter("x")}
    return (
        context | RunnablePassthrough.assign(n=lambda found: len(found["docs"])) | PROMPT | model() | StrOutputParser()
    )


def branches() -> Any:
    """A chain with a named part, a nested one, two at once, and one of two."""
    part = PROMPT | model()
    nested = (RunnablePassthrough() | RunnableLambda(dict)).with_config(tags=["inner"])
    both = RunnableParallel(a=part, b=part)
    one = RunnableBranch((lambda _: False, model()), part)
    return nested | part.with_config(run_name="named") | (lambda _: {"x": 1}) | both | (lambda _: {"x": 1}) | one


def graph() -> Any:
    """A graph with conditional edges from its start, from a function, and from a chain by another chain."""

    def call(state: State) -> State:
        (PROMPT | model() | StrOutputParser()).invoke(dict(state))
        return state

    def begin(_: State) -> str:
        return "call"

    def route(_: State) -> str:
        return "chain"

    made = StateGraph(State)
    made.add_node("call", call)
    made.add_node("chain", RunnableLambda(dict) | (lambda state: state))
    made.add_conditional_edges(START, begin, ["call"])
    made.add_conditional_edges("call", route, ["chain"])
    made.add_conditional_edges("chain", RunnableLambda(dict) | (lambda _: END), [END])
    return made.compile()


CHAT: Final = {"messages": [("user", "1 + 2?")]}
PROGRAMS: Final[dict[str, tuple[Callable[[], Any], Any, str]]] = {
    "rag": (
        rag,
        {"x": "why"},
        """
        RunnableSequence
          ~ RunnableParallel<docs,x>
            ~ RunnableSequence
              ~ RunnableLambda
              find
            ~ RunnableLambda
          ~ RunnableAssign<n>
            ~ RunnableParallel<n>
              ~ RunnableLambda
          ChatPromptTemplate
          FakeListChatModel
          StrOutputParser
        """,
    ),
    "branches": (
        branches,
        {"x": 1},
        """
        RunnableSequence
          ~ RunnableSequence
            ~ RunnablePassthrough
            dict
          named
            ChatPromptTemplate
            FakeListChatModel
          RunnableLambda
          ~ RunnableParallel<a,b>
            RunnableSequence
              ChatPromptTemplate
              FakeListChatModel
            RunnableSequence
              ChatPromptTemplate
              FakeListChatModel
          RunnableLambda
          RunnableBranch
            ~ RunnableLambda
            ~ RunnableSequence
              ChatPromptTemplate
              FakeListChatModel
        """,
    ),
    "graph": (
        graph,
        {"x": 1},
        """
        LangGraph
          ~ __start__
            ~ begin
          call
            RunnableSequence
              ChatPromptTemplate
              FakeListChatModel
              StrOutputParser
            ~ route
          chain
            dict
            RunnableLambda
            ~ RunnableSequence
              dict
              RunnableLambda
        """,
    ),
    "agent": (
        lambda: create_agent(scripted(), [add], middleware=[Idle()]),
        CHAT,
        """
        LangGraph
          ~ Idle.before_model
          model
            Scripted
          Idle.after_model
          tools
            add
          ~ Idle.before_model
          model
            Scripted
          Idle.after_model
        """,
    ),
    "react agent": (
        lambda: create_react_agent(scripted(), [add], prompt="Be brief."),
        CHAT,
        """
        LangGraph
          agent
            ~ call_model
              ~ RunnableSequence
                ~ Prompt
                Scripted
            ~ should_continue
          tools
            add
          agent
            ~ call_model
              ~ RunnableSequence
                ~ Prompt
                Scripted
            ~ should_continue
        """,
    ),
}


def traced(store: str, *programs: Callable[[], object]) -> list[Trace]:
    """The stored traces of programs, the first one first."""
    langchain_autotrace.autolog(tracking_uri=store, shipper="external")
    for program in programs:
        program()
    deliver()
    return sorted(stored(store), key=lambda trace: (trace.info.request_time, trace.info.trace_id))


def lines(trace: Trace, *, fold: bool = False) -> list[str]:
    """The names of a trace's spans as an indented tree, those that are plumbing with a mark."""
    tree = folded(tree_of(trace))[0] if fold else tree_of(trace)
    mark = {None: "", True: "~ "}
    return [f"{'  ' * span.depth}{mark[span.attributes.get(Attr.PLUMBING)]}{span.name}" for span in tree.spans]


def drawn(text: str) -> list[str]:
    """The lines of a tree that is written in a program."""
    return [line[8:] for line in text.strip("\n").splitlines()[:-1]]


@pytest.mark.filterwarnings("ignore:create_react_agent")
@pytest.mark.parametrize("name", PROGRAMS)
def test_plumbing(name: str, store: str) -> None:
    """What LangChain and LangGraph made by themselves is marked, what a person wrote is not, however it is run."""
    make, given, expected = PROGRAMS[name]

    async def drain() -> None:
        async for _ in make().astream(given):
            pass

    ways: list[Callable[[], object]] = [
        lambda: make().invoke(given),
        lambda: [*make().stream(given)],
        lambda: asyncio.run(make().ainvoke(given)),
        lambda: asyncio.run(drain()),
    ]
    traces = traced(store, *ways)
    assert [lines(trace) for trace in traces] == [drawn(expected)] * len(ways)


def test_edge_without_a_name(store: str) -> None:
    """The function of a conditional edge is plumbing also when it has no name; run asynchronously it has the node's."""

    def run(*, is_async: bool) -> None:
        made = StateGraph(State)
        made.add_node("step", lambda state: state)
        made.add_edge(START, "step")
        made.add_conditional_edges("step", lambda _: END, [END])
        if is_async:
            asyncio.run(made.compile().ainvoke({"x": 1}))
        else:
            made.compile().invoke({"x": 1})

    traces = traced(store, lambda: run(is_async=False), lambda: run(is_async=True))
    assert [lines(trace) for trace in traces] == [
        ["LangGraph", "  step", "    ~ RunnableCallable"],
        ["LangGraph", "  step", "    ~ step"],
    ]


def test_folded_tree(store: str) -> None:
    """What is below plumbing is shown below the nearest visible span above it."""
    (trace,) = traced(store, lambda: rag().invoke({"x": "why"}))
    assert lines(trace, fold=True) == [
        "RunnableSequence",
        "  find",
        "  ChatPromptTemplate",
        "  FakeListChatModel",
        "  StrOutputParser",
    ]
    assert folded(tree_of(trace))[1] == 7


def test_plumbing_that_failed(store: str) -> None:
    """A step that failed stays visible, with those above it."""

    def run() -> None:
        with ignoring(KeyError):
            rag().invoke({})

    (trace,) = traced(store, run)
    assert [line for line in lines(trace) if "~" in line] == []


def cancelled_by(cancel: Callable[[Any], object]) -> Callable[[], None]:
    """A program that cancels a chain in a task or scope."""

    async def task() -> None:
        started = asyncio.Event()

        async def wait(_: object) -> None:
            started.set()
            await asyncio.sleep(600)

        running = asyncio.create_task(RunnableLambda(wait, name="chain").ainvoke(1))
        await started.wait()
        cancel(running)
        with ignoring(asyncio.CancelledError):
            await running

    return lambda: asyncio.run(task())


def in_scope() -> None:
    """A chain in a scope of anyio's that is over."""

    async def main() -> None:
        with anyio.CancelScope() as scope:

            async def wait(_: object) -> None:
                scope.deadline = anyio.current_time()
                await asyncio.sleep(600)

            await RunnableLambda(lambda x: x, afunc=wait, name="chain").ainvoke(1)

    asyncio.run(main())


def test_cancelled_chains(store: str) -> None:
    """A cancelled chain says what a person gave as the reason, and no repr of a task or scope."""
    traces = traced(
        store,
        cancelled_by(lambda task: task.cancel("user left")),
        cancelled_by(lambda task: task.cancel(f"{task!r}")),
        in_scope,
    )
    texts = [spans_named(trace, "chain")[0].status.description for trace in traces]
    assert texts[:2] == ["CancelledError: user left", "cancelled"]
    assert "scope" not in texts[2]
    assert "Task" not in texts[2]


def test_exception_group(store: str) -> None:
    """A chain that fails with a group of exceptions says which ones, those of groups within it too."""

    async def fail(error: BaseException) -> None:
        raise error

    async def gather(_: object) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fail(ValueError("a")))
            tasks.create_task(fail(ExceptionGroup("inner", [KeyError("b"), OSError("api_key=sk-proj-" + "Ab1" * 12)])))

    def run() -> None:
        with ignoring(ExceptionGroup):
            asyncio.run(RunnableLambda(gather, name="chain").ainvoke(1))

    (trace,) = traced(store, run)
    (span,) = trace.data.spans
    text = (
        "unhandled errors in a TaskGroup (2 sub-exceptions): ValueError: a; KeyError: 'b'; OSError: api_key=[REDACTED]"
    )
    assert span.status.description == f"ExceptionGroup: {text}"
    assert span.events[0].attributes["exception.message"] == text


class Answer(BaseModel):
    """An answer with its confidence."""

    text: str
    confidence: float


def test_response_format(store: str) -> None:
    """The class that a model's answer is to have is written as its JSON schema."""
    with chatting() as server:
        asking = ChatOpenAI(model="gpt-4o-mini", base_url=server.url, api_key=SecretStr("none")).with_structured_output(
            Answer, method="json_schema"
        )

        def run() -> None:
            with pytest.raises(ValidationError):  # the server repeats the question
                asking.invoke("Sure?")

        (trace,) = traced(store, run)
    params: Any = spans_named(trace, "ChatOpenAI")[0].get_attribute(Attr.INVOCATION_PARAMS)
    assert params["response_format"] == {
        "title": "Answer",
        "description": "An answer with its confidence.",
        "type": "object",
        "properties": {
            "text": {"title": "Text", "type": "string"},
            "confidence": {"title": "Confidence", "type": "number"},
        },
        "required": ["text", "confidence"],
    }
