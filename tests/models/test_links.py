"""Traces of chains that are logged are stored in the fast ways, and name their models as if MLflow had stored them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import mlflow
import pytest

import langchain_autotrace
from langchain_autotrace.errors import SinkUnavailable
from langchain_autotrace.journal.folder import all_folders
from langchain_autotrace.records import PendingModel, TraceFile
from langchain_autotrace.ship import model_links, template
from langchain_autotrace.ship.mlflow_sink import MlflowSink
from langchain_autotrace.ship.model_store import ModelStore
from langchain_autotrace.ship.two_ways import TwoWaySink
from langchain_autotrace.trace.spans import Trace
from tests.full_server import tracking_server
from tests.models.chains import CHAIN, chain
from tests.models.support import Logged, logged, models
from tests.models.test_faults import MODELS, seen
from tests.ship.bulk import postgresql
from tests.ship.bulk.support import Pair, bulk_sink, tables
from tests.ship.bulk.test_postgresql import execute, uri_of
from tests.ship.mlflow_support import in_experiment
from tests.ship.rest.support import ServerPair, rest_sink
from tests.ship.server import Answer, FakeServer, running
from tests.ship.support import end, finished, start, trace_id
from tests.support import stored
from tests.uncovered import unmeasured

ROOT: Final = Path(__file__).parent.parent.parent
OTHER: Final = "b" * 64
"""The hash of a chain that no run has described."""


def of_chain(number: int, *others: Any, content_hash: str | None = None, **metadata: str) -> Trace:
    """A trace of the chain, or of the one with a hash."""
    details = {"content_hash": content_hash or seen().content_hash}
    first = start(number, 1, run_id="r", at=number, details=details, context=in_experiment(metadata=metadata))
    return finished(first, *others, end(number, 1, at=number + 1))


def described(number: int) -> Trace:
    """The trace of the chain's first run in a process."""
    return of_chain(number, seen()._replace(trace_id=trace_id(number)))


def ids(*numbers: int) -> list[str]:
    """The ids of traces."""
    return [f"tr-{trace_id(number)}" for number in numbers]


# The same, whichever way.


def databases(tmp_path: Path, empty_database: Path, _: Callable[[str], str], __: ExitStack) -> Pair:
    """Two SQLite databases."""
    first, second = (tmp_path / name for name in ("first.db", "second.db"))
    for path in (first, second):
        shutil.copy(empty_database, path)
    return Pair(f"sqlite:///{first}", f"sqlite:///{second}")


def servers(tmp_path: Path, empty_database: Path, fixture: Callable[[str], str], running: ExitStack) -> Pair:
    """Two tracking servers."""
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        folder.mkdir()
        shutil.copy(empty_database, folder / "mlflow.db")
    first, second = (running.enter_context(tracking_server(fixture("full_mlflow"), folder)) for folder in folders)
    return ServerPair((first, second), (f"sqlite:///{folders[0]}/mlflow.db", f"sqlite:///{folders[1]}/mlflow.db"))


def of_postgresql(_: Path, __: Path, ___: Callable[[str], str], running: ExitStack) -> Pair:
    """Two PostgreSQL databases."""
    port = running.enter_context(postgresql.server())
    execute(port, "CREATE DATABASE template")
    MlflowSink(uri_of(port, "template"))._client.store.engine.dispose()
    for name in ("first", "second"):
        execute(port, f"CREATE DATABASE {name} TEMPLATE template")
    return Pair(uri_of(port, "first"), uri_of(port, "second"))


NO_POSTGRESQL: Final = pytest.mark.skipif(postgresql.programs() is None, reason="PostgreSQL is not installed")


@pytest.fixture(
    params=[
        databases,
        pytest.param(servers, marks=pytest.mark.server),
        pytest.param(of_postgresql, marks=[pytest.mark.long, NO_POSTGRESQL]),
    ]
)
def pair(request: pytest.FixtureRequest, tmp_path: Path, empty_database: Path) -> Iterator[Pair]:
    """Two stores of a kind: one for the fast way, one for MLflow's API."""
    with ExitStack() as running:
        yield request.param(tmp_path, empty_database, request.getfixturevalue, running)


def client_of(sink: TwoWaySink | MlflowSink) -> mlflow.MlflowClient:
    """MLflow's client of the sink's store."""
    return ModelStore(sink._uri).client


def content(uri: str, model_ids: list[str]) -> list[str]:
    """All rows of a database, but times of models and ids of them."""
    found = tables(uri)
    for row in found.get("logged_models", []):
        del row["creation_timestamp_ms"], row["last_updated_timestamp_ms"]
    texts = [f"{table}: {row}" for table, rows in found.items() for row in rows]
    for number, model_id in enumerate(model_ids):
        texts = [text.replace(model_id, f"model {number}") for text in texts]
    return sorted(texts)


def write(pair: Pair, *batch: Trace) -> list[PendingModel]:
    """Write to both; return what is to be logged, which is the same, and log it."""
    ours, theirs = pair.bulk.write(batch), pair.public.write(batch)
    assert sorted(ours) == sorted(theirs)
    pair.bulk.log_models(ours)
    pair.public.log_models(theirs)
    return ours


def named(uri: str) -> dict[str, str]:
    """Trace id -> the model that the trace names."""
    rows = tables(uri)["trace_request_metadata"]
    return {row["request_id"]: row["value"] for row in rows if row["key"] == "mlflow.modelId"}


def test_each_way(pair: Pair) -> None:
    """Traces of a chain whose model is new, known, deleted, or set by the program leave the same rows, all linked."""
    sinks: list[TwoWaySink | MlflowSink] = [pair.bulk, pair.public]
    own = of_chain(3, **{"mlflow.modelId": "m-own"})
    of_run = of_chain(4, content_hash=OTHER, **{"mlflow.sourceRun": "f" * 32})
    first = write(pair, described(1), of_chain(2), own, of_run)
    assert [(one.content_hash, one.run_id, one.trace_ids, one.form is None) for one in first] == [
        (seen().content_hash, None, ids(1, 2), False),
        (OTHER, "f" * 32, ids(4), True),
    ]
    old = [model.model_id for sink in sinks for model in client_of(sink).search_logged_models(["0"])]
    assert write(pair, of_chain(5), of_chain(6)) == []

    for sink, model_id in zip(sinks, old, strict=True):
        client_of(sink).delete_logged_model(model_id)
    assert [one.trace_ids for one in write(pair, of_chain(7))] == [ids(7)]
    assert write(pair, of_chain(8)) == []
    new = [model.model_id for sink in sinks for model in client_of(sink).search_logged_models(["0"])]

    assert pair.bulk.in_bulk == 8
    for uri, before, now in zip(pair.uris, old, new, strict=True):
        models = dict.fromkeys(ids(1, 2, 5, 6), before) | {ids(3)[0]: "m-own"} | dict.fromkeys(ids(7, 8), now)
        assert named(uri) == models
    assert content(pair.uris[0], [old[0], new[0]]) == content(pair.uris[1], [old[1], new[1]])


def test_both_ways_at_once(store: str) -> None:
    """Traces of a chain that go through MLflow's API, as one with a file does, name the same model as the others."""
    sink = bulk_sink(store)
    file = TraceFile(trace_id(2), str(UUID(int=2)), "aGVsbG8=")
    sink.log_models(sink.write([of_chain(1), of_chain(2, seen()._replace(trace_id=trace_id(2)), file), of_chain(3)]))
    assert sink.write([of_chain(4, file._replace(trace_id=trace_id(4), file_id=str(UUID(int=4)))), of_chain(5)]) == []

    (model,) = models(store)
    assert named(store) == dict.fromkeys(ids(1, 2, 3, 4, 5), model.model_id)
    assert sink.in_bulk == 3


def test_many_traces_before_their_model(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Traces stored by the hundred before their model is logged are linked to it by the hundred, those left as well."""
    monkeypatch.setattr(model_links, "_rewrite", None)  # MLflow's API, which takes a call or two for each trace
    sink, numbers = bulk_sink(store), range(1, 1_203)
    own = of_chain(1_203, **{"mlflow.modelId": "m-own"})
    pending = sink.write([described(1), *map(of_chain, numbers[1:]), own])
    gone = PendingModel("", "0", seen().content_hash, None, ["tr-gone", *ids(1_203)], None)
    sink.log_models([*pending, gone])

    (model,) = models(store)
    assert named(store) == {**dict.fromkeys(ids(*numbers), model.model_id), ids(1_203)[0]: "m-own"}


# When MLflow is imported, and what may happen until then.

DELIVERY: Final = """
import sys
from pathlib import Path
from langchain_autotrace.journal.folder import DestinationFolder
from langchain_autotrace.ship.connect import open_sink
from langchain_autotrace.ship.shipper import Shipper

folder = DestinationFolder(Path(sys.argv[1]))
sink = open_sink(folder)
log_models = sink.log_models

def log_after_looking(models):
    print(sink.in_bulk, sorted({"mlflow", "sqlalchemy", "pandas"} & set(sys.modules)))
    log_models(models)

sink.log_models = log_after_looking
print(Shipper(folder, sink).drain(timeout=100))
"""


def delivered() -> str:
    """Deliver by a process of its own, and return what it prints."""
    (folder,) = all_folders()
    done = subprocess.run(
        [sys.executable, "-c", DELIVERY, str(folder.path)],
        env={**unmeasured(), "PYTHONPATH": str(ROOT), "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def trace_twice(uri: str) -> None:
    """Run a chain twice."""
    langchain_autotrace.autolog(tracking_uri=uri, shipper="external", log_models=True)
    for topic in ("x", "y"):
        chain().invoke({"topic": topic})


def test_a_new_database(tmp_path: Path, empty_database: Path) -> None:
    """Where MLflow has made a database before, traces are in a new one, linked later, before MLflow is imported."""
    template.keep(f"sqlite:///{empty_database}", empty_database, mlflow.__version__)
    uri = f"sqlite:///{tmp_path}/project/new.db"
    (tmp_path / "project").mkdir()
    trace_twice(uri)

    assert delivered() == "2 []\nTrue\n"
    assert logged(uri) == [Logged(CHAIN, "READY", "true", 2)]
    assert sorted(path.name for path in (tmp_path / "project").iterdir()) == ["mlruns", "new.db"]
    assert not (tmp_path / "mlruns").exists()


def test_a_model_of_another_process(store: str) -> None:
    """Traces of a chain that another process has logged are stored before MLflow is imported, which finds the model."""
    sink = bulk_sink(store)
    sink.log_models(sink.write([described(1)]))
    trace_twice(store)

    assert delivered() == "2 []\nTrue\n"
    assert logged(store) == [Logged("chain", "READY", "true", 3)]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FakeServer]:
    """A tracking server that knows no models."""
    with running(FakeServer(str(tmp_path))) as started:
        yield started


def test_a_server(server: FakeServer) -> None:
    """At a tracking server, too, traces are stored before MLflow is imported for their model."""
    server.answers[MODELS] = [Answer(404, "<html>", "text/html")] * 10
    trace_twice(server.url)

    assert delivered() == "2 []\nTrue\n"
    assert len(server.rows) == 2


def test_a_server_that_ends_before_the_model(tmp_path: Path) -> None:
    """When the server is down by the time the model is to be logged, that is said at once, and the model waits."""
    with running(FakeServer(str(tmp_path))) as started:
        sink = rest_sink(started.url)
        pending = sink.write([described(1)])
    with pytest.raises(SinkUnavailable, match="cannot reach the server"):
        sink.log_models(pending)
    assert sink.notes == []


def test_a_database_that_is_replaced(tmp_path: Path, new_store: Callable[[Path], str]) -> None:
    """A model goes into the file that is at the database's path now, as its traces do, and none names the old one."""
    uri, other = new_store(tmp_path), new_store(tmp_path)
    sink = bulk_sink(uri)
    sink.log_models(sink.write([described(1)]))
    Path(other.removeprefix("sqlite:///")).rename(uri.removeprefix("sqlite:///"))
    sink.log_models(sink.write([described(2)]))

    assert [trace.info.trace_id for trace in stored(uri)] == ids(2)
    assert logged(uri) == [Logged("chain", "READY", "true", 1)]


def test_the_same_trace_again(store: str) -> None:
    """A trace that a killed shipper has stored, but not its model, is linked when it is delivered again."""
    bulk_sink(store).write([described(1), of_chain(2)])
    sink = bulk_sink(store)
    sink.log_models(sink.write([described(3)]))
    again = sink.write([described(1), of_chain(2)])
    assert [one.trace_ids for one in again] == [ids(1, 2)]
    sink.log_models(again)

    (model,) = models(store)
    assert named(store) == dict.fromkeys(ids(1, 2, 3), model.model_id)
    assert sink.in_bulk == 1


def test_no_folder_where_the_shipper_works(tmp_path: Path, new_store: Callable[[Path], str]) -> None:
    """Experiments made after a model have their artifacts beside the database, not where the shipper works."""
    (tmp_path / "project").mkdir()
    sink = bulk_sink(uri := new_store(tmp_path / "project"))
    sink.log_models(sink.write([described(1)]))
    context = in_experiment(experiment="later")
    file = TraceFile(trace_id(2), str(UUID(int=2)), "aGVsbG8=")
    sink.write([finished(file, start(2, 1, context=context), end(2, 1))])

    later = mlflow.MlflowClient(uri).get_experiment_by_name("later")
    assert later is not None
    assert later.artifact_location == str(tmp_path / "project" / "mlruns" / later.experiment_id)
