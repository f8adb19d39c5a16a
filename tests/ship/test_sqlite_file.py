"""A database whose file is removed, moved or replaced while it is written, and the statistics that keep it fast."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy.event
from mlflow.tracing.client import TracingClient

from langchain_autotrace.errors import SinkUnavailable
from langchain_autotrace.ship.mlflow_sink import MlflowSink
from langchain_autotrace.ship.sqlite_file import DatabaseFile, artifacts_beside
from tests.journal.support import new_journal
from tests.patience import PATIENCE
from tests.ship.mlflow_support import in_experiment, searched
from tests.ship.support import Clock, end, finished, shipper_of, start, status_of, trace_id, whole, write
from tests.support import stored

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_autotrace.journal.folder import DestinationFolder
    from langchain_autotrace.trace.spans import Trace


def file_of(uri: str) -> Path:
    """The file of a database."""
    return Path(uri.removeprefix("sqlite:///"))


def traces_in(path: Path) -> list[str]:
    """The ids of the traces that a file holds."""
    with closing(sqlite3.connect(path)) as database:
        return [name for (name,) in database.execute("SELECT request_id FROM trace_info ORDER BY 1")]


def ids(*numbers: int) -> list[str]:
    """The ids of traces as MLflow has them."""
    return [f"tr-{trace_id(number)}" for number in numbers]


def in_named(number: int, name: str) -> Trace:
    """A trace of an experiment."""
    return finished(start(number, 1, context=in_experiment(experiment=name)), end(number, 1))


def removed(path: Path, _: Path) -> None:
    """``rm mlflow.db``."""
    path.unlink()


def folder_renamed(path: Path, _: Path) -> None:
    """``mv project old``."""
    path.parent.rename(path.parent.with_name("old"))


def backup_moved(path: Path, backup: Path) -> None:
    """``mv backup.db mlflow.db``."""
    backup.rename(path)


def backup_copied(path: Path, backup: Path) -> None:
    """``cp backup.db mlflow.db``: the file stays, and its content is another."""
    shutil.copy(backup, path)


@pytest.mark.parametrize("how", [removed, folder_renamed, backup_moved, backup_copied])
def test_database_that_goes_away(
    tmp_path: Path,
    empty_database: Path,
    folder: DestinationFolder,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    how: Callable[[Path, Path], None],
) -> None:
    """A shipper notices that its database is another file, warns once, and stores new traces in the one at its path."""
    path, backup = tmp_path / "project" / "mlflow.db", tmp_path / "backup.db"
    path.parent.mkdir()
    shutil.copy(empty_database, path)
    shutil.copy(empty_database, backup)
    uri, journal = f"sqlite:///{path}", new_journal(folder)
    shipper = shipper_of(folder, MlflowSink(uri), clock)  # type: ignore[arg-type] # a real sink
    write(journal, *whole(1))
    assert shipper.drain(timeout=PATIENCE)
    how(path, backup)
    for number in (2, 3):
        write(journal, *whole(number))
        assert shipper.drain(timeout=PATIENCE)
    journal.close()

    assert traces_in(path) == searched(uri) == ids(2, 3)
    assert [trace.data.spans[0].name for trace in stored(uri)] == ["span 1", "span 1"]
    assert (status_of(folder)["delivered"], status_of(folder)["rejected"]) == (3, 0)
    warned = [] if how is backup_copied else [f"{path} was removed or replaced; opening it anew"]
    assert [text for text in caplog.messages if str(path) in text] == warned


def test_backup_with_other_experiments(tmp_path: Path, new_store: Callable[[Path], str]) -> None:
    """A trace goes to the experiment of its name, also where that has another id since a backup was restored."""
    uri, other = new_store(tmp_path), new_store(tmp_path)
    MlflowSink(other).write([in_named(8, "first"), in_named(9, "second")])
    sink = MlflowSink(uri)
    sink.write([in_named(1, "second")])
    backup_moved(file_of(uri), file_of(other))
    sink.write([in_named(2, "second"), in_named(3, "third")])

    assert experiments(file_of(uri)) == dict(zip(ids(2, 3, 8, 9), ("second", "third", "first", "second"), strict=True))


def test_backup_without_the_experiment(store: str, empty_database: Path) -> None:
    """An experiment that a backup copied over the database does not have is made anew, for every trace."""
    sink = MlflowSink(store)
    sink.write([in_named(1, "mine")])
    backup_copied(file_of(store), empty_database)
    sink.write([in_named(2, "mine")])

    assert experiments(file_of(store)) == dict(zip(ids(2), ("mine",), strict=True))


def experiments(path: Path) -> dict[str, str]:
    """Trace id -> name of its experiment."""
    with closing(sqlite3.connect(path)) as database:
        return dict(database.execute("SELECT request_id, name FROM trace_info JOIN experiments USING (experiment_id)"))


def test_file_replaced_while_it_is_written(tmp_path: Path) -> None:
    """What was written to a file that was removed meanwhile is written again."""
    path, reopened = tmp_path / "a.db", []
    path.touch()
    watched = DatabaseFile(path, lambda: reopened.append(path.exists()))
    with watched.held():
        pass
    with pytest.raises(SinkUnavailable, match=r"a\.db was removed or replaced while it was written\."), watched.held():
        path.unlink()
    with watched.held():
        path.touch()
    with watched.held():
        pass
    assert reopened == [False]


def test_artifacts_of_a_new_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The artifacts of a database that is made anew are beside its file, wherever the process works."""
    with artifacts_beside(tmp_path / "a.db"):
        first = _root()
        with artifacts_beside(tmp_path / "other" / "b.db"):
            assert _root() == first
    assert (first, _root()) == (str(tmp_path / "mlruns"), None)
    monkeypatch.setenv("_MLFLOW_SERVER_ARTIFACT_ROOT", "s3://bucket")
    with artifacts_beside(tmp_path / "a.db"):
        assert _root() == "s3://bucket"


def _root() -> str | None:
    return os.environ.get("_MLFLOW_SERVER_ARTIFACT_ROOT")


def statistics(path: Path) -> dict[str, int]:
    """Table -> number of rows when it was analyzed."""
    with closing(sqlite3.connect(path)) as database:
        if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_stat1'").fetchone():
            return {}
        found = database.execute("SELECT tbl, stat FROM sqlite_stat1").fetchall()
    return {table: int(stat.split()[0]) for table, stat in found}


def test_statistics(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table of spans, and no other, is analyzed once it has enough rows, and whenever it has grown tenfold."""
    monkeypatch.setattr("langchain_autotrace.ship.sqlite_file._MIN_ROWS", 10)
    seen = []
    sink = MlflowSink(store)
    for first, last in ((1, 5), (5, 6), (6, 49), (49, 50), (50, 51)):
        sink.write([finished(*whole(number)) for number in range(first, last)])
        seen.append(statistics(file_of(store)))
    assert seen == [{}, {"spans": 10}, {"spans": 10}, {"spans": 10}, {"spans": 100}]


def test_statistics_of_the_user(store: str) -> None:
    """A table that somebody has analyzed already is not analyzed again."""
    sink = MlflowSink(store)
    sink.write([finished(*whole(1, spans=150))])
    with closing(sqlite3.connect(file_of(store))) as database:
        database.execute("UPDATE sqlite_stat1 SET stat = '20 1'")
        database.commit()
    sink = MlflowSink(store)
    sink.write([finished(*whole(2))])
    assert statistics(file_of(store)) == {"spans": 20}


def test_search_uses_the_statistics(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With statistics, MLflow's text filter looks up the spans of a trace, and not for each trace those of all."""
    monkeypatch.setattr("langchain_autotrace.ship.sqlite_file._MIN_ROWS", 1_000)
    sink = MlflowSink(store)
    sink.write([finished(*whole(number)) for number in range(1, 101)])
    before = plans_of_search(store)
    monkeypatch.setattr("langchain_autotrace.ship.sqlite_file._MIN_ROWS", 100)
    MlflowSink(store).write([finished(*whole(101))])

    assert (before, plans_of_search(store)) == ({"experiment_id"}, {"trace_id"})


def plans_of_search(uri: str) -> set[str]:
    """By which column SQLite looks up spans in a search for a text."""
    plans: list[str] = []

    def explain(_: object, cursor: sqlite3.Cursor, statement: str, values: Any, *_rest: object) -> None:
        if "spans" in statement:
            plans.extend(row[3] for row in cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", values))

    engine = TracingClient(uri).store.engine
    engine.dispose()
    sqlalchemy.event.listen(engine, "before_cursor_execute", explain)
    try:
        TracingClient(uri).search_traces(locations=["0"], filter_string="trace.text ILIKE '%nothing%'")
    finally:
        sqlalchemy.event.remove(engine, "before_cursor_execute", explain)
    return {plan.rpartition("(")[2].partition("=")[0] for plan in plans if "spans" in plan}
