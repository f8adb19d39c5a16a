"""Adds up the traces of each session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from langchain_autotrace.semconv import TraceKey
from langchain_autotrace.view.catalog import Session, Sessions
from langchain_autotrace.view.sql import dialects
from langchain_autotrace.view.sql.conditions import Condition, condition
from langchain_autotrace.view.sql.trace_infos import marks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_autotrace.view.catalog import Query
    from langchain_autotrace.view.sql.tables import Tables

_SUMS: Final = (
    "SELECT {session} AS session, count(*), sum(CASE t.status WHEN 'ERROR' THEN 1 ELSE 0 END), min(t.timestamp_ms), "
    "max(t.timestamp_ms) AS newest, sum({tokens}), sum({cost}) "
    "FROM trace_info t WHERE {condition} AND {session} <> '' GROUP BY {session} ORDER BY newest DESC, session"
)
_TRACES: Final = (
    "SELECT {session}, {user}, t.request_id FROM trace_info t "
    "WHERE {condition} AND {session} IN ({marks}) ORDER BY t.timestamp_ms DESC, t.request_id"
)
_PREVIEWS: Final = "SELECT request_id, request_preview FROM trace_info WHERE request_id IN ({marks})"
_MOST: Final = 500
"""Sessions on a page: as many parameters as every SQLite takes beside others."""


def sessions(tables: Tables, query: Query, *, limit: int, offset: int) -> Sessions:
    """Return a page of the sessions of the traces that meet a query, the one with the newest trace first."""
    wanted = condition(tables, query)
    columns = tables.columns
    text, values = wanted.whole(tables)
    statement = _SUMS.format(session=columns.session, tokens=columns.total_tokens, cost=columns.cost, condition=text)
    rows = tables.all(statement, values)
    page = rows[offset : offset + min(limit, _MOST)]
    users, first = _members(tables, wanted, [row[0] for row in page])
    return Sessions(tuple(_session(row, users, first) for row in page), len(rows))


def _session(row: Sequence[Any], users: dict[str, str], first: dict[str, str]) -> Session:
    name, traces, errors, first_ms, last_ms, tokens, cost = row
    return Session(
        session=name,
        traces=traces,
        errors=errors,
        first_ms=first_ms,
        last_ms=last_ms,
        total_tokens=None if tokens is None else int(tokens),
        cost_usd=None if cost is None else float(cost),
        user=users.get(name, ""),
        request=first.get(name, ""),
    )


def _members(tables: Tables, wanted: Condition, names: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the user of the newest trace that has one, and the question of the oldest trace, of each session."""
    if not names:
        return {}, {}
    text, values = wanted.whole(tables)
    statement = _TRACES.format(
        session=tables.columns.session,
        user=dialects.metadata(TraceKey.USER),
        condition=text,
        marks=marks(names),
    )
    users: dict[str, str] = {}
    oldest: dict[str, str] = {}
    for session, user, trace_id in tables.all(statement, (*values, *names)):
        oldest[session] = trace_id
        if user:
            users.setdefault(session, user)
    ids = list(oldest.values())
    questions: dict[str, str | None] = dict(tables.all(_PREVIEWS.format(marks=marks(ids)), ids))
    return users, {session: questions.get(trace_id) or "" for session, trace_id in oldest.items()}
