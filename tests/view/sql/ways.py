"""The two ways to read a store, to be compared."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from langchain_autotrace.errors import SinkUnavailable, TraceNotFound
from langchain_autotrace.view import sources, traces
from langchain_autotrace.view.sql.tables_source import TablesSource

if TYPE_CHECKING:
    import pytest

    from langchain_autotrace.view.sources import Source
    from langchain_autotrace.view.traces import TraceRow, TraceTree


@contextmanager
def both(uri: str) -> Iterator[tuple[Source, Source]]:
    """The tables of a database, and the same database through MLflow's API."""
    with sources.reading(uri) as tables, sources.reading(uri, only_api=True) as api:
        assert isinstance(tables, TablesSource)
        yield tables, api


def trees(uri: str, trace_id: str, experiment: str | None = None) -> tuple[TraceTree | str, TraceTree | str]:
    """A trace read both ways; in place of one that cannot be read, the error."""
    tables, api = (_tree(uri, trace_id, experiment, only_api=only_api) for only_api in (False, True))
    return tables, api


def _tree(uri: str, trace_id: str, experiment: str | None, *, only_api: bool) -> TraceTree | str:
    try:
        with sources.reading(uri, only_api=only_api) as source:
            assert isinstance(source, TablesSource) is not only_api
            return traces.tree_of_stored(traces.chosen(source, uri, trace_id, experiment=experiment))
    except (TraceNotFound, SinkUnavailable) as error:
        return repr(error)


def rows(uri: str) -> tuple[list[TraceRow], list[TraceRow]]:
    """The list of all traces, read both ways."""
    with both(uri) as (tables, api):
        first, second = (
            [traces.row_of(info) for info in one.newest([key for key, _ in one.experiments()], 1_000)]
            for one in (tables, api)
        )
        return first, second


@contextmanager
def without_mlflow(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail where MLflow's client is asked for."""

    def reading(uri: str) -> None:
        raise AssertionError(uri)

    with patch.context() as now:
        now.setattr("langchain_autotrace.view.store.reading", reading)
        yield
