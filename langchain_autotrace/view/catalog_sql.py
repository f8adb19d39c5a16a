"""Searches the traces of a database whose tables are known; the functions of ``catalog.py`` that only read."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from langchain_autotrace.errors import SinkUnavailable
from langchain_autotrace.redaction import without_password
from langchain_autotrace.view.catalog import ModelSums
from langchain_autotrace.view.sql import model_sums, session_sums, span_search, tables, trace_search, trace_sums
from langchain_autotrace.view.sql.conditions import condition

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from langchain_autotrace.view.catalog import Choices, ListedTrace, Overview, Page, Query, Sessions, Sort
    from langchain_autotrace.view.sql.tables import Tables


def is_known(uri: str) -> bool:
    """Return whether the tables of the store at ``uri`` are known.

    Raises:
        SinkUnavailable: the store cannot be read.
    """
    with tables.reading(uri) as found:
        return found is not None


def search(  # noqa: PLR0913 - what a page of a sorted search needs
    uri: str, query: Query, *, sort: Sort = "time", descending: bool = True, limit: int = 50, offset: int = 0
) -> Page:
    """Return a page of the traces that meet a query.

    Raises:
        SinkUnavailable: the store cannot be read; the same of the other functions.
    """
    with _reading(uri) as found:
        return trace_search.search(found, query, sort=sort, descending=descending, limit=limit, offset=offset)


def sessions(uri: str, query: Query, *, limit: int = 50, offset: int = 0) -> Sessions:
    """Return a page of the sessions of the traces that meet a query."""
    with _reading(uri) as found:
        return session_sums.sessions(found, query, limit=limit, offset=offset)


def overview(uri: str, query: Query, *, periods: int = 60, models: bool = True) -> Overview:
    """Return the sums of the traces that meet a query, for at most that many periods of time."""
    with _reading(uri) as found:
        return trace_sums.overview(found, query, periods=periods, models=models)


def by_model(uri: str, query: Query) -> ModelSums:
    """Return the sums by model of the traces that meet a query."""
    with _reading(uri) as found:
        return ModelSums(model_sums.by_model(found, condition(found, query)))


def choices(uri: str) -> Choices:
    """Return the values that filters offer."""
    with _reading(uri) as found:
        return trace_search.choices(found)


def search_spans(uri: str, query: Query, text: str) -> Iterator[list[str]]:
    """Yield the ids of traces with a text in one of their spans, in parts, the newest first."""
    with _reading(uri) as found:
        yield from span_search.search_spans(found, query, text)


def named(uri: str, trace_ids: Sequence[str]) -> list[ListedTrace]:
    """Return the traces with these ids, those that there are, in their order."""
    with _reading(uri) as found:
        return list(trace_search.listed(found, trace_ids))


@contextlib.contextmanager
def _reading(uri: str) -> Iterator[Tables]:
    with tables.reading(uri) as found:
        if found is None:
            msg = f"{without_password(uri)}: MLflow is changing its tables. Try again."
            raise SinkUnavailable(msg)
        yield found
