"""Sums up the calls of models, by model."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from langchain_autotrace.view.sql.call_rows import call_rows
from langchain_autotrace.view.sql.conditions import matching
from langchain_autotrace.view.sql.model_calls import model_calls
from langchain_autotrace.view.sums import Sums, group_of, in_order

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langchain_autotrace.view.catalog import Group
    from langchain_autotrace.view.sql.conditions import Condition
    from langchain_autotrace.view.sql.tables import Tables

_SUMS: Final = (
    "SELECT model, count(*), sum(failed), {durations}, sum(tokens), sum(cost) FROM ({calls}) AS counted GROUP BY model"
)
_OF_EXPERIMENTS: Final = "s.experiment_id IN ({ids})"
_OF_TRACES: Final = "EXISTS (SELECT 1 FROM trace_info t WHERE t.request_id = s.trace_id AND {condition})"
_FEW_TRACES: Final = "trace_info t CROSS JOIN spans s"
_OF_FEW: Final = "s.trace_id = t.request_id AND {condition}"
_MODELS: Final = (
    "SELECT {model}, count(*) FROM spans s WHERE {model} IS NOT NULL AND s.experiment_id IN ({ids}) GROUP BY {model}"
)
_FEW: Final = 50_000
"""Number of traces up to which their spans are looked for, not all spans read."""
_FEW_OF_KEPT: Final = 1_000
"""The same where the calls are kept: the first time, all spans are read for them."""
_NANOSECONDS: Final = 1e6


def by_model(tables: Tables, wanted: Condition) -> tuple[Group, ...]:
    """Return the sums of the calls of each model in the traces that meet a condition, the most frequent first."""
    kept = model_calls(tables)
    text, values = wanted.whole(tables)
    ((number,),) = tables.all(f"SELECT count(*) FROM trace_info t WHERE {text}", values)  # noqa: S608 - of ours
    if kept is None or number <= _FEW_OF_KEPT:
        sums = _sums(tables, wanted, number)
    else:
        sums = kept.sums(tables, matching(tables, wanted))
    return in_order(group_of(model, one) for model, one in sums.items())


def models(tables: Tables, wanted: Condition) -> tuple[str, ...]:
    """Return the models that traces of the condition's experiments called, the most frequent first."""
    kept = model_calls(tables)
    if kept is not None:
        counts = kept.counts(tables, matching(tables, wanted))
    else:
        statement = _MODELS.format(model=tables.columns.model_of_span, ids=wanted.experiments)
        counts = Counter(dict(tables.all(statement)))
    return tuple(model for model, _ in counts.most_common())


def _sums(tables: Tables, wanted: Condition, number: int) -> dict[str, Sums]:
    """Return model -> sums of its calls, which the database adds up."""
    condition, values = wanted.whole(tables)
    if number <= _FEW and not wanted.is_plain:
        calls = call_rows(tables, _FEW_TRACES, _OF_FEW.format(condition=condition))
    elif wanted.is_plain:
        calls = call_rows(tables, "spans s", _OF_EXPERIMENTS.format(ids=wanted.experiments))
    else:
        calls = call_rows(tables, "spans s", _OF_TRACES.format(condition=condition))
    statement = _SUMS.format(durations=tables.dialect.joined.format("duration"), calls=calls)
    return _made(tables.all(statement, values))


def _made(rows: Iterable[tuple[Any, ...]]) -> dict[str, Sums]:
    return {
        model: Sums(
            number=count,
            errors=errors,
            durations_ms=[one / _NANOSECONDS for one in json.loads(f"[{durations or ''}]")],
            total_tokens=None if tokens is None else int(tokens),
            cost_usd=None if cost is None else float(cost),
        )
        for model, count, errors, durations, tokens, cost in rows
    }
