"""Graphs, agents and functions have no form in JSON: a fingerprint tells them apart, and the same ones together."""

from __future__ import annotations

import datetime as dt
import functools
import re
import subprocess
import sys
import textwrap
import types
from collections.abc import Callable
from operator import itemgetter
from pathlib import Path
from typing import Any, TypedDict, cast

import pytest
from langchain.agents import create_agent
from langchain_core.language_models import FakeListChatModel
from langchain_core.prompts import PromptTemplate
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from pydantic import BaseModel, Field

from langchain_autotrace.models.encode import content_of
from langchain_autotrace.models.fingerprint import fingerprint
from tests.models.trees import KEY
from tests.patience import PATIENCE
from tests.uncovered import unmeasured

Build = Callable[[], Any]


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key in the environment: models of OpenAI are built, and not called."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


class State(TypedDict):
    topic: str


@tool
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


@tool
def subtract(a: int, b: int) -> int:
    """Subtract."""
    return a - b


def graph(function: Callable[[State], dict[str, str]], names: str = "n", loop: str | None = None, **how: Any) -> Any:
    """A graph of the function as nodes in a row, with an edge from the first that depends."""
    builder: Any = StateGraph(State)
    for name in names:
        builder.add_node(name, function)
    for source, end in zip([START, *names], [*names, END], strict=True):
        builder.add_edge(source, end)
    if loop:
        builder.add_conditional_edges(names[0], lambda state: loop, {loop: loop})
    return builder.compile(**how)


def model(name: str = "a", **kwargs: Any) -> ChatOpenAI:
    """A model that is never called."""
    return ChatOpenAI(model=name, **kwargs)


def asks(prompt: str) -> Callable[[State], dict[str, str]]:
    """A node that has a chain in its closure."""
    chain = PromptTemplate.from_template(prompt) | FakeListChatModel(responses=["x"])
    return lambda state: {"topic": str(chain.invoke({"topic": state["topic"]}).content)}


AGENTS: dict[str, Build] = {
    "agent": lambda: create_agent(model(), tools=[add]),
    "other model": lambda: create_agent(model("b"), tools=[add]),
    "other parameter": lambda: create_agent(model(temperature=1), tools=[add]),
    "other tool": lambda: create_agent(model(), tools=[subtract]),
    "more tools": lambda: create_agent(model(), tools=[add, subtract]),
    "prompt": lambda: create_agent(model(), tools=[add], system_prompt="Be nice"),
    "other prompt": lambda: create_agent(model(), tools=[add], system_prompt="Be rude"),
    "no tools": lambda: create_agent(model(), tools=[]),
    "graph": lambda: graph(lambda state: {"topic": "a"}),
    "other constant": lambda: graph(lambda state: {"topic": "b"}),
    "other key": lambda: graph(lambda state: {"tropic": "a"}),
    "other node": lambda: graph(lambda state: {"topic": "a"}, "m"),
    "more nodes": lambda: graph(lambda state: {"topic": "a"}, "nm"),
    "other order": lambda: graph(lambda state: {"topic": "a"}, "mn"),
    "edge": lambda: graph(lambda state: {"topic": "a"}, "nmo", "m"),
    "other edge": lambda: graph(lambda state: {"topic": "a"}, "nmo", "o"),
    "interrupt": lambda: graph(lambda state: {"topic": "a"}, interrupt_before=["n"]),
    "chain within": lambda: graph(asks("Say {topic}")),
    "other chain within": lambda: graph(asks("Cry {topic}")),
}


def test_agents_and_graphs() -> None:
    """Agents and graphs that differ in one thing have different hashes; built again they have the same ones."""
    hashes = {name: content_of(build()).hash for name, build in AGENTS.items()}
    assert {name: content_of(build()).hash for name, build in AGENTS.items()} == hashes
    assert len(set(hashes.values())) == len(hashes)


@pytest.mark.parametrize("name", ["agent", "graph"])
def test_memory_is_no_part(name: str) -> None:
    """A checkpointer is where a graph remembers, and no part of what it is."""
    with_memory: dict[str, Build] = {
        "agent": lambda: create_agent(model(), tools=[add], checkpointer=InMemorySaver()),
        "graph": lambda: graph(lambda state: {"topic": "a"}, checkpointer=InMemorySaver()),
    }
    assert fingerprint(with_memory[name]()) == fingerprint(AGENTS[name]())


def test_calls_leave_no_trace() -> None:
    """A graph, an agent and a function have the same hash after they have run as before."""
    agent = create_agent(FakeListChatModel(responses=["x"]), tools=[])
    chains: list[tuple[Runnable[Any, Any], Any]] = [
        (agent, {"messages": [("human", "x")]}),
        (graph(lambda state: {"topic": "a"}), {"topic": "z"}),
        (graph(asks("Say {topic}"), "nm"), {"topic": "z"}),
        (RunnableLambda(lambda value: value), 1),
        (RunnableLambda(Asker("a").ask), 1),
    ]
    for chain, given in chains:
        before = content_of(chain)
        chain.invoke(given)
        list(chain.stream(given))
        assert content_of(chain) == before


def test_what_is_said_of_a_graph() -> None:
    """A graph is a problem that says what to do, and is written as its nodes and edges."""
    found = content_of(graph(lambda state: {"topic": "a"}, "nmo", "o"))
    [problem] = found.problems
    assert problem.name == "langgraph.graph.state.CompiledStateGraph"
    fix = "pass the file that builds the chain with autolog(model_code=...)"
    assert problem.reason == f"a graph cannot be written as JSON; {fix}"
    drawing = found.tree["graph"].pop("mermaid")
    assert ["n --> m;" in drawing, "m --> o;" in drawing] == [True, True]
    assert found.tree["graph"] == {
        "nodes": ["n", "m", "o"],
        "edges": [["__start__", "n"], ["m", "o"], ["n", "m"], ["o", "__end__"], ["n", "o"]],
    }


def made(value: object) -> Callable[[], object]:
    """A function with a value in its closure."""
    return lambda: value


def from_source(text: str) -> Any:
    """The ``it`` of a program, as if it were a user's module."""
    space: dict[str, Any] = {"__name__": "theirs"}
    exec(compile(textwrap.dedent(text), "theirs.py", "exec"), space)
    return space["it"]


class Asker:
    """A user's class whose objects hold prompts."""

    def __init__(self, prompt: str) -> None:
        self.prompt = prompt
        self.asked = 0

    def ask(self, _: object) -> str:
        self.asked += 1
        return self.prompt


def klass(body: str) -> Build:
    """A class with that body."""
    return lambda: from_source("class it:\n" + textwrap.indent(body, "    "))


APART: dict[str, list[Build]] = {
    "body": [lambda: lambda x: x + 1, lambda: lambda x: x - 1, lambda: lambda x: x + 2, lambda: lambda x: x],
    "names": [lambda: lambda x: x.a, lambda: lambda x: x.b, lambda: lambda x: x["a"]],
    "defaults": [lambda: lambda x=1: x, lambda: lambda x=2: x, lambda: lambda x: x],
    "keyword defaults": [lambda: lambda *, x=1: x, lambda: lambda *, x=2: x],
    "inner functions": [lambda: lambda x: [i + 1 for i in x], lambda: lambda x: [i + 2 for i in x]],
    "constants": [
        lambda: lambda x: x in {"a", "b"},
        lambda: lambda x: x in {"a", "c"},
        lambda: lambda x: x in ("a", "b"),
    ],
    "closures": [lambda: made(1), lambda: made(2), lambda: made(1.0), lambda: made("1"), lambda: made([1])],
    "texts": [lambda: made("a"), lambda: made(b"a"), lambda: made(bytearray(b"a")), lambda: made("a ")],
    "sets": [lambda: made({"a", "b"}), lambda: made({"a", "c"}), lambda: made({"a": "b"})],
    "dates": [lambda: made(dt.date(2026, 1, 1)), lambda: made(dt.date(2026, 1, 2)), lambda: made(dt.timedelta(1))],
    "paths": [lambda: made(Path("a")), lambda: made(Path("b"))],
    "patterns": [
        lambda: made(re.compile("a")),
        lambda: made(re.compile("b")),
        lambda: made(re.compile("a", re.IGNORECASE)),
    ],
    "getters": [lambda: made(itemgetter("a")), lambda: made(itemgetter("b")), lambda: made(itemgetter("a", "b"))],
    "built in": [lambda: made(len), lambda: made(max), lambda: made("a".join), lambda: made("b".join)],
    "partials": [
        lambda: functools.partial(max, 1),
        lambda: functools.partial(max, 2),
        lambda: functools.partial(min, 1),
    ],
    "cached": [lambda: functools.cache(made(1)), lambda: functools.cache(made(2))],
    "methods": [lambda: Asker("a").ask, lambda: Asker("b").ask],
    "objects": [lambda: made(Asker("a")), lambda: made(Asker("b"))],
    "chains": [
        lambda: made(FakeListChatModel(responses=["a"])),
        lambda: made(FakeListChatModel(responses=["b"])),
        lambda: made(model("a")),
        lambda: made(model("b")),
    ],
    "global constants": [
        lambda: from_source("PROMPT = 'a'\ndef it(x): return PROMPT + x"),
        lambda: from_source("PROMPT = 'b'\ndef it(x): return PROMPT + x"),
        lambda: from_source("PROMPT = ['a', {'b': 1}]\ndef it(x): return PROMPT + x"),
        lambda: from_source("PROMPT = ['a', {'b': 2}]\ndef it(x): return PROMPT + x"),
    ],
    "global functions": [
        lambda: from_source("def f(x): return x\ndef it(x): return f(x)"),
        lambda: from_source("def f(x): return -x\ndef it(x): return f(x)"),
        lambda: from_source("P = 1\ndef f(x): return P\ndef it(x): return [f(y) for y in x]"),
        lambda: from_source("P = 2\ndef f(x): return P\ndef it(x): return [f(y) for y in x]"),
    ],
    "classes": [
        klass("x = 'a'"),
        klass("x = 'b'"),
        klass("def f(self): return 1"),
        klass("def f(self): return 2"),
        klass("@property\ndef f(self): return 1"),
        klass("@property\ndef f(self): return 2"),
        klass("@staticmethod\ndef f(): return 1"),
        klass("@staticmethod\ndef f(): return 2"),
        klass("x: int"),
        klass("x: str"),
    ],
    "bases": [
        lambda: from_source("class B:\n    x = 1\nclass it(B): pass"),
        lambda: from_source("class B:\n    x = 2\nclass it(B): pass"),
    ],
}


@pytest.mark.parametrize("name", APART)
def test_told_apart(name: str) -> None:
    """Functions, objects and classes that differ in one thing differ; made again they have the same fingerprint."""
    found = [fingerprint(build()) for build in APART[name]]
    assert [fingerprint(build()) for build in APART[name]] == found
    assert len(set(found)) == len(found)
    chains = [content_of(RunnableLambda(cast("Any", made(build())))).hash for build in APART[name]]
    assert len(set(chains)) == len(chains)


def test_fields_for_a_model() -> None:
    """A schema's descriptions and defaults are what a model is told, and so are parts of what it is."""

    def schema(description: str, default: str = "x") -> type[BaseModel]:
        class Answer(BaseModel):
            text: str = Field(default, description=description)

        return Answer

    found = {fingerprint(schema(*how)) for how in (["a"], ["b"], ["a", "y"])}
    assert len(found) == 3
    assert fingerprint(schema("a")) in found


@pytest.mark.parametrize("name", ["__main__", "theirs", "pages.theirs"])
def test_module_names_do_not_count(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program is the same one whether it is run or imported, and wherever its lines are."""
    text = "class S:\n    x: 'int'\n    def f(self): return 1\ndef g(x): return S, x\ndef it(x): return g(x)"
    monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    space: dict[str, Any] = {"__name__": name}
    exec(compile("\n" * 7 + text, f"{name}.py", "exec"), space)
    assert fingerprint(space["it"]) == fingerprint(from_source(text))


def test_notebooks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A class of a notebook, whose main module has no file, is the user's."""
    monkeypatch.setitem(sys.modules, "__main__", types.ModuleType("__main__"))
    found = []
    for prompt in ("a", "b"):
        space: dict[str, Any] = {"__name__": "__main__"}
        exec(f"class it:\n    prompt = {prompt!r}", space)
        found.append(fingerprint(space["it"]()))
    assert len(set(found)) == 2


def test_ends() -> None:
    """An object that holds itself, and one that is too deep or too large, have fingerprints of their own."""
    items: list[Any] = [1]
    items.append(items)
    deep: Any = "end"
    for _ in range(5_000):
        deep = [deep]
    large = [[number] for number in range(20_000)]
    found = [fingerprint(value) for value in (items, deep, large, made(made(items)))]
    assert len(set(found)) == 4
    assert all(re.fullmatch("[0-9a-f]{16}", digits) for digits in found)


MADE_TWICE = """
from typing import TypedDict

class State(TypedDict):
    topic: {annotation}

class Step:
    number: {annotation}
    size: int = 1

def step(state: State) -> Step:
    return Step()
"""


@pytest.mark.parametrize(
    "annotation",
    [
        "str",
        pytest.param(
            "OnlyForTypeCheckers", marks=pytest.mark.skipif(sys.version_info < (3, 14), reason="evaluated at once")
        ),
    ],
)
def test_code_that_runs_twice(annotation: str) -> None:
    """Code that is run twice gives the same hash, whatever Python makes of its annotations; other ones another."""

    def made(code: str, name: str) -> str:
        module: dict[str, Any] = {"__name__": name}
        exec(compile(code, f"{name}.py", "exec", dont_inherit=True), module)
        return fingerprint(module["step"])

    code = MADE_TWICE.format(annotation=annotation)
    assert made(code, "chain") == made(code, "__main__")
    assert made(code, "chain") != made(code.replace(f"number: {annotation}", "number: bytes"), "chain")


PROGRAM = """
import os
os.environ["OPENAI_API_KEY"] = "none"
from tests.models.test_fingerprint import AGENTS, APART
from langchain_autotrace.models.encode import content_of
from langchain_autotrace.models.fingerprint import fingerprint
for name, build in AGENTS.items():
    print(name, content_of(build()).hash)
for name, builds in APART.items():
    print(name, *[fingerprint(build()) for build in builds])
"""


def test_another_process() -> None:
    """Another process, which orders sets in another way, finds the same hashes."""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM],
        env={**unmeasured(), "PYTHONHASHSEED": "4711", "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    here = [f"{name} {content_of(build()).hash}" for name, build in AGENTS.items()]
    here += [" ".join([name, *(fingerprint(build()) for build in builds)]) for name, builds in APART.items()]
    assert done.stdout.splitlines() == here
