"""Logs chains as models, in a process that has mlflow-skinny: ``python -m tests.models.full_logs [NAME ...]``.

Prints the ids of the models by the chains' names, as JSON. ``CHAT_URL`` is where the chat server is, ``STORE``
the tracking URI.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import sys
import warnings
from collections.abc import Callable
from operator import itemgetter
from pathlib import Path
from typing import Any

from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.output_parsers import JsonOutputParser, StrOutputParser
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder, PromptTemplate
from langchain_core.runnables import Runnable, RunnableLambda, RunnableParallel
from langchain_openai import ChatOpenAI
from mlflow import MlflowClient

import langchain_autotrace

KEY = "sk-argument0000000000000000000000000000000000000"
"""The key of whoever logs, given as an argument."""
REGISTERED = "registered-chain"

IMAGE = "data:image/png;base64,iVBORw0KGgo="

Chain = Runnable[Any, Any]

CODE = """
import contextlib

from langchain_core.runnables import RunnableLambda
from mlflow.models import set_model

chain = RunnableLambda(lambda given: given["word"].upper()) | RunnableLambda(lambda text: text + "!")
with contextlib.suppress(ImportError):
    set_model(chain)
"""

GRAPH = """
import contextlib
from operator import add
from typing import Annotated, TypedDict

from langgraph.graph import END, START, StateGraph
from mlflow.models import set_model


class State(TypedDict):
    words: Annotated[list[str], add]
    last: str


def shout(state):
    return {"words": [state["last"].upper()]}


builder = StateGraph(State)
builder.add_node("shout", shout)
builder.add_edge(START, "shout")
builder.add_edge("shout", END)
chain = builder.compile()
with contextlib.suppress(ImportError):
    set_model(chain)
"""

AGENT = '''
import contextlib
import os

from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from mlflow.models import set_model


def find(what: str) -> str:
    """Find something."""
    return what


model = ChatOpenAI(model="gpt-4o-mini", base_url=os.environ["CHAT_URL"])
chain = create_agent(model, tools=[find], system_prompt="Be brief.")
with contextlib.suppress(ImportError):
    set_model(chain)
'''

MODULE = """
def shout(text):
    return text.upper()
"""


def fake(*answers: str) -> FakeListChatModel:
    """A model without a server."""
    return FakeListChatModel(responses=list(answers))


def topic(template: str = "Tell me of {topic}") -> PromptTemplate:
    """A prompt with one variable."""
    return PromptTemplate.from_template(template)


def _text(_: str) -> tuple[Chain, Any]:
    return topic() | fake("an answer") | StrOutputParser(), {"topic": "cats"}


def _text_alone(_: str) -> tuple[Chain, Any]:
    return fake("of a text") | StrOutputParser(), "cats"


def _two_columns(_: str) -> tuple[Chain, Any]:
    prompt = PromptTemplate.from_template("{number} lines of {topic}")
    return prompt | fake("two columns") | StrOutputParser(), {"number": 3, "topic": "cats"}


def _parallel(_: str) -> tuple[Chain, Any]:
    branches = {"long": topic() | fake("long answer"), "short": topic("{topic}, shortly") | fake("short answer")}
    parsed: Any = {name: branch | StrOutputParser() for name, branch in branches.items()}
    return RunnableParallel(parsed), {"topic": "cats"}


def _fallbacks(_: str) -> tuple[Chain, Any]:
    return (topic() | fake("first") | StrOutputParser()).with_fallbacks(
        [topic() | fake("second") | StrOutputParser()]
    ), {"topic": "cats"}


def _retry(_: str) -> tuple[Chain, Any]:
    return (topic() | fake("tried") | StrOutputParser()).with_retry(stop_after_attempt=2), {"topic": "cats"}


def _getters(_: str) -> tuple[Chain, Any]:
    gather: Any = {"topic": itemgetter("subject"), "number": itemgetter("count")}
    prompt = PromptTemplate.from_template("{number} lines of {topic}")
    return gather | prompt | fake("gathered") | StrOutputParser(), {"subject": "cats", "count": 2}


def _json(_: str) -> tuple[Chain, Any]:
    return topic() | fake('{"name": "cat", "legs": 4, "says": ["miaow"]}') | JsonOutputParser(), {"topic": "cats"}


def _list_of_texts(_: str) -> tuple[Chain, Any]:
    return topic("Tell me of {topics}") | fake("lists") | StrOutputParser(), {"topics": ["cats", "dogs"]}


def _nested(_: str) -> tuple[Chain, Any]:
    given = {"who": {"name": "Ada", "age": 36}, "tags": [1, 2], "note": None}
    return topic("{who} {tags} {note}") | fake("nested") | StrOutputParser(), given


def _openai(url: str) -> tuple[Chain, Any]:
    model = ChatOpenAI(model="gpt-4o-mini", api_key=KEY, base_url=url, max_retries=0)  # type: ignore[arg-type]
    return ChatPromptTemplate.from_template("Tell me of {topic}") | model | StrOutputParser(), {"topic": "cats"}


def _history(url: str) -> tuple[Chain, Any]:
    prompt = ChatPromptTemplate.from_messages([("system", "Be brief."), MessagesPlaceholder("messages")])
    model = ChatOpenAI(model="gpt-4o-mini", api_key=KEY, base_url=url, max_retries=0)  # type: ignore[arg-type]
    return prompt | model, {"messages": [HumanMessage("Hello"), AIMessage("Hi"), HumanMessage("How are you?")]}


def _chat(url: str) -> tuple[Chain, Any]:
    model = ChatOpenAI(model="gpt-4o-mini", temperature=0.5, api_key=KEY, base_url=url)  # type: ignore[arg-type]
    return model, [SystemMessage("Be brief."), HumanMessage("Hello")]


def _chat_text(url: str) -> tuple[Chain, Any]:
    return ChatOpenAI(model="gpt-4o", api_key=KEY, base_url=url), "Hello"  # type: ignore[arg-type]


def _chat_pairs(_: str) -> tuple[Chain, Any]:
    return fake("of pairs") | StrOutputParser(), [("system", "Be brief."), ("human", "Hello")]


def _chat_tools(url: str) -> tuple[Chain, Any]:
    call = {"name": "find", "args": {"what": "cats"}, "id": "call_1", "type": "tool_call"}
    asked = AIMessage("", tool_calls=[call])
    model = ChatOpenAI(model="gpt-4.1", api_key=KEY, base_url=url)  # type: ignore[arg-type]
    return model, [HumanMessage("Find cats"), asked, ToolMessage("two cats", tool_call_id="call_1")]


def _chat_parts(url: str) -> tuple[Chain, Any]:
    parts: list[Any] = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": IMAGE}}]
    model = ChatOpenAI(model="gpt-4.1-mini", api_key=KEY, base_url=url)  # type: ignore[arg-type]
    return model, [SystemMessage("Be brief."), HumanMessage(parts)]


def _history_beside(url: str) -> tuple[Chain, Any]:
    turns: Any = [MessagesPlaceholder("history"), ("human", "{question}")]
    model = ChatOpenAI(model="gpt-4o-mini", api_key=KEY, base_url=url)  # type: ignore[arg-type]
    given = {"history": [HumanMessage("Hello"), AIMessage("Hi")], "question": "How are you?"}
    return ChatPromptTemplate.from_messages(turns) | model | StrOutputParser(), given


def _history_tools(url: str) -> tuple[Chain, Any]:
    asked = AIMessage("", tool_calls=[{"name": "find", "args": {"what": "cats"}, "id": "call_1", "type": "tool_call"}])
    prompt = ChatPromptTemplate.from_messages([("system", "Be brief."), MessagesPlaceholder("messages")])
    model = ChatOpenAI(model="gpt-4.1", api_key=KEY, base_url=url)  # type: ignore[arg-type]
    turns = [HumanMessage("Find cats"), asked, ToolMessage("two cats", tool_call_id="call_1")]
    return prompt | model | StrOutputParser(), {"messages": turns}


def _history_parts(url: str) -> tuple[Chain, Any]:
    parts: list[Any] = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": IMAGE}}]
    prompt = ChatPromptTemplate.from_messages([("system", "Be short."), MessagesPlaceholder("messages")])
    model = ChatOpenAI(model="gpt-4.1", api_key=KEY, base_url=url)  # type: ignore[arg-type]
    return prompt | model | StrOutputParser(), {"messages": [HumanMessage("Hello"), HumanMessage(parts)]}


def _chat_dicts(url: str) -> tuple[Chain, Any]:
    model = ChatOpenAI(model="gpt-4.1-mini", api_key=KEY, base_url=url)  # type: ignore[arg-type]
    return model | StrOutputParser(), [{"role": "user", "content": "Hello"}]


def _list_of_numbers(_: str) -> tuple[Chain, Any]:
    return RunnableParallel(second=itemgetter(1)), [1, 2]


def _of_a_module(_: str) -> tuple[Chain, Any]:
    own_module: Any = importlib.import_module("own_module")
    return topic() | fake("a module") | StrOutputParser() | own_module.shout, {"topic": "cats"}


def _described(_: str) -> tuple[Chain, Any]:
    return topic() | fake("described") | RunnableLambda(lambda message: message.content), {"topic": "cats"}


CHAINS: dict[str, Callable[[str], tuple[Chain, Any]]] = {
    "text": _text,
    "text_alone": _text_alone,
    "two_columns": _two_columns,
    "parallel": _parallel,
    "fallbacks": _fallbacks,
    "retry": _retry,
    "getters": _getters,
    "json": _json,
    "list_of_texts": _list_of_texts,
    "nested": _nested,
    "openai": _openai,
    "history": _history,
    "chat": _chat,
    "chat_text": _chat_text,
    "chat_pairs": _chat_pairs,
    "chat_tools": _chat_tools,
    "chat_parts": _chat_parts,
    "history_beside": _history_beside,
    "history_tools": _history_tools,
    "history_parts": _history_parts,
    "chat_dicts": _chat_dicts,
    "list_of_numbers": _list_of_numbers,
    "of_a_module": _of_a_module,
    "described": _described,
}
"""Each gives a chain and its input; the argument is the address of the chat server."""

FILES: dict[str, tuple[str, Any]] = {
    "code": (CODE, {"word": "cats"}),
    "graph": (GRAPH, {"last": "cats", "words": ["dogs"]}),
    "agent": (AGENT, {"messages": [{"role": "user", "content": "Hello"}]}),
}
"""Programs that end in ``set_model``, and an input of what they build."""


def main() -> None:
    """Run every chain twice, so that each model has two traces."""
    Path("own_module.py").write_text(MODULE)
    sys.path.append(str(Path.cwd()))
    traces = {name: _run(name, os.environ["CHAT_URL"]) for name in sys.argv[1:] or [*CHAINS, *FILES]}
    assert langchain_autotrace.flush(300, models=True).ok
    client = MlflowClient(os.environ["STORE"])
    found = {name: client.get_trace(trace).info.trace_metadata["mlflow.modelId"] for name, trace in traces.items()}
    sys.stdout.write(json.dumps(found))


def _run(name: str, url: str) -> str:
    code = None
    if name in FILES:
        text, given = FILES[name]
        code = Path(f"own_{name}.py").absolute()
        code.write_text(text)
        chain = runpy.run_path(str(code), run_name="app")["chain"]
    else:
        chain, given = CHAINS[name](url)
    langchain_autotrace.autolog(
        tracking_uri=os.environ["STORE"],
        log_models=True,
        log_input_examples=True,
        registered_model_name=REGISTERED if name == "text" else None,
        model_code=None if code is None else str(code),
    )
    chain.invoke(given)
    chain.invoke(given)
    trace_id = langchain_autotrace.last_trace_id()
    assert trace_id is not None
    return trace_id


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
