"""What goes wrong while traces are written in bulk: they are stored exactly once, by one way or the other."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from mlflow.tracing.client import TracingClient

from langchain_autotrace.errors import SinkUnavailable, TraceRejected
from langchain_autotrace.ship.bulk import databases
from langchain_autotrace.ship.known_models import KnownModels
from langchain_autotrace.ship.mlflow_sink import MlflowSink
from langchain_autotrace.ship.shipper import Shipper
from tests.journal.support import INFO, ROOT, new_folder, new_journal
from tests.ship.bulk.support import bulk_sink, imported_by_delivery, no_public
from tests.ship.mlflow_support import in_experiment, rows, searched
from tests.ship.support import end, finished, start, trace_id, whole, write
from tests.support import stored

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from langchain_autotrace.trace.spans import Trace

PROGRAM = """
import sys
from tests.ship.bulk.support import bulk_sink
from tests.ship.support import finished, whole
sink = bulk_sink(sys.argv[1])
first, last, size = map(int, sys.argv[2:])
print("ready", flush=True)
for begin in range(first, last, size):
    sink.write([finished(*whole(number, spans=3)) for number in range(begin, begin + size)])
"""


def writer(uri: str, first: int, last: int, size: int) -> subprocess.Popen[str]:
    """A process that writes traces of these numbers in bulk, ``size`` in a batch."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, uri, str(first), str(last), str(size)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def ids(*numbers: int) -> list[str]:
    """The ids of traces."""
    return [f"tr-{trace_id(number)}" for number in numbers]


def batch(*numbers: int) -> list[Trace]:
    """Traces of two spans."""
    return [finished(*whole(number)) for number in numbers]


def test_a_writer_that_is_killed(store: str) -> None:
    """A writer that is killed has stored whole batches; the same traces written again are stored once."""
    process = writer(store, 0, 20_000, 50)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == "ready\n"
        while rows(store)["trace_info"] < 100:
            time.sleep(0.01)
        process.kill()
        process.wait()
    killed_at = rows(store)
    numbers = range(killed_at["trace_info"] - 20, killed_at["trace_info"] + 20)
    bulk_sink(store).write([finished(*whole(number, spans=3)) for number in numbers])

    assert killed_at["trace_info"] % 50 == 0
    assert killed_at["spans"] == 3 * killed_at["trace_info"]
    assert rows(store)["trace_info"] == killed_at["trace_info"] + 20
    assert rows(store)["spans"] == 3 * rows(store)["trace_info"]


def test_writers_at_once(store: str) -> None:
    """Two writers in bulk and one through MLflow's API, all of the same traces, store each once."""
    processes = [writer(store, 0, 60, 20) for _ in range(2)]
    public = MlflowSink(store)
    for number in range(0, 60, 4):
        public.write([finished(*whole(number, spans=3))])
    assert [process.wait(120) for process in processes] == [0, 0]
    for process in processes:
        process.communicate()

    assert searched(store) == ids(*range(60))
    assert rows(store)["spans"] == 180


def test_a_writer_that_was_faster(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trace that another writer stores between looking and writing is found when it is looked for again."""
    sink, other = bulk_sink(store), bulk_sink(store, no_public)
    looked: list[Any] = []
    look = type(sink._writer)._stored

    def look_too_early(self: Any, *args: Any) -> set[str]:
        if self is sink._writer and not looked:
            looked.append(True)
            return set()
        return look(self, *args)

    other.write(batch(2))
    monkeypatch.setattr(type(sink._writer), "_stored", look_too_early)
    sink.write(batch(1, 2, 3))

    assert (searched(store), sink.in_bulk) == (ids(1, 2, 3), 2)


def test_a_bad_row_among_others(store: str, tmp_path: Path) -> None:
    """A trace that the database refuses is set aside alone; the others are stored, most of them in bulk."""
    folder = new_folder(tmp_path)
    journal = new_journal(folder)
    for number in range(40):
        first, last = start(number, 1), end(number, 1)
        if number == 17:
            first, last = first._replace(time_ns=2**63), last._replace(time_ns=2**63)
        write(journal, first, last)
    journal.close()
    sink = bulk_sink(store)

    assert Shipper(folder, sink).drain(timeout=100.0)
    assert searched(store) == ids(*(number for number in range(40) if number != 17))
    assert [path.stem for path in folder.rejected.iterdir()] == [trace_id(17)]
    assert sink.in_bulk == 39
    assert folder.read_status()["in_bulk"] == 39


def test_a_rejected_batch_is_not_stored(store: str) -> None:
    """When one trace is refused, nothing of the batch is stored in bulk, and the error says why."""
    far = finished(start(2, 1)._replace(time_ns=2**63), end(2, 1)._replace(time_ns=2**63))

    with pytest.raises(TraceRejected, match="too large"):
        bulk_sink(store).write([*batch(1), far])
    assert rows(store)["trace_info"] == 0


def test_what_was_stored_in_bulk_is_not_written_again(store: str) -> None:
    """After the public way has failed, the retry writes what is left, not what was stored in bulk."""
    down = [SinkUnavailable("down"), None]
    given: list[list[str]] = []

    class Public(MlflowSink):
        def write(self, batch: list[Trace]) -> list[Any]:  # type: ignore[override] # what the bulk sink gives
            given.append([trace.trace_id for trace in batch])
            if error := down.pop(0):
                raise error
            return super().write(batch)

    sink = bulk_sink(store, lambda: Public(store))
    resumed = finished(*whole(2))._replace(resumed_thread="t")
    both = [*batch(1), resumed]
    with pytest.raises(SinkUnavailable):
        sink.write(both)
    sink.write(both)

    assert given == [[trace_id(2)], [trace_id(2)]]
    assert (searched(store), sink.in_bulk, sink._written) == (ids(1, 2), 1, {})


def test_the_same_batch_again(store: str) -> None:
    """Traces that are stored already, as a killed shipper has left them, are not written again, nor by MLflow's API."""
    bulk_sink(store).write(batch(1, 2))
    before = [trace.to_json() for trace in stored(store)]
    sink = bulk_sink(store, no_public)
    sink.write(batch(1, 2, 3))

    assert [trace.to_json() for trace in stored(store)][:2] == before
    assert (searched(store), sink.in_bulk) == (ids(1, 2, 3), 1)


def test_a_trace_that_was_stored_in_part(store: str) -> None:
    """A trace of which some spans are missing, or other, is completed through MLflow's API."""
    bulk_sink(store).write(batch(1, 2))
    changed("DELETE FROM spans WHERE trace_id LIKE '%1' AND parent_span_id IS NOT NULL")(store)
    changed("UPDATE spans SET content = replace(content, 'outputs', 'other') WHERE trace_id LIKE '%2'")(store)
    sink = bulk_sink(store)
    sink.write(batch(1, 2))

    assert ([len(trace.data.spans) for trace in stored(store)], sink.in_bulk) == ([2, 2], 0)
    assert [span.outputs for trace in stored(store) for span in trace.data.spans] == 2 * ["outputs 1", "outputs 2"]


@pytest.mark.parametrize("together", [False, True])
def test_spans_that_come_late(store: str, *, together: bool) -> None:
    """Late spans of a trace that was stored in bulk replace the open ones."""
    first = finished(start(1, 1), start(1, 2, 1), end(1, 1))
    late = finished(start(1, 2, 1), start(1, 3, 2), end(1, 3), end(1, 2))
    sink = bulk_sink(store)
    for parts in [[first, late]] if together else [[first], [late]]:
        sink.write(parts)

    (trace,) = stored(store)
    assert [(span.name, span.end_time_ns is None) for span in trace.data.spans] == [
        ("span 1", False),
        ("span 2", False),
        ("span 3", False),
    ]


def test_an_id_of_another_program(store: str) -> None:
    """A trace whose id a trace of another program has gets another one, as through MLflow's API."""
    first, second = (
        finished(start(1, 1, at=at, run_id="r"), end(1, 1, at=at + 1))._replace(process=INFO._replace(pid=pid))
        for at, pid in ((0, 1), (50, 2))
    )
    sink = bulk_sink(store)
    sink.write([first])
    sink.write([second])
    sink.write([second])

    assert rows(store)["trace_info"] == 2


def test_an_experiment_that_is_deleted_meanwhile(store: str) -> None:
    """Traces of a deleted experiment wait, as through MLflow's API, and are stored in bulk when it is restored."""
    sink, client = bulk_sink(store), TracingClient(store)

    def traces(number: int) -> list[Trace]:
        context = in_experiment(experiment="mine")
        return [finished(start(number, 1, context=context), end(number, 1)), *batch(number + 1)]

    sink.write(traces(1))
    experiment_id = client.store.get_experiment_by_name("mine").experiment_id
    client.store.delete_experiment(experiment_id)
    with pytest.raises(SinkUnavailable, match="the experiment 'mine' was deleted"):
        sink.write(traces(3))
    client.store.restore_experiment(experiment_id)
    sink.write(traces(3))

    assert [trace.info.trace_id for trace in stored(store)] == ids(1, 2, 3, 4)


def test_a_new_database_and_experiment(tmp_path: Path) -> None:
    """MLflow creates a database and an experiment that are missing; all traces are then written in bulk."""
    uri = f"sqlite:///{tmp_path / 'new.db'}"
    sink = bulk_sink(uri)
    sink.write([finished(start(1, 1, context=in_experiment(experiment="mine")), end(1, 1)), *batch(2, 3)])

    assert [trace.info.trace_id for trace in stored(uri)] == ids(1, 2, 3)
    assert sink.in_bulk == 3


def test_a_locked_database(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that somebody else holds is unavailable, and takes the same batch later."""
    monkeypatch.setattr(databases, "_BUSY_SECONDS", 0.1)
    sink = bulk_sink(store, no_public)
    with closing(sqlite3.connect(store.removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(SinkUnavailable, match=rf"^{store}: another program keeps the database locked"):
            sink.write(batch(1))
        other.execute("ROLLBACK")
    sink.write(batch(1))

    assert searched(store) == ids(1)


def test_a_full_disk(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk without room is unavailable, leaves nothing behind, and takes the same batch later."""
    sink = bulk_sink(store, no_public)
    begin = databases.Sqlite.begin

    def begin_on_a_full_disk(self: databases.Sqlite, cursor: sqlite3.Cursor) -> None:
        pages = cursor.execute("PRAGMA page_count").fetchone()[0]
        cursor.execute(f"PRAGMA max_page_count = {pages + 5}")
        begin(self, cursor)

    with monkeypatch.context() as patch:
        patch.setattr(databases.Sqlite, "begin", begin_on_a_full_disk)
        with pytest.raises(SinkUnavailable, match="the disk of the database is full"):
            sink.write(batch(*range(200)))
    assert rows(store) == dict.fromkeys(rows(store), 0)
    sink.write(batch(*range(200)))

    assert rows(store)["trace_info"] == 200


def changed(statement: str) -> Callable[[str], None]:
    """Changes a database by a statement."""

    def change(uri: str) -> None:
        with closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as database, database:
            database.execute(statement)

    return change


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE spans ADD COLUMN more TEXT",
        "UPDATE experiments SET artifact_location = 'odd?a=b' WHERE experiment_id = 0",
    ],
)
def test_a_database_that_is_not_as_known(store: str, statement: str) -> None:
    """Where a table has another column, or a folder an odd address, MLflow's API is used."""
    changed(statement)(store)
    sink = bulk_sink(store)
    sink.write(batch(1))

    assert (rows(store)["trace_info"], sink.in_bulk) == (1, 0)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE alembic_version SET version_num = 'another'",
        "UPDATE experiments SET workspace = 'team'",
    ],
)
def test_a_database_of_another_version(store: str, statement: str) -> None:
    """A database of another revision, or with workspaces, is left to MLflow, which may refuse it."""
    sink = bulk_sink(store)
    sink.write(batch(1))
    changed(statement)(store)

    written = sink._writer.write(batch(2), KnownModels())
    assert ([], [], [trace_id(2)]) == (
        written.stored,
        written.homeless,
        [trace.trace_id for trace in written.left],
    )


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE alembic_version SET version_num = 'newer'",
        "UPDATE experiments SET lifecycle_stage = 'deleted'",
        "UPDATE experiments SET artifact_location = '/elsewhere'",
    ],
)
def test_a_change_between_looking_and_writing(store: str, monkeypatch: pytest.MonkeyPatch, statement: str) -> None:
    """Nothing is written into a database that is upgraded, or an experiment that is deleted or moved, meanwhile."""
    sink = bulk_sink(store)
    begin = databases.Sqlite.begin

    def begin_after_change(self: databases.Sqlite, cursor: sqlite3.Cursor) -> None:
        changed(statement)(store)
        begin(self, cursor)

    monkeypatch.setattr(databases.Sqlite, "begin", begin_after_change)

    assert sink._writer.write(batch(1), KnownModels()).stored == []
    assert rows(store)["trace_info"] == 0


@pytest.mark.parametrize("variable", ["MLFLOW_ENABLE_WORKSPACES", "MLFLOW_SQL_TRACE_ROLLUPS_ENABLED"])
def test_other_stores(store: str, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """Where MLflow is told to write more than a trace's rows, nothing is written in bulk."""
    assert databases.database(store) is not None
    monkeypatch.setenv(variable, "true")
    assert databases.database(store) is None


@pytest.mark.parametrize("uri", ["sqlite://", "sqlite:///:memory:", "sqlite:////x.db?a=b", "mysql://h/d", "http://h"])
def test_no_database_to_write_to_in_bulk(uri: str) -> None:
    """In-memory databases, databases with options, of other kinds, and servers are not written to in bulk."""
    assert databases.database(uri) is None


def test_no_mlflow(store: str) -> None:
    """New traces of LangChain's runs are stored in an existing database without importing MLflow."""
    assert imported_by_delivery(store, *whole(1), start(2, 1, run_id="r"), end(2, 1)) == ("[]\n", "")
    assert searched(store) == ids(1, 2)
