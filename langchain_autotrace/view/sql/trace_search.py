"""Finds a page of traces in a database's tables, and the values that filters offer."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final

from langchain_autotrace.semconv import TraceKey
from langchain_autotrace.view import traces
from langchain_autotrace.view.catalog import Choices, ListedTrace, Page, Query
from langchain_autotrace.view.sql import dialects
from langchain_autotrace.view.sql.conditions import Condition, condition, matching
from langchain_autotrace.view.sql.dialects import NAMED
from langchain_autotrace.view.sql.model_sums import models
from langchain_autotrace.view.sql.trace_infos import infos

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from langchain_autotrace.view.catalog import Sort
    from langchain_autotrace.view.sql.tables import Tables

_NEWEST_FIRST: Final = "t.timestamp_ms DESC, t.request_id"
_MAX_CHOICES: Final = 200
_EXPERIMENTS: Final = (
    "SELECT e.name FROM experiments e LEFT JOIN trace_info t ON t.experiment_id = e.experiment_id "
    "WHERE e.lifecycle_stage = 'active' GROUP BY e.experiment_id, e.name ORDER BY count(t.request_id) DESC, e.name"
)


def search(  # noqa: PLR0913 - what a page of a sorted search needs
    tables: Tables, query: Query, *, sort: Sort, descending: bool, limit: int, offset: int
) -> Page:
    """Return a page of the traces that meet a query."""
    order = _order(tables, sort, descending=descending)
    ids, total = _found(tables, condition(tables, query), order, limit, offset)
    return Page(tuple(listed(tables, ids)), total)


def _order(tables: Tables, sort: Sort, *, descending: bool) -> str:
    """Return the order of a search: as MLflow's by time and duration, by the rest as ``catalog_api`` sorts."""
    way = "DESC" if descending else "ASC"
    if sort == "time":
        return f"t.timestamp_ms {way}, t.request_id"
    if sort == "duration":
        return f"t.execution_time_ms IS NULL, t.execution_time_ms {way}, {_NEWEST_FIRST}"
    keys = {
        "name": tables.dialect.folded.format(NAMED.format(tables.columns.name)),
        "status": "t.status",
        "tokens": f"COALESCE({tables.columns.total_tokens}, -1)",
        "cost": f"COALESCE({tables.columns.cost}, -1)",
    }
    return f"{keys[sort]} {way}, t.timestamp_ms {way}, t.request_id"


def _found(tables: Tables, wanted: Condition, order: str, limit: int, offset: int) -> tuple[list[str], int]:
    """Return the ids of a page, and how many traces there are on all pages."""
    order = f" ORDER BY {order}"
    if wanted.is_plain:  # an index counts them
        rest = f"FROM trace_info t WHERE {wanted.text}"
        total = tables.all(f"SELECT count(*) {rest}", wanted.values)[0][0]
        rows = tables.all(f"SELECT t.request_id {rest}{order} LIMIT ? OFFSET ?", (*wanted.values, limit, offset))
        return [trace_id for (trace_id,) in rows], total
    # They are looked for once, not once to count them and once for the page.
    found = matching(tables, wanted, order)
    return found[offset : offset + limit], len(found)


def listed(tables: Tables, trace_ids: Sequence[str]) -> Iterator[ListedTrace]:
    """Yield traces as lines of a list."""
    names = {str(one): name for one, name in tables.all("SELECT experiment_id, name FROM experiments")}
    for info in infos(tables, trace_ids):
        experiment = names.get(str(info.experiment_id), "")
        yield ListedTrace(traces.row_of(info), experiment, info.request or "", info.response or "")


def choices(tables: Tables) -> Choices:
    """Return the values that filters offer, of all traces that are not deleted."""
    everywhere = condition(tables, Query())
    frequent = functools.partial(_frequent, tables, everywhere)
    return Choices(
        experiments=tuple(name for (name,) in tables.all(_EXPERIMENTS))[:_MAX_CHOICES],
        names=frequent(NAMED.format(tables.columns.name)),
        models=models(tables, everywhere)[:_MAX_CHOICES],
        users=frequent(dialects.metadata(TraceKey.USER)),
    )


def _frequent(tables: Tables, wanted: Condition, column: str) -> tuple[str, ...]:
    """Return the most frequent values of a column, none of them empty."""
    found = f"SELECT {column} AS one FROM trace_info t WHERE {wanted.text}"  # noqa: S608 - of ours
    statement = f"SELECT one FROM ({found}) AS f WHERE one <> '' GROUP BY one ORDER BY count(*) DESC, one LIMIT ?"  # noqa: S608
    return tuple(one for (one,) in tables.all(statement, (*wanted.values, _MAX_CHOICES)))
