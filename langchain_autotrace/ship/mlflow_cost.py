"""The cost of a span: MLflow's own price where it has one, else that of ``genai-prices``."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Final

from langchain_autotrace.semconv import Attr
from langchain_autotrace.ship import mlflow_prices
from langchain_autotrace.ship.bulk.revisions import installed_version
from langchain_autotrace.ship.connect import CATALOG_VARIABLE
from langchain_autotrace.trace.cost import cost_of, is_local
from langchain_autotrace.trace.totals import COST_KEYS, costs_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_autotrace.trace.spans import Span

_PRICED: Final = (Attr.COST, Attr.TOKEN_USAGE)
"""Attributes without which a span has no cost."""
_FREE: Final = dict.fromkeys(COST_KEYS, 0.0)
"""Cost of a local model, set where MLflow has prices: it would take those of any provider that has a model of the same
name, such as DeepSeek's for Ollama's deepseek-r1."""


def with_cost(span: Span) -> Span:
    """Return the span with the cost that the program has set on it, else the calculated one, if any."""
    if span.attributes.keys().isdisjoint(_PRICED):
        return span
    cost: Mapping[str, float] | None
    if Attr.COST in span.attributes:
        cost = costs_of(span)
    elif is_local(span.attributes.get(Attr.PROVIDER)):
        cost = _FREE if span.attributes[Attr.TOKEN_USAGE] and has_prices() else None
    else:
        cost = cost_of(span.attributes, span.start_ns, _mlflow_price)
    if not cost and Attr.COST not in span.attributes:
        return span
    others = {key: value for key, value in span.attributes.items() if key != Attr.COST}
    return span._replace(attributes={**others, Attr.COST: cost} if cost else others)


def _mlflow_price(provider: str | None, model: str, counts: Mapping[str, int]) -> dict[str, float] | None:
    """Return the cost by MLflow's table of the provider itself; None if the model is not in it."""
    if provider is None or not has_prices():
        return None
    is_known = not os.environ.get(CATALOG_VARIABLE) and installed_version() in mlflow_prices.VERSIONS
    price = mlflow_prices.cost_per_token if is_known else _price_by_mlflow
    found = price(model, counts, provider.lower())
    # A model of its table may have no price.
    return dict(zip(COST_KEYS, (*found, sum(found)), strict=True)) if found and any(found) else None


def _price_by_mlflow(model: str, counts: Mapping[str, int], provider: str) -> tuple[float, float] | None:
    from mlflow.utils import providers  # noqa: PLC0415 - two seconds of imports

    return providers.cost_per_token(
        model,
        counts.get("input_tokens", 0),
        counts.get("output_tokens", 0),
        custom_llm_provider=provider,
        cache_read_input_tokens=counts.get("cache_read_input_tokens"),
        cache_creation_input_tokens=counts.get("cache_creation_input_tokens"),
    )


def has_prices() -> bool:
    """Return whether MLflow has prices: the full package contains them, and the user may name a table."""
    return bool(os.environ.get(CATALOG_VARIABLE)) or _is_installed()


@functools.cache
def _is_installed() -> bool:
    return mlflow_prices.catalog() is not None
