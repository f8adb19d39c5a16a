"""``langchain-autotrace models``."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelCallLimitMiddleware
from langchain_core.language_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import PromptTemplate
from langchain_core.runnables import Runnable, RunnableBranch, RunnableLambda, RunnableSequence
from langchain_core.tools import tool
from langgraph.graph import END, START, StateGraph
from langgraph.graph import MessagesState as State
from langgraph.prebuilt import ToolNode

import langchain_autotrace
from tests.models.chains import CHAIN, chain
from tests.models.support import models
from tests.view.conftest import calm
from tests.view.support import cli, cli_json

__all__ = ["calm"]  # a fixture


def test_nothing_logged(store: str) -> None:
    """Without models, what to call is said; a model that is not there is an error."""
    listed, shown = cli("models", "list"), cli("models", "show", "m-1")
    assert (listed.exit_code, listed.stdout.startswith("no models logged yet in sqlite:///")) == (0, True)
    assert (shown.exit_code, shown.stderr.startswith("Error: no model 'm-1' in")) == (1, True)


def test_models(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits in the journal is logged first; a model is shown with all that is known of it."""
    langchain_autotrace.autolog(
        tracking_uri=store, shipper="external", log_models=True, log_input_examples=True, extra_tags={"team": "north"}
    )
    chain("Tell of {topic}").invoke({"topic": "cats"})
    described: Runnable[Any, Any] = RunnableLambda(lambda topic: {"topic": topic}) | chain()
    described.invoke("dogs")
    rows = cli_json("models", "list")
    loadable = next(row for row in rows if row["loadable"])
    assert [row["name"] for row in rows] == [f"RunnableLambda-{CHAIN}", CHAIN]
    steps = CHAIN.replace("-", " | ")
    assert [(row["experiment"], row["steps"], row["runs"]) for row in rows] == [
        ("Default", f"RunnableLambda | {steps}", 1),
        ("Default", steps, 1),
    ]
    monkeypatch.setenv("COLUMNS", "250")
    [_, second, first] = cli("models", "list").stdout.splitlines()
    for line, found in ((first, loadable), (second, rows[0])):
        parts = (
            "Default",
            found["name"],
            found["steps"],
            "1",
            "yes" if found["loadable"] else "no",
            found["model_id"],
        )
        assert [part in line for part in parts] == [True] * 6

    page = cli_json("models", "show", loadable["model_id"])
    assert page["row"] == loadable
    assert (page["example"], page["row"]["tags"], len(page["traces"])) == ({"topic": "cats"}, {"team": "north"}, 1)
    assert [(step["depth"], step["name"]) for step in page["steps"]] == [
        (0, "RunnableSequence"),
        (1, "PromptTemplate"),
        (1, "FakeListChatModel"),
        (1, "StrOutputParser"),
    ]
    text = cli("models", "show", loadable["model_id"][:12]).stdout
    for expected in (
        f'yes: langchain_autotrace.load_model("models:/{loadable["model_id"]}")',
        "team=north",
        'example     {"topic": "cats"}',
        "inputs      topic: string",
        "outputs     string",
        page["traces"][0],
        'PromptTemplate  template="Tell of {topic}"',
    ):
        assert expected in text


def test_a_description(store: str) -> None:
    """Why a chain cannot be loaded is shown for each of its parts; the beginning of an id must be of one model."""
    langchain_autotrace.autolog(tracking_uri=store, shipper="external", log_models=True)
    (RunnableLambda(lambda x: x) | RunnableLambda(lambda x: [x])).invoke(1)
    problems = cli_json("models", "show", "last")["problems"]
    assert [(path, reason.partition(",")[0]) for path, _, reason in problems] == [
        (".first.func", "it is a lambda"),
        (".last.func", "it is a lambda"),
    ]
    assert "first.func (" in cli("models", "show", "last").stdout.partition("Parts that cannot be rebuilt")[2]

    chain().invoke({"topic": "x"})
    many = cli("models", "show", "m-")
    assert (many.exit_code, "2 models start with 'm-'" in many.stderr) == (1, True)
    assert len(models(store)) == 2


def test_what_an_agent_is_made_of(store: str) -> None:
    """An agent is shown with its model, tools and their arguments, system prompt, middleware, nodes and a drawing."""

    @tool
    def weather(city: str, days: int = 1) -> str:
        """Tell the weather."""
        return city

    langchain_autotrace.autolog(tracking_uri=store, shipper="external", log_models=True)
    agent = create_agent(
        FakeListChatModel(responses=["Sunny."]),
        system_prompt="Be brief. The key is sk-proj-abcdefghijklmnopqrstuvwx0123456789",
        middleware=[ModelCallLimitMiddleware(run_limit=3)],
        name="forecaster",
    )
    builder = StateGraph(State)
    builder.add_node("agent", agent)
    builder.add_node("tools", ToolNode([weather]))
    builder.add_edge(START, "agent")
    builder.add_edge("agent", END)
    builder.add_edge("tools", "agent")
    desk: Any = builder.compile(name="desk")
    desk.invoke({"messages": [("user", "hi")]})
    page = cli_json("models", "show", "last")

    assert (page["row"]["name"], page["row"]["steps"]) == ("desk", "agent | tools")
    assert [(step["depth"], step["name"], step["detail"]) for step in page["steps"]] == [
        (0, "CompiledStateGraph", ""),
        (1, "nodes", "agent, tools"),
        (1, "edges", "__start__ -> agent, agent -> __end__, tools -> agent"),
        (1, "tool: weather(city: string, days: integer)", '"Tell the weather."'),
        (1, "graph: agent", ""),
        (2, "nodes", "model, ModelCallLimitMiddleware.before_model, ModelCallLimitMiddleware.after_model"),
        page_edges(page),
        (2, "model: FakeListChatModel", ""),
        (2, "system prompt", '"Be brief. The key is [REDACTED]"'),
        (2, "middleware: ModelCallLimitMiddleware", 'run_limit=3, exit_behavior="end"'),
    ]
    assert "__start__ --> agent;" in page["drawing"]
    text = cli("models", "show", "last").stdout
    assert "__start__ --> agent;" in text.partition("Mermaid")[2]


def page_edges(page: dict[str, Any]) -> tuple[int, str, str]:
    """The edges of the agent, which are LangChain's own."""
    [found] = [step for step in page["steps"] if (step["depth"], step["name"]) == (2, "edges")]
    assert "ModelCallLimitMiddleware.before_model -> model" in found["detail"]
    return 2, "edges", found["detail"]


def test_names(store: str) -> None:
    """A model is named by what the program called the run, chain, prompt, agent or graph, or else by its steps."""
    langchain_autotrace.autolog(tracking_uri=store, shipper="external", log_models=True)
    model = FakeListChatModel(responses=["x"])
    prompt = PromptTemplate.from_template("{topic}")
    named = PromptTemplate.from_template("Name {topic}", name="joke")
    hub = PromptTemplate.from_template("Hub {topic}", metadata={"lc_hub_repo": "rag"})
    (prompt | model).invoke({"topic": "x"}, {"run_name": "run"})
    (prompt | model).with_config(run_name="config").invoke({"topic": "x"})
    own: Any = RunnableSequence(prompt, model, name="own")
    own.invoke({"topic": "x"})
    (named | model).invoke({"topic": "x"})
    (hub | model).invoke({"topic": "x"})
    (model | StrOutputParser()).with_retry().invoke("x")
    RunnableBranch((bool, model), model).invoke("x")
    agents: list[Any] = [create_agent(model, name="agent"), create_agent(model, system_prompt="x")]
    for agent in agents:
        agent.invoke({"messages": [("user", "x")]})
    names = [row["name"] for row in cli_json("models", "list")]
    assert sorted(names) == sorted(
        [
            *("FakeListChatModel-StrOutputParser", "LangGraph-model", "agent", "config", "joke", "own", "rag", "run"),
            "RunnableBranch",
        ]
    )
