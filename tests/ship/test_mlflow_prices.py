"""MLflow's price table, read without MLflow."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from langchain_autotrace.semconv import Attr
from langchain_autotrace.ship import mlflow_cost, mlflow_prices
from tests.ship.support import end, finished, start

COUNTS: Final = {"input_tokens": 1_000, "output_tokens": 2_000}
CACHED: Final = {**COUNTS, "cache_read_input_tokens": 400, "cache_creation_input_tokens": 100}


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Gives the full MLflow's table: called with a provider's models."""
    monkeypatch.setattr(mlflow_prices, "catalog", lambda: tmp_path)
    monkeypatch.setattr(mlflow_cost, "_is_installed", lambda: True)
    mlflow_prices._models.cache_clear()

    def give(provider: str, **models: dict[str, Any]) -> None:
        (tmp_path / f"{provider}.json").write_text(json.dumps({"models": models}))

    return give


@pytest.mark.parametrize(
    ("prices", "counts", "cost"),
    [
        ({"input_per_million_tokens": 2.0, "output_per_million_tokens": 4.0}, COUNTS, (0.002, 0.008)),
        ({"input_per_million_tokens": 2.0}, COUNTS, (0.002, 0.0)),
        ({"input_per_million_tokens": 2.0}, CACHED, (0.002, 0.0)),
        (
            {"input_per_million_tokens": 2, "cache_read_per_million_tokens": 1, "cache_write_per_million_tokens": 3},
            CACHED,
            (500 * 2e-6 + 400 * 1e-6 + 100 * 3e-6, 0.0),
        ),
        (None, COUNTS, (0.0, 0.0)),
    ],
)
def test_a_cost(table: Callable[..., None], prices: Any, counts: dict[str, int], cost: tuple[float, float]) -> None:
    """Cached tokens are part of the input, and have their own price where there is one."""
    table("acme", one={"mode": "chat", "pricing": prices})

    assert mlflow_prices.cost_per_token("gateway/one", counts, "acme") == pytest.approx(cost)


@pytest.mark.parametrize(("model", "provider"), [("two", "acme"), ("one", "other"), ("one", "../acme"), ("one", "")])
def test_no_cost(table: Callable[..., None], model: str, provider: str) -> None:
    """A model or provider that is not in the table has no cost."""
    table("acme", one={"pricing": {"input_per_million_tokens": 2.0}})

    assert mlflow_prices.cost_per_token(model, COUNTS, provider) is None


def test_a_call(table: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """A call of a model in the table of a known version has MLflow's price, and MLflow is not asked."""
    table("acme", one={"pricing": {"input_per_million_tokens": 2.0, "output_per_million_tokens": 4.0}})
    monkeypatch.setattr(mlflow_cost, "installed_version", lambda: next(iter(mlflow_prices.VERSIONS)))
    monkeypatch.setattr(mlflow_cost, "_price_by_mlflow", pytest.fail)
    call = {Attr.MODEL: "one", Attr.PROVIDER: "Acme", Attr.TOKEN_USAGE: COUNTS}
    (span,) = finished(start(1, 1, attributes=call), end(1, 1, attributes={})).spans

    assert mlflow_cost.with_cost(span).attributes[Attr.COST] == pytest.approx(
        {"input_cost": 0.002, "output_cost": 0.008, "total_cost": 0.01}
    )
