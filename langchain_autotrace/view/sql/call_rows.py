"""The query of the calls of models: what sums need of each, from the table of spans."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from langchain_autotrace.view.sql.tables import Tables

_CALLS: Final = (
    "SELECT trace_id, model, failed, duration, {total} AS tokens, cost "
    "FROM (SELECT trace_id, model, failed, duration, cost, {usage} AS usage FROM ({spans}) AS spans_of_calls{barrier}"
    ") AS used{barrier}"
)
_SPANS: Final = (
    "SELECT s.trace_id, {model} AS model, CASE s.status WHEN 'ERROR' THEN 1 ELSE 0 END AS failed, s.content, "
    "{usage_at} AS usage_at, s.end_time_unix_nano - s.start_time_unix_nano AS duration, {cost} AS cost "
    "FROM {tables} WHERE {condition} AND {model} IS NOT NULL{barrier}"
)


def call_rows(tables: Tables, source: str, condition: str) -> str:
    """Return the query of trace id, model, whether it failed, nanoseconds, tokens and dollars of each call.

    Args:
        tables: the database's.
        source: the tables to read, with the spans as ``s``.
        condition: which of the rows.
    """
    dialect = tables.dialect
    spans = _SPANS.format(
        model=tables.columns.model_of_span,
        usage_at=dialect.usage_at,
        cost=tables.columns.cost_of_span,
        tables=source,
        condition=condition,
        barrier=dialect.barrier,
    )
    return _CALLS.format(total=dialect.total, usage=dialect.usage, spans=spans, barrier=dialect.barrier)
