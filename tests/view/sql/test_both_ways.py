"""What is read from the tables of a database is what MLflow's API gives."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from langchain_autotrace.errors import SinkError
from langchain_autotrace.view import sources, traces
from langchain_autotrace.view.sql.tables_source import TablesSource
from langchain_autotrace.view.traces import TraceTree
from tests.ship.bulk.corpus import EXAMPLES
from tests.ship.bulk.corpus import traces as example
from tests.ship.bulk.support import bulk_sink
from tests.view.sql.ways import both, rows, trees, without_mlflow
from tests.view.support import cli

if TYPE_CHECKING:
    from collections.abc import Callable

ONLY_MLFLOW = {"attributes of other tracers", "usage of other tracers"}
"""Examples of which a span is read by MLflow: it may know its type by another tracer's attributes."""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> str:
    """A database with all examples, of which each is the trace with its number."""
    path = tmp_path_factory.mktemp("corpus") / "mlflow.db"
    path.write_bytes(empty_database.read_bytes())
    uri = f"sqlite:///{path}"
    sink = bulk_sink(uri)
    for number, name in enumerate(EXAMPLES, start=1):
        with contextlib.suppress(SinkError):
            sink.write(example(number, name))
    return uri


def test_each_example(corpus: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each kind of trace is read the same in all fields, whichever way; nearly all of them without MLflow."""
    names = {f"tr-{number:032x}": name for number, name in enumerate(EXAMPLES, start=1)}
    stored = {trace_id: names[trace_id] for trace_id in [row.trace_id for row in rows(corpus)[0]]}
    readable = []
    for trace_id, name in stored.items():
        tables, api = trees(corpus, trace_id)
        assert tables == api, name
        readable += [] if isinstance(api, str) or name in ONLY_MLFLOW else [trace_id]
    assert len(readable) > len(EXAMPLES) - 10
    with without_mlflow(monkeypatch):
        for trace_id in readable:
            traces.tree(corpus, trace_id)


def test_the_list(corpus: str) -> None:
    """All traces are listed the same, in the same order."""
    tables, api = rows(corpus)
    assert tables == api
    assert len(tables) > len(EXAMPLES) - 5


def test_what_is_added_later(store: str) -> None:
    """Tags that are set and deleted later, and an assessment, change nothing about both ways being the same."""
    from mlflow import MlflowClient
    from mlflow.entities import Feedback
    from mlflow.tracing.client import TracingClient

    bulk_sink(store).write(example(1, "chain"))
    client = MlflowClient(store)
    client.set_trace_tag(f"tr-{1:032x}", "late", "1")
    client.delete_trace_tag(f"tr-{1:032x}", "a")
    TracingClient(store).log_assessment(f"tr-{1:032x}", Feedback(name="good", value=True))

    tables, api = trees(store, f"tr-{1:032x}")
    assert tables == api
    assert isinstance(tables, TraceTree)
    assert tables.row.tags == {"b": "true", "late": "1"}


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE spans SET content = ''",
        "UPDATE spans SET content = replace(content, 'STATUS_CODE_OK', 'OK')",
        "DELETE FROM trace_tags WHERE key = 'mlflow.trace.spansLocation'",
        "DELETE FROM spans WHERE parent_span_id IS NOT NULL",
    ],
)
def test_what_only_mlflow_can_read(store: str, change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans that are elsewhere, of another form or not all there are left to MLflow's API."""
    from langchain_autotrace.view.api_source import ApiSource

    bulk_sink(store).write(example(1, "two spans"))
    with closing(sqlite3.connect(store.removeprefix("sqlite:///"))) as connection:
        connection.execute(
            "INSERT INTO trace_request_metadata (request_id, key, value) "
            """SELECT request_id, 'mlflow.trace.sizeStats', '{"num_spans": 2}' FROM trace_info"""
        )
        connection.execute(change)
        connection.commit()
    asked: list[str] = []
    monkeypatch.setattr(ApiSource, "trace", lambda _, trace_id: asked.append(trace_id))

    with sources.reading(store) as source:
        source.trace(f"tr-{1:032x}")
    assert asked == [f"tr-{1:032x}"]


IDS = ["last", "1", "0", "00000000", "2a", "tr-", "tr-0000000000000000000000000000000a", "f" * 32, "_", "%", "x'y", "A"]


def test_abbreviated_ids(corpus: str) -> None:
    """The first or last digits of an id find the same trace, or raise the same error."""
    for wanted in IDS:
        tables, api = trees(corpus, wanted)
        assert tables == api, wanted


def test_experiments(corpus: str) -> None:
    """Experiments are looked in by name, also deleted ones; an unknown name is answered with those that there are."""
    from mlflow import MlflowClient

    client = MlflowClient(corpus)
    client.create_experiment("new")
    client.delete_experiment(client.create_experiment("deleted"))
    for name in ("Default", "new", "deleted", "gone"):
        tables, api = trees(corpus, "last", experiment=name)
        assert tables == api, name
    with both(corpus) as (ours, mlflows):
        assert list(ours.experiments()) == list(mlflows.experiments())


def test_unknown_revision(store: str) -> None:
    """A database of another revision is read through MLflow's API, or not at all, as it says."""
    with closing(sqlite3.connect(store.removeprefix("sqlite:///"))) as connection:
        connection.execute("ALTER TABLE trace_info ADD COLUMN more INTEGER")
        connection.commit()
    with sources.reading(store) as source:
        assert not isinstance(source, TablesSource)


def test_file_that_is_replaced(store: str, new_store: Callable[[Path], str], tmp_path: Path) -> None:
    """A file that another one takes the place of is read anew, and no longer open."""
    other = new_store(tmp_path)
    bulk_sink(other).write(example(1, "chain"))
    assert traces.newest(store, limit=5) == []
    Path(other.removeprefix("sqlite:///")).rename(store.removeprefix("sqlite:///"))
    assert [row.trace_id for row in traces.newest(store, limit=5)] == [f"tr-{1:032x}"]
    if (opened := Path("/proc/self/fd")).exists():
        files = [str(one.readlink()) for one in opened.iterdir() if one.is_symlink()]
        assert [file for file in files if file.startswith(str(tmp_path)) and file.endswith("(deleted)")] == []


def test_nothing_can_be_written(store: str) -> None:
    """The connection that reads writes nothing."""
    from langchain_autotrace.ship.bulk.databases import database

    found = database(store)
    assert found is not None
    with found.reading() as connection, pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("DELETE FROM experiments")


@pytest.mark.parametrize("command", ["list", "show last", "doctor"])
def test_a_writer_that_was_killed_in_a_commit(store: str, tmp_path: Path, command: str) -> None:
    """What it left half done is undone by whoever reads first, and the traces of before are shown."""
    bulk_sink(store).write(example(1, "chain"))
    source, killed = (f"{tmp_path}/{name}" for name in ("mlflow.db", "killed.db"))
    with closing(sqlite3.connect(source, isolation_level=None)) as writer:
        writer.execute("PRAGMA cache_size = 1")  # what is changed goes to the file before the commit
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("CREATE TABLE filler AS SELECT a.content, b.span_id FROM spans a, spans b, spans c")
        writer.execute("UPDATE trace_info SET request_preview = 'half done'")
        writer.execute("INSERT INTO filler SELECT * FROM filler")
        for end in ("", "-journal"):
            shutil.copyfile(source + end, killed + end)
    assert b"half done" in Path(killed).read_bytes()

    result = cli(*command.split(), "--tracking-uri", f"sqlite:///{killed}")
    assert (result.exit_code, "half done" in result.stdout) == (0, False), result.stdout
    assert not Path(f"{killed}-journal").exists()
