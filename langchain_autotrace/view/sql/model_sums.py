"""Sums up the calls of models, by model, from the table of spans."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, Final

from langchain_autotrace.view.sums import Sums, added, group_of, in_order

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langchain_autotrace.view.catalog import Group
    from langchain_autotrace.view.sql.conditions import Condition
    from langchain_autotrace.view.sql.tables import Tables

_SUMS: Final = (
    "SELECT model, count(*), sum(failed), {durations}, sum(tokens), COALESCE(sum(cost), 0) "
    "FROM (SELECT model, failed, duration, cost, {total} AS tokens "
    "FROM (SELECT model, failed, duration, cost, {usage} AS usage FROM ({calls}) AS calls{barrier}) AS used{barrier}"
    ") AS counted GROUP BY model"
)
_CALL: Final = (
    "SELECT {model} AS model, CASE s.status WHEN 'ERROR' THEN 1 ELSE 0 END AS failed, s.content, "
    "{usage_at} AS usage_at, s.end_time_unix_nano - s.start_time_unix_nano AS duration, {cost} AS cost"
)
_OF_ALL: Final = "FROM spans s{all_rows} WHERE {model} IS NOT NULL{of_traces} AND {{part}}{barrier}"
_OF_EXPERIMENTS: Final = " AND s.experiment_id IN ({ids})"
_OF_TRACES: Final = " AND EXISTS (SELECT 1 FROM trace_info t WHERE t.request_id = s.trace_id AND {condition})"
_OF_FEW: Final = (
    "FROM trace_info t CROSS JOIN spans s WHERE s.trace_id = t.request_id AND {model} IS NOT NULL AND {condition}"
    "{barrier}"
)
_MODELS: Final = (
    "SELECT {model}, count(*) FROM spans s{all_rows} WHERE {model} IS NOT NULL AND s.experiment_id IN ({ids}) "
    "AND {{part}} GROUP BY {model}"
)
_FEW: Final = 50_000
"""Number of traces up to which their spans are looked for, not all spans read."""
_NANOSECONDS: Final = 1e6


def by_model(tables: Tables, wanted: Condition, number: int) -> tuple[Group, ...]:
    """Return the sums of the calls of each model, the most frequent first.

    Args:
        tables: the database's.
        wanted: the condition of the traces.
        number: how many traces meet it.
    """
    condition, values = wanted.whole(tables)
    columns, dialect = tables.columns, tables.dialect
    terms = {
        "model": columns.model_of_span,
        "all_rows": dialect.all_rows,
        "barrier": dialect.barrier,
        "condition": condition,
        "ids": wanted.experiments,
    }
    call = _CALL.format(usage_at=dialect.usage_at, cost=columns.cost_of_span, **terms)
    if number <= _FEW and not wanted.is_plain:
        return _groups(tables.all(_summed(tables, f"{call} {_OF_FEW.format(**terms)}"), values))
    of_traces = (_OF_EXPERIMENTS if wanted.is_plain else _OF_TRACES).format(**terms)
    calls = f"{call} {_OF_ALL.format(of_traces=of_traces, **terms)}"
    return _groups(tables.in_parts("spans", _summed(tables, calls), values))


def models(tables: Tables, experiments: str) -> tuple[str, ...]:
    """Return the models that spans of the experiments called, the most frequent first."""
    statement = _MODELS.format(model=tables.columns.model_of_span, all_rows=tables.dialect.all_rows, ids=experiments)
    counts: Counter[str] = Counter()
    for model, count in tables.in_parts("spans", statement):
        counts[model] += count
    return tuple(model for model, _ in counts.most_common())


def _summed(tables: Tables, calls: str) -> str:
    dialect = tables.dialect
    return _SUMS.format(
        durations=dialect.joined.format("duration"),
        total=dialect.total,
        usage=dialect.usage,
        barrier=dialect.barrier,
        calls=calls,
    )


def _groups(rows: Iterable[tuple[Any, ...]]) -> tuple[Group, ...]:
    """Return the groups of rows, of which a model may have several."""
    by_name: dict[str, list[Sums]] = defaultdict(list)
    for model, count, errors, durations, tokens, cost in rows:
        durations_ms = [one / _NANOSECONDS for one in json.loads(f"[{durations or ''}]")]
        by_name[model].append(Sums(count, errors, durations_ms, int(tokens), float(cost)))
    return in_order(group_of(name, added(parts)) for name, parts in by_name.items())
