"""What goes wrong while traces are sent to a real tracking server: they are stored exactly once."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, Final

import pytest
from mlflow.tracking import MlflowClient

from langchain_autotrace.errors import CredentialsRefused, SinkError, SinkUnavailable
from langchain_autotrace.journal.folder import DestinationFolder
from langchain_autotrace.ship.mlflow_sink import MlflowSink
from langchain_autotrace.ship.shipper import Shipper
from tests.full_server import free_port, passwords, tracking_server
from tests.journal.support import ROOT, new_journal
from tests.patience import PATIENCE
from tests.ship.bulk.support import no_public
from tests.ship.mlflow_support import in_experiment
from tests.ship.rest.support import SPANS, TRACES, Front, failing, fronted, rest_sink
from tests.ship.support import end, finished, start, trace_id, whole, write

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from langchain_autotrace.trace.spans import Trace

pytestmark = pytest.mark.server
SPANS_EACH: Final = 3


class RealServer:
    """A tracking server and its database."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder

    def rows(self, numbers: Sequence[int]) -> tuple[int, int]:
        """How many traces and spans of these numbers the database has."""
        return rows(self.folder, numbers)


def rows(folder: Path, numbers: Sequence[int]) -> tuple[int, int]:
    """How many traces and spans of these numbers the database in a folder has."""
    names = ", ".join(f"'tr-{trace_id(number)}'" for number in numbers)
    with closing(sqlite3.connect(folder / "mlflow.db", timeout=PATIENCE)) as database:
        traces = database.execute(f"SELECT count(*) FROM trace_info WHERE request_id IN ({names})").fetchone()[0]
        spans = database.execute(f"SELECT count(*) FROM spans WHERE trace_id IN ({names})").fetchone()[0]
    return traces, spans


def stored(numbers: Sequence[int]) -> tuple[int, int]:
    """The rows of traces that are stored once."""
    return len(numbers), len(numbers) * SPANS_EACH


def batch(numbers: Sequence[int]) -> list[Trace]:
    """Traces of these numbers."""
    return [finished(*whole(number, spans=SPANS_EACH)) for number in numbers]


@pytest.fixture(autouse=True)
def no_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have MLflow's client try nothing twice, as in a shipper."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


@pytest.fixture(scope="module")
def real(full_mlflow: str, empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    """A server."""
    folder = tmp_path_factory.mktemp("real")
    shutil.copy(empty_database, folder / "mlflow.db")
    with tracking_server(full_mlflow, folder) as url:
        yield RealServer(url, folder)


@pytest.fixture
def front(real: RealServer) -> Iterator[Front]:
    """A web server in front of the server, below a path."""
    with fronted(real.url, "/team/mlflow") as started:
        yield started


@pytest.mark.parametrize("path", [TRACES, SPANS])
@pytest.mark.parametrize("status", [500, 503, 0], ids=["500", "503", "dropped"])
def test_a_server_that_fails_for_a_while(
    front: Front, real: RealServer, tmp_path: Path, path: str, status: int
) -> None:
    """A shipper tries until the server answers; what was stored though the answer was lost is stored once."""
    first = 1_000 * (1 + [500, 503, 0].index(status) + 3 * (path == SPANS))
    numbers = range(first, first + 80)
    folder = DestinationFolder(tmp_path / "home" / "destination")
    folder.create(front.url)
    journal = new_journal(folder)
    write(journal, *(record for number in numbers for record in whole(number, spans=SPANS_EACH)))
    front.fail = failing(path, *[None] * (20 if path == TRACES else 1), *[status] * 3)
    sink = rest_sink(front.url, no_public)

    assert Shipper(folder, sink).drain(timeout=PATIENCE)
    assert (real.rows(numbers), sink.in_bulk) == (stored(numbers), len(numbers))
    journal.close()


def test_a_server_that_is_killed(full_mlflow: str, empty_database: Path, tmp_path: Path) -> None:
    """A server that dies in the middle of a batch stores it once when it is back."""
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    port, numbers = str(free_port()), range(1, 151)
    sink = rest_sink(f"http://127.0.0.1:{port}")
    failures: list[SinkError] = []

    def send() -> None:
        try:
            sink.write(given)
        except SinkError as error:
            failures.append(error)

    given = batch(numbers)
    with tracking_server(full_mlflow, tmp_path, port=port, stop="SIGKILL"):
        sending = threading.Thread(target=send)
        sending.start()
        while rows(tmp_path, numbers)[0] < 20:
            time.sleep(0.01)
    sending.join()
    before = rows(tmp_path, numbers)
    with tracking_server(full_mlflow, tmp_path, port=port):
        sink.write(given)

    assert [type(error) for error in failures] == [SinkUnavailable]
    assert 20 <= before[0] < 150
    assert rows(tmp_path, numbers) == stored(numbers)


def test_a_shipper_that_is_killed(real: RealServer, tmp_path: Path) -> None:
    """A shipper that is killed in the middle of a batch leaves the rest to the next one; all is stored once."""
    numbers = range(20_000, 20_150)
    folder = DestinationFolder(tmp_path / "home" / "destination")
    folder.create(real.url)
    journal = new_journal(folder)
    write(journal, *(record for number in numbers for record in whole(number, spans=SPANS_EACH)))
    journal.close()
    for limit in (20, 60):
        process = subprocess.Popen(
            [sys.executable, "-m", "langchain_autotrace.ship", str(folder.path)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
        )
        while real.rows(numbers)[0] < limit:
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
        process.wait()
    before = real.rows(numbers)

    assert before[0] < 150
    assert Shipper(folder, rest_sink(real.url, no_public)).drain(timeout=PATIENCE)
    assert real.rows(numbers) == stored(numbers)


def test_shippers_at_once(real: RealServer) -> None:
    """Shippers that send the same traces at once, one with MLflow's client, store them once."""
    numbers = range(30_000, 30_040)
    ours = [rest_sink(real.url, no_public) for _ in range(2)]

    def send(sink: Any) -> None:
        given, deadline = batch(numbers), time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with suppress(SinkUnavailable):  # the database is busy
                sink.write(given)
                return

    threads = [threading.Thread(target=send, args=(sink,)) for sink in (*ours, MlflowSink(real.url))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert real.rows(numbers) == stored(numbers)
    assert [sink.in_bulk for sink in ours] == [40, 40]


def test_an_experiment_that_is_deleted_meanwhile(real: RealServer) -> None:
    """Traces of an experiment that was deleted wait until it is restored."""
    sink, client = rest_sink(real.url), MlflowClient(real.url)

    def traces(first: int) -> list[Trace]:
        context = in_experiment(experiment="to be deleted")
        return [finished(start(number, 1, context=context), end(number, 1)) for number in range(first, first + 20)]

    sink.write(traces(40_000))
    experiment = client.get_experiment_by_name("to be deleted")
    assert experiment is not None
    client.delete_experiment(experiment.experiment_id)
    for _ in range(2):
        with pytest.raises(SinkUnavailable, match="restore"):
            sink.write(traces(40_020))
    client.restore_experiment(experiment.experiment_id)
    sink.write(traces(40_020))

    assert real.rows(range(40_000, 40_040)) == (40, 40)
    assert sink.in_bulk == 40


def test_a_path_before_the_api(front: Front, real: RealServer) -> None:
    """A server below a path of a web server gets the traces."""
    numbers = range(50_000, 50_010)
    sink = rest_sink(front.url, no_public)
    sink.write(batch(numbers))

    assert (real.rows(numbers), sink.in_bulk) == (stored(numbers), 10)


def test_a_server_with_passwords(
    full_mlflow: str, empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow's own server with passwords refuses a wrong one, and takes the traces with the right one."""
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    with tracking_server(full_mlflow, tmp_path, "--app-name", "basic-auth", **passwords(tmp_path)) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "wrong")
        with pytest.raises(CredentialsRefused):
            rest_sink(uri).write(batch([1]))
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret-secret-1")
        rest_sink(uri, no_public).write(batch([1, 2]))

    assert rows(tmp_path, [1, 2]) == stored([1, 2])
