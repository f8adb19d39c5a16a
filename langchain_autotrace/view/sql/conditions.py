"""Turns the query of a search into a condition of SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from langchain_autotrace.semconv import TraceKey
from langchain_autotrace.ship.bulk.revisions import METADATA, TAGS
from langchain_autotrace.view.sql import dialects
from langchain_autotrace.view.sql.model_calls import model_calls

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from langchain_autotrace.view.catalog import Query
    from langchain_autotrace.view.sql.tables import Tables

_LOGGED_MODEL: Final = "mlflow.modelId"
_INTERNAL_TAG: Final = "mlflow."
_WITH_PAIR: Final = "SELECT request_id FROM {table}{all_rows} WHERE key = ? AND value = ?"
_WITH_MODEL: Final = "SELECT s.trace_id FROM spans s WHERE {model} = ?"


class Condition(NamedTuple):
    """A condition on a trace ``t``."""

    text: str
    """SQL with question marks: what the trace's row has to meet."""
    values: tuple[object, ...]
    ids: frozenset[str] | None
    """Ids of the traces that meet the rest, which other tables have; None if there is no rest."""
    experiments: str
    """Ids of the experiments, with commas between them."""
    is_plain: bool
    """Whether it asks for nothing but the experiments."""

    def whole(self, tables: Tables) -> tuple[str, tuple[object, ...]]:
        """Return all of it as SQL with its parameters; to filter by many ids outside of the database is faster."""
        if self.ids is None:
            return self.text, self.values
        is_in = tables.dialect.is_in.format("t.request_id")
        return f"{self.text} AND {is_in}", (*self.values, tables.listed(sorted(self.ids)))


def matching(tables: Tables, wanted: Condition, order: str = "") -> list[str]:
    """Return the ids of the traces that meet a condition, in an order that follows the query as SQL."""
    statement = f"SELECT t.request_id FROM trace_info t WHERE {wanted.text}{order}"  # noqa: S608 - conditions of ours
    found = [trace_id for (trace_id,) in tables.all(statement, wanted.values)]
    return found if wanted.ids is None else [trace_id for trace_id in found if trace_id in wanted.ids]


def condition(tables: Tables, query: Query) -> Condition:
    """Return the condition of the traces that meet a query, in experiments that are not deleted."""
    experiments = _experiments(tables, query.experiment)
    found: list[tuple[str, tuple[object, ...]]] = [*_equal(tables, query), *_numbers(tables, query)]
    if query.text:
        found.append(_previews(tables, query.text))
    ids = [*_ids(tables, query)]
    return Condition(
        text=" AND ".join([f"t.experiment_id IN ({experiments})", *(text for text, _ in found)]),
        values=tuple(value for _, some in found for value in some),
        ids=frozenset.intersection(*ids) if ids else None,
        experiments=experiments,
        is_plain=not (found or ids),
    )


def _experiments(tables: Tables, name: str) -> str:
    """Return the ids of an experiment or of all: SQLite takes its indexes for ids that it sees in the statement."""
    rows = tables.all("SELECT experiment_id, name FROM experiments WHERE lifecycle_stage = 'active'")
    return ", ".join(str(int(one)) for one, has_name in rows if name in {"", has_name}) or "NULL"


def _equal(tables: Tables, query: Query) -> Iterator[tuple[str, tuple[object, ...]]]:
    wanted = (
        ("t.status", query.status),
        (dialects.NAMED.format(tables.columns.name), query.name),
        (tables.columns.session, query.session),
    )
    yield from ((f"{column} = ?", (text,)) for column, text in wanted if text)


def _ids(tables: Tables, query: Query) -> Iterator[frozenset[str]]:
    """Yield the ids of the traces that meet each of the filters by other tables.

    These tables are read from one end to the other: an index leads to one row for each trace, all over the file.
    """
    pairs = [(METADATA, TraceKey.USER, query.user), (METADATA, _LOGGED_MODEL, query.logged_model)]
    for table, key, value in (*pairs, *((TAGS, key, value) for key, value in query.tags.items())):
        if value:
            statement = _WITH_PAIR.format(table=table, all_rows=tables.dialect.all_rows)
            is_hidden = table == TAGS and key.startswith(_INTERNAL_TAG)
            yield frozenset() if is_hidden else frozenset(one for (one,) in tables.all(statement, (key, value)))
    if query.model:
        calls = model_calls(tables)
        if calls is not None:
            yield calls.traces_with(tables, query.model)
        else:
            statement = _WITH_MODEL.format(model=tables.columns.model_of_span)
            yield frozenset(one for (one,) in tables.all(statement, (query.model,)))


def _numbers(tables: Tables, query: Query) -> Iterator[tuple[str, tuple[object, ...]]]:
    limits = (
        ("t.execution_time_ms >=", query.min_duration_ms),
        ("t.execution_time_ms <=", query.max_duration_ms),
        (f"{tables.columns.cost} >=", query.min_cost_usd),
        (f"{tables.columns.cost} <=", query.max_cost_usd),
        ("t.timestamp_ms >=", query.since_ms),
        ("t.timestamp_ms <", query.until_ms),
    )
    yield from ((f"{limit} ?", (number,)) for limit, number in limits if number is not None)


def _previews(tables: Tables, text: str) -> tuple[str, tuple[object, ...]]:
    """Return the condition that a text is in one of the previews."""
    columns: Sequence[str] = ("t.request_preview", "t.response_preview")
    dialect = tables.dialect
    if not text.isascii():  # SQLite's LIKE knows the small letters of English ones only
        columns, text = list(map(dialect.folded.format, columns)), text.casefold()
    return f"({' OR '.join(contains(column, dialect.like) for column in columns)})", (pattern(text),) * len(columns)


def contains(column: str, like: str) -> str:
    """Return the condition that a column has a pattern; ``like`` is the dialect's operator."""
    return f"{column} {like} ? ESCAPE '\\'"


def pattern(text: str) -> str:
    """Return the pattern of all that has a text in it."""
    return f"%{escaped(text)}%"


def escaped(text: str) -> str:
    """Return a text as a part of a pattern that stands for itself."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
