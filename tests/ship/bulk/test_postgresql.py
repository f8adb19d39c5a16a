"""What is written to PostgreSQL in bulk, by psycopg 2 and 3."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import psycopg
import pytest

from langchain_autotrace.errors import SinkUnavailable, TraceRejected
from langchain_autotrace.ship.mlflow_sink import MlflowSink
from tests.ship.bulk import postgresql
from tests.ship.bulk.corpus import EXAMPLES, traces
from tests.ship.bulk.support import Pair, bulk_sink, no_public
from tests.ship.bulk.test_faults_of_databases import batch, ids, writer
from tests.ship.support import end, finished, start, trace_id, whole
from tests.support import stored

pytestmark = pytest.mark.skipif(
    postgresql.programs() is None, reason="PostgreSQL is not installed: apt-get install postgresql"
)
DRIVERS: Final = ("psycopg", "psycopg2")


def execute(port: int, *statements: str, name: str = "postgres") -> list[Any]:
    """Execute statements in a database; gives the rows of the last one."""
    with psycopg.connect(host="127.0.0.1", port=port, user="me", dbname=name, autocommit=True) as connection:
        found: list[Any] = []
        for statement in statements:
            cursor = connection.execute(statement.encode())
            found = cursor.fetchall() if cursor.description else []
        return found


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The port of a server, whose database "template" has MLflow's tables."""
    with postgresql.server() as port:
        execute(port, "CREATE DATABASE template")
        store = MlflowSink(uri_of(port, "template"))._client.store
        store.engine.dispose()
        yield port


@pytest.fixture
def new_database(port: int) -> Callable[[str], str]:
    """Makes databases: called with a driver, returns a tracking URI."""
    names = iter(range(9))

    def make(driver: str) -> str:
        name = f"of_test_{next(names)}"
        execute(port, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)", f"CREATE DATABASE {name} TEMPLATE template")
        return uri_of(port, name, driver)

    return make


def uri_of(port: int, name: str, driver: str = "psycopg2") -> str:
    """The tracking URI of a database."""
    return f"postgresql+{driver}://me:s3cret@127.0.0.1:{port}/{name}"


@pytest.mark.parametrize("driver", DRIVERS)
def test_each_example(new_database: Callable[[str], str], driver: str) -> None:
    """Each kind of trace leaves the same rows in all tables, whichever way it went."""
    pair = Pair(new_database(driver), new_database(driver))
    ways = {}
    for number, name in enumerate(EXAMPLES, start=1):
        before = pair.bulk.in_bulk
        assert len(set(pair.write(*traces(number, name)))) == 1, name
        ways[name] = pair.bulk.in_bulk > before
    bulk, public = pair.tables()
    assert bulk == public
    assert len(bulk["trace_info"]) == len(EXAMPLES)
    assert ways == {name: example.in_bulk for name, example in EXAMPLES.items()}


@pytest.mark.parametrize("driver", DRIVERS)
def test_faults(new_database: Callable[[str], str], port: int, driver: str) -> None:
    """A bad row, a deleted experiment, a lost connection: each trace is stored once, or rejected, or waits."""
    uri = new_database(driver)
    name = uri.rpartition("/")[2]
    sink = bulk_sink(uri)
    sink.write(batch(*range(20)))
    far = finished(start(30, 1)._replace(time_ns=2**63), end(30, 1)._replace(time_ns=2**63))
    with pytest.raises(TraceRejected):
        sink.write([*batch(20), far])
    with pytest.raises(TraceRejected):
        sink.write([far])
    kill = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    execute(port, kill)
    sink.write(batch(20))
    execute(port, "UPDATE experiments SET lifecycle_stage = 'deleted'", name=name)
    with pytest.raises(SinkUnavailable):
        sink.write(batch(21))
    execute(port, "UPDATE experiments SET lifecycle_stage = 'active'", name=name)
    sink.write(batch(*range(19, 22)))

    # MLflow's API has left a row of the trace that was rejected, without spans.
    assert execute(port, "SELECT count(*), count(DISTINCT trace_id) FROM spans", name=name) == [(44, 22)]
    assert sink.in_bulk == 22
    assert "s3cret" not in str(execute(port, "SELECT * FROM trace_info", name=name))


def test_writers_at_once(new_database: Callable[[str], str], port: int) -> None:
    """Two writers in bulk and one through MLflow's API, all of the same traces, store each once."""
    uris = new_database("psycopg2")
    processes = [writer(uris.replace("psycopg2", driver), 0, 60, 20) for driver in DRIVERS]
    public = MlflowSink(uris)
    for number in range(0, 60, 4):
        public.write([finished(*whole(number, spans=3))])
    assert [process.wait(120) for process in processes] == [0, 0]
    for process in processes:
        process.communicate()

    assert sorted(trace.info.trace_id for trace in stored(uris)) == ids(*range(60))
    assert execute(port, "SELECT count(*) FROM spans", name=uris.rpartition("/")[2]) == [(180,)]


def test_a_server_that_is_down() -> None:
    """A server that does not answer is unavailable, without its password in the message."""
    with pytest.raises(SinkUnavailable) as refused:
        bulk_sink(uri_of(1, "db"), no_public).write(batch(1))

    assert str(refused.value).startswith("postgresql+psycopg2://me:***@127.0.0.1:1/db: ")
    assert "s3cret" not in str(refused.value)


def test_a_new_database(port: int) -> None:
    """A database without tables gets MLflow's, and the traces are written in bulk."""
    execute(port, "DROP DATABASE IF EXISTS empty WITH (FORCE)", "CREATE DATABASE empty")
    sink = bulk_sink(uri_of(port, "empty", "psycopg"))
    sink.write(batch(1, 2))

    assert execute(port, "SELECT request_id FROM trace_info ORDER BY 1", name="empty") == [
        (f"tr-{trace_id(1)}",),
        (f"tr-{trace_id(2)}",),
    ]
    assert sink.in_bulk == 2
