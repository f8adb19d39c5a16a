"""Adds up traces by period, by name and by model."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from langchain_autotrace.view.catalog import Overview
from langchain_autotrace.view.sql.conditions import Condition, condition
from langchain_autotrace.view.sql.dialects import NAMED
from langchain_autotrace.view.sql.model_sums import by_model
from langchain_autotrace.view.sums import Sums, added, bucket_length, bucket_of, group_of, in_order

if TYPE_CHECKING:
    from langchain_autotrace.view.catalog import Query
    from langchain_autotrace.view.sql.tables import Tables

_SUMS: Final = (
    "SELECT t.timestamp_ms / {length}, {name}, count(*), sum(CASE t.status WHEN 'ERROR' THEN 1 ELSE 0 END), "
    "{durations}, sum({input}), sum({output}), sum({total}), sum({cost}) "
    "FROM trace_info t WHERE {condition} GROUP BY 1, 2"
)
_RANGE: Final = "SELECT min(t.timestamp_ms), max(t.timestamp_ms), count(*) FROM trace_info t WHERE {condition}"


def overview(tables: Tables, query: Query, *, periods: int, models: bool) -> Overview:
    """Return the sums of the traces that meet a query, for at most that many periods of time; with those by model."""
    wanted = condition(tables, query)
    text, values = wanted.whole(tables)
    first, last, number = tables.all(_RANGE.format(condition=text), values)[0]
    bucket_ms = bucket_length([first, last] if number else [], periods)
    buckets: dict[int, list[Sums]] = defaultdict(list)
    names: dict[str, list[Sums]] = defaultdict(list)
    for period, name, sums in _sums(tables, wanted, bucket_ms):
        buckets[period].append(sums)
        names[name].append(sums)
    return Overview(
        bucket_ms,
        tuple(bucket_of(period * bucket_ms, added(buckets[period])) for period in sorted(buckets)),
        in_order(group_of(name, added(parts)) for name, parts in names.items()),
        by_model(tables, wanted) if models else (),
    )


def _sums(tables: Tables, wanted: Condition, bucket_ms: int) -> list[tuple[int, str, Sums]]:
    columns = tables.columns
    text, values = wanted.whole(tables)
    statement = _SUMS.format(
        length=bucket_ms,
        name=NAMED.format(columns.name),
        durations=tables.dialect.joined.format("t.execution_time_ms"),
        input=columns.input_tokens,
        output=columns.output_tokens,
        total=columns.total_tokens,
        cost=columns.cost,
        condition=text,
    )
    return [(period, name, _made(sums)) for period, name, *sums in tables.all(statement, values)]


def _made(sums: list[Any]) -> Sums:
    count, errors, durations, given, answered, total, cost = sums
    return Sums(
        number=count,
        errors=errors,
        durations_ms=json.loads(f"[{durations or ''}]"),
        input_tokens=_whole(given),
        output_tokens=_whole(answered),
        total_tokens=_whole(total),
        cost_usd=None if cost is None else float(cost),
    )


def _whole(number: Any) -> int | None:  # noqa: ANN401 - of what type depends on the driver
    return None if number is None else int(number)
