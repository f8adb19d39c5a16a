"""What is read from the tables of PostgreSQL is what MLflow's API gives."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from langchain_autotrace.errors import SinkError, SinkUnavailable
from langchain_autotrace.view import catalog_api, catalog_sql, traces
from langchain_autotrace.view.catalog import Query
from tests.ship.bulk import postgresql
from tests.ship.bulk.corpus import EXAMPLES
from tests.ship.bulk.corpus import traces as example
from tests.ship.bulk.support import bulk_sink
from tests.ship.bulk.test_postgresql import execute, uri_of
from tests.view.sql.test_searches import QUERIES, approximately, one
from tests.view.sql.ways import rows, trees

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(postgresql.programs() is None, reason="PostgreSQL is not installed: apt-get install postgresql"),
]


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The port of a server with two databases, one of examples and one of traces to search for."""
    from langchain_autotrace.ship.mlflow_sink import MlflowSink

    with postgresql.server() as port:
        for name in ("corpus", "searched"):
            execute(port, f"CREATE DATABASE {name}")
            MlflowSink(uri_of(port, name))._client.store.engine.dispose()
        sink = bulk_sink(uri_of(port, "corpus"))
        for number, name in enumerate(EXAMPLES, start=1):
            with contextlib.suppress(SinkError):
                sink.write(example(number, name))
        bulk_sink(uri_of(port, "searched")).write([one(number) for number in range(30)])
        yield port


def test_each_example(port: int) -> None:
    """Each kind of trace is read and listed the same, whichever way."""
    uri = uri_of(port, "corpus", "psycopg")
    tables, api = rows(uri)
    assert tables == api
    for row in tables:
        found, expected = trees(uri, row.trace_id)
        assert found == expected
    found, expected = trees(uri, "2a")
    assert found == expected


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_searches(port: int, driver: str) -> None:
    """Filters, sorts, sessions and sums are the same, by both drivers."""
    uri = uri_of(port, "searched", driver)
    for query in QUERIES:
        page = catalog_sql.search(uri, query, sort="cost")
        assert page.traces == catalog_api.search(uri, query, sort="cost").traces, query
        assert catalog_sql.sessions(uri, query) == approximately(catalog_api.sessions(uri, query))
        assert catalog_sql.overview(uri, query) == approximately(catalog_api.overview(uri, query)), query
    assert catalog_sql.search(uri, Query(model="gpt-4o")).total == 10
    assert (
        catalog_sql.search(uri, Query(), sort="tokens", limit=3).traces
        == catalog_api.search(uri, Query(), sort="tokens", limit=3).traces
    )
    assert [len(part) for part in catalog_sql.search_spans(uri, Query(), "needle")] == [4]
    assert catalog_sql.choices(uri).users == ("ada",)


def test_server_that_is_stopped() -> None:
    """A server that was stopped is named as one that does not answer."""
    with postgresql.server() as port:
        uri = uri_of(port, "postgres")
    with pytest.raises(SinkUnavailable, match="cannot reach the server"):
        traces.newest(uri, limit=1)
