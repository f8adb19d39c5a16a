"""What is written to PostgreSQL in bulk, by psycopg 2 and 3."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from langchain_autotrace.errors import SinkUnavailable, TraceRejected
from langchain_autotrace.ship import shipper
from langchain_autotrace.ship.bulk import databases
from langchain_autotrace.ship.known_models import KnownModels
from langchain_autotrace.ship.mlflow_sink import MlflowSink
from langchain_autotrace.ship.shipper import Shipper
from tests.journal.support import new_folder, new_journal
from tests.patience import PATIENCE
from tests.ship.bulk import postgresql
from tests.ship.bulk.corpus import EXAMPLES, traces
from tests.ship.bulk.support import Pair, bulk_sink, no_public
from tests.ship.bulk.test_faults_of_databases import batch, ids, writer
from tests.ship.support import end, finished, start, trace_id, whole, write
from tests.support import stored

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(postgresql.programs() is None, reason="PostgreSQL is not installed: apt-get install postgresql"),
]
DRIVERS: Final = ("psycopg", "psycopg2")
EXPERIMENTS: Final = ("mine", "Ünïcode ☃", 'it\'s "quoted" 100%', "a/b:c", " ", "x" * 200)


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


_numbers: Final = itertools.count()


@pytest.fixture
def new_database(port: int) -> Callable[[str], str]:
    """Makes databases: called with a driver, returns a tracking URI. MLflow keeps a store for each one it has had."""

    def make(driver: str) -> str:
        name = f"of_test_{next(_numbers)}"
        execute(port, f"CREATE DATABASE {name} TEMPLATE template")
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


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_writer_that_is_killed(new_database: Callable[[str], str], port: int, driver: str) -> None:
    """A writer that is killed has stored whole batches; the same traces written again are stored once."""
    uri = new_database(driver)
    question = "SELECT (SELECT count(*) FROM trace_info), (SELECT count(*) FROM spans)"
    process = writer(uri, 0, 20_000, 50)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == "ready\n"
        while execute(port, question, name=uri.rpartition("/")[2])[0][0] < 100:
            time.sleep(0.01)
        process.kill()
        process.wait()
    while (counts := execute(port, question, name=uri.rpartition("/")[2])[0])[0] % 50:
        time.sleep(0.01)  # the server is still committing what it had got
    sink = bulk_sink(uri, no_public)
    sink.write([finished(*whole(number, spans=3)) for number in range(counts[0] - 20, counts[0] + 20)])

    assert counts[1] == 3 * counts[0]
    assert sink.in_bulk == 20
    assert execute(port, question, name=uri.rpartition("/")[2]) == [(counts[0] + 20, 3 * (counts[0] + 20))]


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_server_that_crashes(
    new_database: Callable[[str], str], port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, driver: str
) -> None:
    """A server that crashes amid three batches, and is started again, has each trace once."""
    monkeypatch.setattr(shipper, "_BATCH_TRACES", 10)
    monkeypatch.setattr(shipper, "_LARGEST_BATCH", 10)
    uri, folder = new_database(driver), new_folder(tmp_path)
    journal = new_journal(folder)
    for number in range(100):
        write(journal, *whole(number))
    journal.close()
    inserts, insert = iter(range(1_000)), databases.Postgresql.insert

    def insert_or_crash(self: databases.Postgresql, *args: Any) -> None:
        if next(inserts) in {1, 10, 23}:
            postgresql.crash(port)
        insert(self, *args)

    monkeypatch.setattr(databases.Postgresql, "insert", insert_or_crash)
    assert Shipper(folder, bulk_sink(uri)).drain(timeout=PATIENCE)

    counts = "SELECT count(*), count(DISTINCT trace_id) FROM spans"
    assert execute(port, counts, name=uri.rpartition("/")[2]) == [(200, 100)]
    assert list(folder.rejected.glob("*")) == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE alembic_version SET version_num = 'newer'",
        "UPDATE experiments SET lifecycle_stage = 'deleted'",
    ],
)
@pytest.mark.parametrize("driver", DRIVERS)
def test_a_change_between_looking_and_writing(
    new_database: Callable[[str], str], port: int, monkeypatch: pytest.MonkeyPatch, driver: str, statement: str
) -> None:
    """Nothing is written into a database that is upgraded, or an experiment that is deleted, meanwhile."""
    uri = new_database(driver)
    begin = databases.Postgresql.begin

    def begin_after_change(self: databases.Postgresql, cursor: Any) -> None:
        execute(port, statement, name=uri.rpartition("/")[2])
        begin(self, cursor)

    monkeypatch.setattr(databases.Postgresql, "begin", begin_after_change)

    assert bulk_sink(uri, no_public)._writer.write(batch(1), KnownModels()).stored == []
    assert execute(port, "SELECT count(*) FROM trace_info", name=uri.rpartition("/")[2]) == [(0,)]


FULL: Final = """
CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$
"""


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_full_disk(new_database: Callable[[str], str], port: int, driver: str) -> None:
    """A server without room is unavailable, keeps nothing of the batch, and takes it later."""
    uri = new_database(driver)
    name, sink = uri.rpartition("/")[2], bulk_sink(uri, no_public)
    execute(port, FULL, "CREATE TRIGGER full_disk BEFORE INSERT ON spans EXECUTE FUNCTION full_disk()", name=name)
    with pytest.raises(SinkUnavailable, match="No space left on device"):
        sink.write(batch(1, 2))
    assert execute(port, "SELECT count(*) FROM trace_info", name=name) == [(0,)]
    execute(port, "DROP TRIGGER full_disk ON spans", name=name)
    sink.write(batch(1, 2))

    assert execute(port, "SELECT count(*) FROM spans", name=name) == [(4,)]


@pytest.mark.parametrize("driver", DRIVERS)
def test_new_experiments(new_database: Callable[[str], str], port: int, driver: str) -> None:
    """New experiments are, column by column, those that MLflow creates."""
    ours, theirs = new_database(driver), new_database(driver)
    store = MlflowSink(theirs)._client.store
    for name in EXPERIMENTS:
        store.create_experiment(name)
    store.engine.dispose()
    bulk_sink(ours)._writer.create_experiments(EXPERIMENTS)

    question = "SELECT experiment_id, name, artifact_location, lifecycle_stage, workspace FROM experiments ORDER BY 1"
    rows = [execute(port, question, name=uri.rpartition("/")[2]) for uri in (ours, theirs)]
    assert rows[0] == rows[1]
    assert len(rows[0]) == len(EXPERIMENTS) + 1
    times = "SELECT count(*) FROM experiments WHERE creation_time = last_update_time AND creation_time > 1700000000000"
    assert execute(port, times, name=ours.rpartition("/")[2]) == [(len(EXPERIMENTS) + 1,)]
