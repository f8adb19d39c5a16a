"""Calls of models that are kept in memory, after all kinds of changes of the database."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from langchain_autotrace.semconv import Attr
from langchain_autotrace.view import catalog, catalog_api, catalog_sql
from langchain_autotrace.view.catalog import Query
from langchain_autotrace.view.sql import model_calls, model_sums, tables
from tests.ship.bulk.support import bulk_sink
from tests.view.sql.test_searches import approximately, one

if TYPE_CHECKING:
    from langchain_autotrace.trace.spans import Trace

QUERIES: Final = (*(Query(), Query(experiment="other"), Query(user="ada", status="OK"), Query(model="gpt-4o")),)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores of some traces are read as those of many."""
    monkeypatch.setattr(model_sums, "_FEW_OF_KEPT", -1)
    monkeypatch.setattr(model_calls, "_STEP", 4)
    monkeypatch.setattr(model_calls, "_MANY", 24)


def check(uri: str) -> dict[str, int]:
    """Compare sums, filter and choices with those over MLflow's API; return the number of calls of each model."""
    for query in QUERIES:
        found, expected = (way.overview(uri, query) for way in (catalog_sql, catalog_api))
        assert found == approximately(expected), query
    counts = {group.name: group.count for group in catalog_sql.overview(uri, Query()).models}
    assert sorted(catalog_sql.choices(uri).models) == sorted(counts)
    for model in counts:
        listed = catalog_sql.search(uri, Query(model=model)).traces
        with_model = {trace_id for trace_id, models in called(uri) if model in models}
        assert [trace.row.trace_id for trace in listed] == [
            trace.row.trace_id
            for trace in catalog_api.search(uri, Query(), limit=500).traces
            if trace.row.trace_id in with_model
        ]
    return counts


def called(uri: str) -> list[tuple[str, set[str]]]:
    """Each trace's id with the models of its spans."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiments = [one.experiment_id for one in client.search_experiments()]
    found = client.search_traces(locations=experiments, max_results=500)
    return [(trace.info.trace_id, {span.model_name for span in trace.data.spans} - {None}) for trace in found]


def with_call(trace: Trace, model: str, tokens: int, span_id: str | None = None) -> Trace:
    """A trace with a call of a model more, or with another one in the place of a span."""
    root = next(span for span in trace.spans if span.parent_id is None)
    usage = {"input_tokens": tokens, "output_tokens": 1, "total_tokens": tokens + 1}
    attributes = {Attr.MODEL: model, Attr.TOKEN_USAGE: usage}
    call = root._replace(
        span_id=span_id or f"{tokens:016x}", parent_id=root.span_id, type="CHAT_MODEL", attributes=attributes
    )
    kept = [span for span in trace.spans if span.span_id != call.span_id]
    return trace._replace(spans=[*kept, call])


def run(uri: str, statement: str) -> None:
    """Change the database as another program does."""
    with closing(sqlite3.connect(uri.removeprefix("sqlite:///"), isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(statement)


def test_changes_one_after_the_other(store: str) -> None:
    """After new traces, late spans, spans sent again and deletions, the sums are those over all spans there are."""
    sink = bulk_sink(store)
    assert check(store) == {}
    sink.write([one(number) for number in range(10)])
    assert check(store) == {"gpt-4o-mini": 4, "gpt-4o": 3, "local": 3}
    sink.write([one(number) for number in range(10, 30)])
    assert check(store) == {"gpt-4o-mini": 10, "gpt-4o": 10, "local": 10}

    sink.write([with_call(one(2), "late", 70)])
    assert check(store) == {"gpt-4o-mini": 10, "gpt-4o": 10, "local": 10, "late": 1}
    sink.write([with_call(one(29), "again", 80, span_id=one(29).spans[1].span_id)])
    assert check(store) == {"gpt-4o-mini": 10, "gpt-4o": 10, "local": 9, "late": 1, "again": 1}

    catalog.delete(store, [f"tr-{number + 1:032x}" for number in (0, 9, 29)])
    assert check(store) == {"gpt-4o-mini": 8, "gpt-4o": 10, "local": 9, "late": 1}
    sink.write([one(number) for number in (40, 41, 42, 0)])
    assert check(store) == {"gpt-4o-mini": 10, "gpt-4o": 11, "local": 10, "late": 1}


def test_numbers_of_rows_that_are_given_again(store: str) -> None:
    """Traces that take the rows of deleted ones are counted, and the deleted ones are not."""
    sink = bulk_sink(store)
    sink.write([one(number) for number in range(20)])
    check(store)
    catalog.delete(store, [f"tr-{number + 1:032x}" for number in range(8, 20)])
    sink.write([one(number) for number in range(50, 80)])
    assert sum(check(store).values()) == 38
    catalog.delete(store, [f"tr-{number + 1:032x}" for number in range(3)])
    run(store, "VACUUM")
    sink.write([one(100)])
    assert sum(check(store).values()) == 36


def test_experiment_that_is_deleted(store: str) -> None:
    """Calls of a deleted experiment's traces are not counted."""
    bulk_sink(store).write([one(number) for number in range(12)])
    assert sum(check(store).values()) == 12
    run(store, "UPDATE experiments SET lifecycle_stage = 'deleted' WHERE name = 'other'")
    assert sum(check(store).values()) == 10


def test_many_changes_of_the_same_traces(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept does not grow when traces are read again and again."""
    monkeypatch.setattr(model_calls, "_MANY", 5)
    sink = bulk_sink(store)
    sink.write([one(number) for number in range(2)])
    for number in range(12):
        sink.write([with_call(one(1), f"model {number % 3}", 900 + number)])
        assert sum(group.count for group in catalog_sql.overview(store, Query()).models) == 3 + number
    check(store)
    with tables.reading(store) as found:
        assert found is not None
        kept = model_calls.model_calls(found)
        assert kept is not None
        assert kept.size <= 3 * 14


def test_what_has_not_changed_is_not_read(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums over a database that nobody has written to since read no span."""
    bulk_sink(store).write([one(number) for number in range(20)])
    before = catalog_sql.overview(store, Query())
    read: list[Any] = []
    monkeypatch.setattr(model_calls, "call_rows", lambda *_: read.append(1))
    assert catalog_sql.overview(store, Query()) == before
    assert catalog_sql.search(store, Query(model="gpt-4o")).total == 7
    assert read == []


def test_reading_that_fails(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a failure in the middle, the next sums are whole."""
    bulk_sink(store).write([one(number) for number in range(4)])
    check(store)
    bulk_sink(store).write([one(number) for number in range(4, 20)])
    with monkeypatch.context() as patch:
        patch.setattr(model_calls, "call_rows", lambda *_: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            catalog_sql.overview(store, Query())
    assert sum(check(store).values()) == 20


def test_file_that_is_replaced(store: str, new_store: Callable[[Path], str], tmp_path: Path) -> None:
    """After another file has taken the name, its calls count, and the connection to the first one is closed."""
    bulk_sink(store).write([one(number) for number in range(9)])
    assert sum(check(store).values()) == 9
    with tables.reading(store) as found:
        assert found is not None
        before = model_calls.model_calls(found)
    other = new_store(tmp_path)
    bulk_sink(other).write([one(number) for number in range(4)])
    Path(other.removeprefix("sqlite:///")).rename(store.removeprefix("sqlite:///"))
    counts = {group.name: group.count for group in catalog_sql.overview(store, Query()).models}
    assert counts == {"gpt-4o-mini": 2, "gpt-4o": 1, "local": 1}
    with tables.reading(store) as found:
        assert found is not None
        assert before is not None
        with pytest.raises(sqlite3.ProgrammingError):
            before.counts(found, [])


def test_a_forked_process(store: str) -> None:
    """A forked process counts by a connection of its own, and leaves its parent's open."""
    bulk_sink(store).write([one(number) for number in range(9)])
    assert sum(check(store).values()) == 9
    pid = os.fork()
    if not pid:
        counted = 99
        try:
            bulk_sink(store).write([one(20)])
            counted = sum(group.count for group in catalog_sql.overview(store, Query()).models)
        finally:
            os._exit(counted)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 10
    assert sum(check(store).values()) == 10
