"""Whose a trace is, in programs that say it in the ways of LangChain and LangGraph."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypedDict

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import CallbackManager
from langchain_core.chat_history import InMemoryChatMessageHistory
from langchain_core.documents import Document
from langchain_core.language_models.fake import FakeListLLM
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableGenerator, RunnablePassthrough
from langchain_core.runnables import RunnableLambda as TypedLambda
from langchain_core.runnables.history import RunnableWithMessageHistory as TypedHistory
from langchain_core.runnables.utils import ConfigurableFieldSpec
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import BaseModel

import langchain_autotrace
from tests.support import deliver, stored

# Their generic types say nothing of these programs.
RunnableLambda: Any = TypedLambda
RunnableWithMessageHistory: Any = TypedHistory
Owner = tuple[str | None, str | None]
SECRET: Final = "a-key-of-no-known-form"


def owners(uri: str, program: Callable[[], Any], **settings: Any) -> dict[str, Owner]:
    """Session and user of each trace of a program, by the trace's name."""
    langchain_autotrace.autolog(tracking_uri=uri, shipper="external", **settings)
    program()
    deliver()
    traces = stored(uri)
    assert SECRET not in str([span.to_dict() for trace in traces for span in trace.data.spans])
    metadata = {trace.info.tags["mlflow.traceName"]: trace.info.trace_metadata for trace in traces}
    return {
        name: (one.get("mlflow.trace.session"), one.get("mlflow.trace.user")) for name, one in sorted(metadata.items())
    }


def named(name: str, session: str = "s", **more: Any) -> dict[str, Any]:
    """A config with session, user, and what is no business of ours."""
    return {"run_name": name, "configurable": {"session_id": session, "user_id": "ada", "api_key": SECRET, **more}}


class Facts(BaseRetriever):
    """Knows nothing."""

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return []


@tool
def add(x: int) -> int:
    """Add one."""
    return x + 1


def _each(items: Iterator[Any]) -> Iterator[Any]:
    yield from items


async def _aeach(items: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for item in items:
        yield item


STEP: Final = RunnableLambda(lambda x: x)
RUNNABLES: Final[dict[str, tuple[Any, Any]]] = {
    "lambda": (STEP, 1),
    "sequence": (STEP | RunnablePassthrough() | STEP, 1),
    "parallel": (RunnablePassthrough.assign(a=STEP), {"b": 1}),
    "prompt": (ChatPromptTemplate.from_template("{x}"), {"x": 1}),
    "chat model": (FakeListChatModel(responses=["hi"]), "x"),
    "text model": (FakeListLLM(responses=["hi"]), "x"),
    "tool": (add, {"x": 1}),
    "retriever": (Facts(), "q"),
    "generator": (RunnableGenerator(_each, _aeach), 1),
    "retry": (STEP.with_retry(), 1),
    "fallbacks": (STEP.with_fallbacks([STEP]), 1),
    "map": (STEP.map(), [1]),
}


async def _all_async(kind: str, runnable: Any, given: Any) -> None:
    await runnable.ainvoke(given, named(f"{kind} ainvoke"))
    await runnable.abatch([given] * 2, [named(f"{kind} abatch {n}", f"s{n}") for n in range(2)])
    async for _ in runnable.astream(given, named(f"{kind} astream")):
        pass


def test_every_kind_of_runnable_in_every_way(store: str) -> None:
    """Session and user of a run's own ``configurable`` are those of its trace, of each run of a batch its own."""

    def program() -> None:
        for kind, (runnable, given) in RUNNABLES.items():
            runnable.invoke(given, named(f"{kind} invoke"))
            runnable.batch([given] * 2, [named(f"{kind} batch {n}", f"s{n}") for n in range(2)])
            for _ in runnable.stream(given, named(f"{kind} stream")):
                pass
            asyncio.run(_all_async(kind, runnable, given))

    ways = {"invoke": "s", "ainvoke": "s", "stream": "s", "astream": "s"}
    ways |= {f"{way} {n}": f"s{n}" for way in ("batch", "abatch") for n in range(2)}
    expected = {f"{kind} {way}": (session, "ada") for kind in RUNNABLES for way, session in ways.items()}
    assert owners(store, program) == dict(sorted(expected.items()))


def test_what_a_runnable_is_bound_to(store: str) -> None:
    """What ``with_config`` has bound counts as what the call gives."""
    assert owners(store, lambda: STEP.with_config(named("bound")).invoke(1)) == {"bound": ("s", "ada")}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # LangChain's of histories
def test_chains_with_a_history(store: str) -> None:
    """A chain with a history has the session that its history has, by whatever names that is found."""
    known: dict[tuple[str, ...], InMemoryChatMessageHistory] = {}

    def history(*key: str, **keys: str) -> InMemoryChatMessageHistory:
        return known.setdefault((*key, *keys.values()), InMemoryChatMessageHistory())

    def of_session(session_id: str) -> InMemoryChatMessageHistory:
        return history(session_id)

    def of_two(user_id: str, conversation_id: str) -> InMemoryChatMessageHistory:
        return history(user_id, conversation_id)

    prompt = ChatPromptTemplate.from_messages([("placeholder", "{before}"), ("human", "{q}")])
    places = {"input_messages_key": "q", "history_messages_key": "before"}
    chain = prompt | FakeListChatModel(responses=["hi"])
    specs = [ConfigurableFieldSpec(id=name, annotation=str) for name in ("user_id", "conversation_id")]
    simple = RunnableWithMessageHistory(chain, of_session, **places)
    double = RunnableWithMessageHistory(chain, of_two, history_factory_config=specs, **places)

    def program() -> None:
        simple.invoke({"q": "x"}, named("simple"))
        asyncio.run(simple.ainvoke({"q": "x"}, named("simple async")))
        double.invoke({"q": "x"}, {"run_name": "double", "configurable": {"user_id": "u", "conversation_id": "c"}})

    assert owners(store, program) == {"double": ("c", "u"), "simple": ("s", "ada"), "simple async": ("s", "ada")}


@dataclass
class Context:
    user_id: str
    session_id: str = "of the context"
    password: str = SECRET

    @property
    def conversation_id(self) -> str:
        """Fail: it is asked for, and the program is to go on."""
        raise ValueError(self.user_id)


class Model(BaseModel):
    user_id: uuid.UUID


class Dict(TypedDict):
    user_id: str
    session_id: str


MAIL: Final[Any] = {"messages": [("user", "Hi.")]}


def agent(schema: type, *, has_threads: bool = True) -> Any:
    """An agent whose context has that form."""
    saver = InMemorySaver() if has_threads else None
    return create_agent(FakeListChatModel(responses=["ok"]), context_schema=schema, checkpointer=saver)


def thread(name: str, **more: Any) -> dict[str, Any]:
    """A config with a thread."""
    return {"run_name": name, "configurable": {"thread_id": "t", **more}}


def test_the_context_of_agents(store: str) -> None:
    """An agent's context names session and user where its metadata and ``configurable`` do not."""
    both: Dict = {"user_id": "du", "session_id": "ds"}

    def program() -> None:
        agent(Model).invoke(MAIL, thread("model"), context=Model(user_id=uuid.UUID(int=5)))
        agent(Dict).invoke(MAIL, thread("dict"), context=both)
        agent(Dict, has_threads=False).invoke(MAIL, {"run_name": "dict alone"}, context=both)
        asyncio.run(agent(Dict).ainvoke(MAIL, thread("all", session_id="s", user_id="ada"), context=both))
        [*agent(Dict).stream(MAIL, thread("stream") | {"metadata": {"session_id": "m"}}, context=both)]
        agent(Dict).with_config(thread("bound")).invoke(MAIL, context=both)
        asyncio.run(agent(Dict).abatch([MAIL], [thread("batch")], context=both))
        agent(Dict).invoke(MAIL, thread("server", langgraph_auth_user_id="su", langgraph_auth_user={"key": SECRET}))

    assert owners(store, program) == {
        "all": ("s", "ada"),
        "batch": ("t", "du"),
        "bound": ("t", "du"),
        "dict": ("t", "du"),
        "dict alone": ("ds", "du"),
        "model": ("t", "00000000-0000-0000-0000-000000000005"),
        "server": ("t", "su"),
        "stream": ("m", "du"),
    }


def test_a_context_that_cannot_be_read(store: str) -> None:
    """A context that fails when it is read names nobody of what it has not said, and the program goes on."""

    def program() -> None:
        agent(Context).invoke(MAIL, thread("fails"), context=Context("du"))

    assert owners(store, program) == {"fails": ("t", "du")}


def test_context_blocks(store: str) -> None:
    """What a run itself says goes before the ``context()`` around it."""

    def program() -> None:
        with langchain_autotrace.context(session_id="block", user_id="blocked"):
            STEP.invoke(1, {"run_name": "nothing"})
            STEP.invoke(1, named("own"))
            agent(Dict, has_threads=False).invoke(
                MAIL, {"run_name": "agent"}, context={"user_id": "du", "session_id": "ds"}
            )

    assert owners(store, program) == {"agent": ("ds", "du"), "nothing": ("block", "blocked"), "own": ("s", "ada")}


def test_without_content(store: str) -> None:
    """Session and user are kept where content is not."""
    run = lambda: STEP.invoke(1, named("own"))  # noqa: E731 - a program
    assert owners(store, run, capture_content=False) == {"own": ("s", "ada")}


def test_variables_of_the_program(store: str) -> None:
    """A variable of the program that is called ``config`` is no config of a run."""

    def program() -> None:
        config = named("not this")
        STEP.invoke(1, {"run_name": "a call"})
        CallbackManager.configure().on_chain_start(None, 1, name="by hand").on_chain_end(config["run_name"])

    assert owners(store, program) == {"a call": (None, None), "by hand": (None, None)}
