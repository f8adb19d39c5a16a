"""Whole programs whose models cost something, as they stand in the store, on each span and on the trace."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langgraph.graph import END, START, MessagesState, StateGraph
from mlflow.entities import Trace
from mlflow.tracing.client import TracingClient

import langchain_autotrace
from tests.patience import PATIENCE
from tests.priced_model import Model
from tests.support import deliver, stored

EXPECTED: Final = (600 * 0.15e-6 + 400 * 0.075e-6, 2_000 * 0.6e-6)
"""Input and output cost of a call of gpt-4o-mini."""


def graph() -> Any:
    """A graph that asks a model twice, one after the other."""

    def ask(state: MessagesState) -> dict[str, Any]:
        return {"messages": [Model().invoke(state["messages"])]}

    made = StateGraph(MessagesState)
    made.add_node("first", ask)
    made.add_node("second", ask)
    made.add_edge(START, "first")
    made.add_edge("first", "second")
    made.add_edge("second", END)
    return made.compile()


def chain() -> Any:
    """A chain of a model."""
    return RunnableLambda(str) | Model()


async def _astream() -> None:
    async for _ in chain().astream("?"):
        pass


async def _abatch() -> None:
    await chain().abatch(["?", "?"])


WAYS: Final[dict[str, tuple[Callable[[], Any], int, int]]] = {
    "invoke": (lambda: chain().invoke("?"), 1, 1),
    "ainvoke": (lambda: asyncio.run(chain().ainvoke("?")), 1, 1),
    "stream": (lambda: list(chain().stream("?")), 1, 1),
    "astream": (lambda: asyncio.run(_astream()), 1, 1),
    "batch": (lambda: chain().batch(["?", "?"]), 2, 1),
    "abatch": (lambda: asyncio.run(_abatch()), 2, 1),
    "parallel": (lambda: RunnableParallel(a=Model(), b=chain()).invoke("?"), 1, 2),
    "graph": (lambda: graph().invoke({"messages": "?"}), 1, 2),
    "model alone": (lambda: Model().invoke("?"), 1, 1),
}
"""A program, how many traces it leaves, and how many calls each has."""


def amounts(cost: dict[str, float] | None) -> tuple[float, ...]:
    """The three amounts of a cost."""
    assert cost is not None
    return tuple(cost[key] for key in ("input_cost", "output_cost", "total_cost"))


def of_spans(trace: Trace) -> dict[str, Any]:
    """The costs of the spans that have one, by the spans' names."""
    return {span.name: span.llm_cost for span in trace.data.spans if span.llm_cost is not None}


@pytest.mark.parametrize("way", WAYS)
def test_every_way(way: str, store: str) -> None:
    """However a model is called, its call has its cost, and the trace the sum of its calls'."""
    program, traces, calls = WAYS[way]
    langchain_autotrace.autolog(tracking_uri=store, shipper="external")
    program()
    deliver()
    found = stored(store)

    each = (*EXPECTED, sum(EXPECTED))
    assert len(found) == traces
    for trace in found:
        models = [span for span in trace.data.spans if span.span_type == "CHAT_MODEL"]
        others = [span.llm_cost for span in trace.data.spans if span.span_type != "CHAT_MODEL"]
        assert [amounts(span.llm_cost) for span in models] == [pytest.approx(each)] * calls
        assert others == [None] * len(others)
        assert amounts(trace.info.cost) == pytest.approx([calls * one for one in each])


def test_a_model_that_is_unknown(store: str, caplog: pytest.LogCaptureFixture) -> None:
    """A model without a price and a local one have no cost, and nothing is said; the requested one's price counts."""
    langchain_autotrace.autolog(tracking_uri=store, shipper="external")
    Model(provider="acme", requested="acme-1", answered="acme-1-b").invoke("?")
    Model(provider="ollama", requested="deepseek-r1", answered="deepseek-r1").invoke("?")
    Model(provider="azure", answered="deployment-7").invoke("?")
    deliver()

    *without, priced = stored(store)
    assert [(of_spans(trace), trace.info.cost) for trace in without] == [({}, None)] * 2
    assert amounts(priced.info.cost) == pytest.approx((*EXPECTED, sum(EXPECTED)))
    assert caplog.messages == []


@pytest.mark.server
def test_a_tracking_server(server: str) -> None:
    """A server shows the costs that were sent to it."""
    client = TracingClient(server)
    experiment = client.store.create_experiment("costs")
    langchain_autotrace.autolog(tracking_uri=server, experiment="costs", shipper="external")
    graph().invoke({"messages": "?"})
    deliver()

    (trace,) = client.search_traces(locations=[experiment])
    each = (*EXPECTED, sum(EXPECTED))
    assert [amounts(span.llm_cost) for span in trace.data.spans if span.llm_cost] == [pytest.approx(each)] * 2
    assert amounts(trace.info.cost) == pytest.approx([2 * one for one in each])


PROGRAM: Final = """
import langchain_autotrace
from mlflow.utils.providers import cost_per_token
from tests.priced_model import Model

langchain_autotrace.autolog()
for provider, model in [
    ("deepseek", "deepseek-chat"),
    ("anthropic", "claude-3-5-sonnet-20241022"),
    ("ollama", "deepseek-r1"),
    ("acme", "acme-1"),
]:
    Model(provider=provider, requested=model, answered=model).invoke("?")
assert langchain_autotrace.flush(300).ok
print(*cost_per_token("deepseek-chat", 1_000, 2_000, "deepseek", 400))
"""


@pytest.mark.server
def test_the_full_mlflow(full_mlflow: str, store: str) -> None:
    """With the full MLflow its own price counts where it has the provider's model; else a price is as without it."""
    done = subprocess.run(
        [full_mlflow, "-c", PROGRAM],
        env={**os.environ, "MLFLOW_TRACKING_URI": store, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    own = [float(one) for one in done.stdout.split()]
    deepseek, claude, local, unknown = (trace.info.cost for trace in stored(store))

    assert amounts(deepseek) == pytest.approx((*own, sum(own)))
    assert amounts(claude) == pytest.approx((600 * 3e-6 + 400 * 0.3e-6, 2_000 * 15e-6, 0.03192))
    assert (amounts(local), unknown) == ((0, 0, 0), None)


EVERY_MODEL: Final = """
import itertools
from pathlib import Path
from langchain_autotrace.ship import mlflow_prices
assert mlflow_prices.catalog() is not None
NAMES = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
TOKENS = [(1_000, 2_000), (0, 7), (1_000, 1, 400), (1_000, 1, 300, 200), (5, 1, 9, 9)]
USES = [dict(zip(NAMES, tokens)) for tokens in TOKENS]
found = [
    (one.stem, name, mlflow_prices.cost_per_token(name, counts, one.stem))
    for one in sorted(mlflow_prices.catalog().glob("*.json"))
    for name in [*mlflow_prices._models(one.stem), "x/" + next(iter(mlflow_prices._models(one.stem)), ""), "acme-1"]
    for counts in USES
]
import sys
assert "mlflow" not in sys.modules
from mlflow.utils.providers import cost_per_token
uses = itertools.cycle(USES)
for (provider, name, cost), counts in zip(found, uses):
    more = {key: counts[key] for key in NAMES[2:] if key in counts}
    own = cost_per_token(name, counts["input_tokens"], counts["output_tokens"], provider, **more)
    assert cost == own, (provider, name, counts, cost, own)
print(len(found))
"""


@pytest.mark.server
def test_every_model_of_the_full_mlflow(full_mlflow: str) -> None:
    """Each model of MLflow's table costs what MLflow calculates itself, which is not imported for it."""
    done = subprocess.run(
        [full_mlflow, "-c", EVERY_MODEL],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10_000
