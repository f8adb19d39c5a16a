"""Costs of spans and traces, as MLflow reads them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest
from mlflow.entities.trace_metrics import AggregationType, MetricAggregation, MetricViewType
from mlflow.tracing.client import TracingClient

from langchain_autotrace.semconv import Attr, SpanType
from langchain_autotrace.ship.mlflow_sink import MlflowSink
from tests.ship.mlflow_support import read
from tests.ship.support import end, finished, start

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from langchain_autotrace.records import SpanStart

KEYS: Final = ("input_cost", "output_cost", "total_cost")
MINI: Final = (0.00015, 0.0012, 0.00135)
"""What the call below costs: 1,000 tokens at 0.15 dollars a million, and 2,000 at 0.60."""


def call(
    span: int, parent: int, model: str = "gpt-4o-mini", provider: str = "openai", more: dict[str, Any] | None = None
) -> SpanStart:
    """The start of a model's call that has its usage already."""
    usage = {"input_tokens": 1_000, "output_tokens": 2_000, "total_tokens": 3_000}
    found = {Attr.MODEL: model, Attr.PROVIDER: provider, Attr.TOKEN_USAGE: usage, **(more or {})}
    return start(1, span, parent, type=SpanType.CHAT_MODEL, attributes=found)


def calls(*starts: SpanStart) -> list[Any]:
    """A chain of those calls."""
    return [start(1, 1), *starts, *(end(1, int(one.span_id, 16), attributes={}) for one in starts), end(1, 1)]


def costs(uri: str) -> tuple[list[Any], Any]:
    """The costs of the spans, and of the trace."""
    trace = read(uri)
    spans = sorted(trace.data.spans, key=lambda span: span.span_id)
    found = [span.get_attribute(Attr.COST) for span in spans]
    total = trace.info.trace_metadata.get("mlflow.trace.cost")
    return [amounts(one) for one in found], amounts(None if total is None else json.loads(total))


def amounts(cost: dict[str, float] | None) -> Any:
    """The three amounts of a cost, to compare."""
    if cost is None:
        return None
    assert sorted(cost) == sorted(KEYS)
    return pytest.approx(tuple(cost[key] for key in KEYS))


def charted(uri: str) -> list[Any]:
    """What MLflow's charts sum up: each cost, by the model."""
    found = []
    for key in KEYS:
        (point,) = TracingClient(uri).store.query_trace_metrics(
            ["0"], MetricViewType.SPANS, key, [MetricAggregation(AggregationType.SUM)], ["span_model_name"]
        )
        found.append((point.dimensions["span_model_name"], point.values["SUM"]))
    return found


def doubled(cost: tuple[float, ...]) -> tuple[float, ...]:
    """Twice a cost."""
    return tuple(2 * one for one in cost)


def test_a_chain(uri: str) -> None:
    """Each call of a model has its cost, and the trace their sum; a span of a client within a call is counted once."""
    twice = call(2, 1), call(3, 2), call(4, 1), call(5, 1, model="unheard-of")
    MlflowSink(uri).write([finished(*calls(*twice))])

    assert costs(uri) == ([None, MINI, MINI, MINI, None], doubled(MINI))


def test_charts(store: str) -> None:
    """MLflow's charts sum costs up by the model."""
    MlflowSink(store).write([finished(*calls(call(2, 1), call(3, 1)))])

    assert charted(store) == [("gpt-4o-mini", pytest.approx(one)) for one in doubled(MINI)]


def test_nothing_known(uri: str) -> None:
    """A trace in which no cost is known has none, and a call of a local model is not one of another provider's."""
    MlflowSink(uri).write([finished(*calls(call(2, 1, "unheard-of"), call(3, 1, "gpt-4o-mini", "ollama")))])

    assert costs(uri) == ([None, None, None], None)


def test_parts_of_a_trace(store: str) -> None:
    """A call that ends after its trace was delivered adds its cost, as its tokens."""
    late = call(2, 1)
    first = finished(start(1, 1), start(1, 2, 1), end(1, 1))
    sink = MlflowSink(store)
    for batch in ([first], [finished(late, end(1, 2, attributes={}))], [finished(late, end(1, 2, attributes={}))]):
        sink.write(batch)

    assert costs(store) == ([None, MINI], MINI)
    assert (read(store).info.token_usage or {})["total_tokens"] == 3_000


GIVEN: Final = {"input_cost": 1.0, "output_cost": 2.0, "total_cost": 3.0}


def test_a_cost_that_the_program_has_set(uri: str) -> None:
    """A cost that the program has set stays, and is in the sum."""
    MlflowSink(uri).write([finished(*calls(call(2, 1, more={Attr.COST: GIVEN}), call(3, 1)))])

    assert costs(uri) == ([None, (1, 2, 3), MINI], (1.00015, 2.0012, 3.00135))


@pytest.mark.parametrize("given", [None, "much", [1], {}, {"total_cost": "much"}, {"total_cost": float("nan")}])
def test_a_cost_that_is_none(uri: str, given: object) -> None:
    """A value that is no cost, which MLflow's database would fail on, is left out, and rejects no trace."""
    MlflowSink(uri).write([finished(*calls(call(2, 1, more={Attr.COST: given})))])

    assert costs(uri) == ([None, None], None)


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Gives MLflow a price table: called with the provider and the prices of models."""

    def give(provider: str, **prices: float) -> None:
        models = {
            name.replace("_", "-"): {
                "mode": "chat",
                "pricing": {"input_per_million_tokens": price, "output_per_million_tokens": price},
            }
            for name, price in prices.items()
        }
        (tmp_path / f"{provider}.json").write_text(json.dumps({"models": models}))
        monkeypatch.setenv("MLFLOW_MODEL_CATALOG_URI", tmp_path.as_uri())
        monkeypatch.setattr("mlflow.utils.providers._remote_cache", None)

    return give


def test_mlflows_own_price(uri: str, table: Callable[..., None]) -> None:
    """MLflow's price counts where its table has the provider's model, that of genai-prices elsewhere."""
    table("openai", gpt_5=100.0)
    MlflowSink(uri).write([finished(*calls(call(2, 1, "gpt-5"), call(3, 1)))])

    assert costs(uri)[0] == [None, (0.1, 0.2, 0.3), MINI]


def test_attributes_of_other_types(uri: str, table: Callable[..., None]) -> None:
    """Counts and names that are none, as a program may set them, reject no trace."""
    table("openai", gpt_5=100.0)
    counts = {"input_tokens": 1_000, "output_tokens": "many", "cache_read_input_tokens": [1]}
    odd = call(3, 1, more={Attr.MODEL: ["gpt-5"], Attr.REQUEST_MODEL: {}})
    MlflowSink(uri).write([finished(*calls(call(2, 1, "gpt-5", more={Attr.TOKEN_USAGE: counts}), odd))])

    assert costs(uri) == ([None, (0.1, 0, 0.1), None], (0.1, 0, 0.1))


def test_a_local_model_where_mlflow_has_prices(uri: str, table: Callable[..., None]) -> None:
    """A local model costs nothing where MLflow would take the price of another's model of that name."""
    table("openai", gpt_5=100.0)
    MlflowSink(uri).write([finished(*calls(call(2, 1, "gpt-5", "ollama")))])

    assert costs(uri) == ([None, (0, 0, 0)], (0, 0, 0))
