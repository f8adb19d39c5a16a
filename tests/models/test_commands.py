"""``langchain-autotrace models``."""

from __future__ import annotations

from typing import Any

from langchain_core.runnables import Runnable, RunnableLambda

import langchain_autotrace
from tests.models.chains import chain
from tests.models.support import models
from tests.view.conftest import calm
from tests.view.support import cli, cli_json

__all__ = ["calm"]  # a fixture


def test_nothing_logged(store: str) -> None:
    """Without models, what to call is said; a model that is not there is an error."""
    listed, shown = cli("models", "list"), cli("models", "show", "m-1")
    assert (listed.exit_code, listed.stdout.startswith("no models logged yet in sqlite:///")) == (0, True)
    assert (shown.exit_code, shown.stderr.startswith("Error: no model 'm-1' in")) == (1, True)


def test_models(store: str) -> None:
    """What waits in the journal is logged first; a model is shown with all that is known of it."""
    langchain_autotrace.autolog(
        tracking_uri=store, shipper="external", log_models=True, log_input_examples=True, extra_tags={"team": "north"}
    )
    chain("Tell of {topic}").invoke({"topic": "cats"})
    described: Runnable[Any, Any] = RunnableLambda(lambda topic: {"topic": topic}) | chain()
    described.invoke("dogs")
    rows = cli_json("models", "list")
    loadable = next(row for row in rows if row["loadable"])
    assert [row["name"] for row in rows] == ["RunnableSequence", "RunnableSequence"]
    assert sorted(line.split()[2] for line in cli("models", "list").stdout.splitlines()[1:]) == ["no", "yes"]

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
        'example   {"topic": "cats"}',
        "inputs    topic: string",
        "outputs   string",
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
        (".first.func", "it cannot be imported: it is a lambda"),
        (".last.func", "it cannot be imported: it is a lambda"),
    ]
    assert "first.func (" in cli("models", "show", "last").stdout.partition("Parts that cannot be rebuilt")[2]

    chain().invoke({"topic": "x"})
    many = cli("models", "show", "m-")
    assert (many.exit_code, "2 models start with 'm-'" in many.stderr) == (1, True)
    assert len(models(store)) == 2
