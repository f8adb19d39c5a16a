"""Adds up the token counts and costs of a trace's spans."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from langchain_autotrace.semconv import Attr

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from langchain_autotrace.trace.spans import Span

COST_KEYS: Final = ("input_cost", "output_cost", "total_cost")
"""MLflow's names of the amounts of a cost (``mlflow.tracing.constant.CostKey``)."""


def usage_of(span: Span) -> dict[str, int]:
    """Return the integer counts of a span's token usage: MLflow adds them up, and fails on any other value."""
    usage = span.attributes.get(Attr.TOKEN_USAGE)
    if not isinstance(usage, dict):
        return {}
    return {key: count for key, count in usage.items() if isinstance(count, int)}


def costs_of(span: Span) -> dict[str, float]:
    """Return the amounts of a span's cost: MLflow adds them up, and fails on any other value."""
    cost = span.attributes.get(Attr.COST)
    found = [(key, cost.get(key)) for key in COST_KEYS] if isinstance(cost, dict) else []
    return {key: amount for key, amount in found if isinstance(amount, int | float) and math.isfinite(amount)}


def reasoning_of(span: Span) -> int:
    """Return the number of a span's output tokens that were used for reasoning; 0 if it is not known."""
    count = span.attributes.get(Attr.REASONING_TOKENS)
    return count if isinstance(count, int) else 0


def totals(
    spans: Sequence[Span], amounts_of: Callable[[Span], Mapping[str, float]], keys: Sequence[str]
) -> dict[str, float]:
    """Return the sums of the tokens or costs of spans, by those keys that any of them has.

    Args:
        spans: the spans of a trace.
        amounts_of: returns what a span adds.
        keys: the keys to add up.
    """
    amounts = _outermost(spans, amounts_of)
    return {key: sum(one.get(key, 0) for one in amounts) for key in keys if any(key in one for one in amounts)}


def _outermost(spans: Sequence[Span], amounts_of: Callable[[Span], Mapping[str, float]]) -> list[Mapping[str, float]]:
    """Return the tokens or costs to add up: not those below others, such as of a client's own span within a model's."""
    amounts = {span.span_id: amount for span in spans if (amount := amounts_of(span))}
    parents = {span.span_id: span.parent_id for span in spans} if amounts else {}
    counted: list[Mapping[str, float]] = []
    for span_id, amount in amounts.items():
        above = parents[span_id]
        while above is not None and above not in amounts:
            above = parents.get(above)
        if above is None:
            counted.append(amount)
    return counted
