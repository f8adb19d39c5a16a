"""The requests to a tracking server: how many, how they are made, and by whom."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Final

import pytest

from langchain_autotrace.errors import SinkUnavailable
from langchain_autotrace.journal.folder import DestinationFolder
from langchain_autotrace.ship.mlflow_sink import MlflowSink
from langchain_autotrace.ship.rest.connection import CONNECTIONS
from tests.journal.support import ROOT, new_journal
from tests.ship.bulk.corpus import HASH, of_chain, renumbered
from tests.ship.bulk.support import no_public
from tests.ship.mlflow_support import in_experiment
from tests.ship.rest.support import MOVED, SPANS, TRACES, NotingServer, failing, fronted, one, rest_sink
from tests.ship.server import EXPERIMENTS, Answer
from tests.ship.support import end, finished, start, status_of, trace_id, whole, write

if TYPE_CHECKING:
    from pathlib import Path

MODELS: Final = "/api/2.0/mlflow/logged-models"
STORED: Final = [("0", "span 1"), ("0", "span 2")]


def test_a_batch(server: NotingServer) -> None:
    """A batch asks for its experiment once, writes each trace's row as JSON and all spans in one gzipped request."""
    sink = rest_sink(server.url, no_public)
    for batch in ([finished(*whole(number)) for number in (1, 2)], one(3)):
        sink.write(batch)

    assert server.asked == [EXPERIMENTS, TRACES, TRACES, SPANS, TRACES, SPANS]
    assert (sorted(server.rows), server.spans) == ([f"tr-{trace_id(number)}" for number in (1, 2, 3)], STORED * 3)
    assert sink.in_bulk == 3
    sent = dict(server.headers)
    assert sent[TRACES]["Content-Type"] == "application/json"
    assert sent[SPANS]["Content-Type"] == "application/x-protobuf"
    assert sent[SPANS]["Content-Encoding"] == "gzip"
    assert sent[SPANS]["User-Agent"] == sent[TRACES]["User-Agent"]
    assert sent[SPANS]["User-Agent"].startswith("mlflow-python-client/3.")


def test_a_large_batch(server: NotingServer) -> None:
    """Spans go in requests of 64 traces, or of a megabyte, each of one experiment."""
    sink = rest_sink(server.url, no_public)
    sink.write([finished(*whole(number, spans=1)) for number in range(1, 131)])
    many = server.asked.count(SPANS)
    large = [finished(start(number, 1, inputs="x" * 600_000), end(number, 1)) for number in (200, 201)]
    sink.write(large)
    other = start(301, 1, context=in_experiment(experiment_id="0"))
    sink.write([*one(300), finished(other, end(301, 1))])

    assert (many, server.asked.count(SPANS)) == (3, 6)
    assert len(server.spans) == 130 + 2 + 3


def test_a_server_without_gzip(server: NotingServer) -> None:
    """A server that takes gzip for a damaged message gets plain ones, from the first batch on."""
    server.takes_gzip = False
    sink = rest_sink(server.url, no_public)
    sink.write(one(1))
    sink.write(one(2))

    assert server.spans == STORED * 2
    assert server.asked.count(SPANS) == 3


def test_a_refused_content_and_gzip(server: NotingServer) -> None:
    """A message that is refused both ways says nothing about gzip."""
    server.answers[SPANS] = [Answer(400, "no")] * 2
    sink = rest_sink(server.url)
    sink.write(one(1))  # by MLflow's client, which tries once more
    sink.write(one(2))

    assert server.spans == STORED * 2
    assert server.headers[-1][1]["Content-Encoding"] == "gzip"
    assert sink.in_bulk == 1


def test_connections_are_kept(server: NotingServer) -> None:
    """All requests of a sink share few connections."""
    with fronted(server.url) as front:
        sink = rest_sink(front.url, no_public)
        for first in range(1, 101, 20):
            sink.write([finished(*whole(number, spans=1)) for number in range(first, first + 20)])

    assert len(front.clients) == 1 + 100 + 5
    assert len(set(front.clients)) <= CONNECTIONS + 1


def test_connections_that_are_dropped_without_a_word(server: NotingServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system is told to ask whether the other end of an unused connection is there."""
    told: list[tuple[Any, ...]] = []
    connect = http.client.HTTPConnection.connect

    class Noting(socket.socket):
        def setsockopt(self, *option: Any) -> None:
            told.append(option)
            super().setsockopt(*option)

    def connect_noting(connection: http.client.HTTPConnection) -> None:
        connect(connection)
        connection.sock = Noting(fileno=connection.sock.detach())

    monkeypatch.setattr(http.client.HTTPConnection, "connect", connect_noting)
    rest_sink(server.url, no_public).write(one())

    assert (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1) in told


def test_a_connection_that_the_server_has_closed(server: NotingServer) -> None:
    """A kept connection that the server has closed meanwhile is opened again, without an error."""
    with fronted(server.url) as front:
        sink = rest_sink(front.url, no_public)
        front.closes = SPANS
        for number in range(1, 6):
            sink.write(one(number))
            time.sleep(0.1)

    assert sink.in_bulk == 5
    assert len(set(front.clients)) == 6


def test_cookies(server: NotingServer) -> None:
    """A cookie that the server gives, as to keep a client at one of its machines, is sent from then on."""
    with fronted(server.url) as front:
        sink = rest_sink(front.url, no_public)
        front.cookie = "machine=7; Path=/"
        for number in (1, 2):
            sink.write(one(number))

    assert front.cookies == [None, "machine=7", "machine=7", "machine=7", "machine=7"]
    assert sink.in_bulk == 2


def test_a_redirect(server: NotingServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A redirect that keeps the method is followed, with all that was sent, unless redirects are off."""
    with fronted(server.url) as front:
        front.fail = lambda _: MOVED
        rest_sink(front.url, no_public).write(one(1))
        assert (server.spans, front.asked) == (STORED, [])
        monkeypatch.setenv("MLFLOW_ALLOW_HTTP_REDIRECTS", "false")
        with pytest.raises(AssertionError, match="not all was written"):
            rest_sink(front.url, no_public).write(one(2))


def test_a_path_before_the_api(server: NotingServer) -> None:
    """A server below a path of a web server is asked there."""
    with fronted(server.url, "/team/mlflow") as front:
        for number, url in enumerate((front.url, front.url + "/"), start=1):
            rest_sink(url, no_public).write(one(number))

    assert server.spans == STORED * 2


@pytest.mark.parametrize("path", [TRACES, SPANS])
def test_a_connection_that_is_dropped(server: NotingServer, path: str) -> None:
    """A connection that is lost after the server has stored keeps the batch, which is stored once when sent again."""
    with fronted(server.url) as front:
        sink = rest_sink(front.url, no_public)
        front.fail = failing(path, 0)
        with pytest.raises(SinkUnavailable, match="cannot reach the server"):
            sink.write(one())
        sink.write(one())

    assert (list(server.rows), sink.in_bulk) == ([f"tr-{trace_id(1)}"], 1)
    assert set(server.spans) == set(STORED)


def test_a_server_that_does_not_answer_in_time(server: NotingServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes longer than MLflow's time limit keeps the batch, and the error says how long it was."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with fronted(server.url) as front:
        sink = rest_sink(front.url, no_public)
        front.fail = lambda path: time.sleep(1.5) if path == TRACES else None
        with pytest.raises(SinkUnavailable, match=r"cannot reach the server \(no response within 1 s\)"):
            sink.write(one())
        front.fail = lambda _: None
        sink.write(one())

    assert (set(server.spans), sink.in_bulk) == (set(STORED), 1)


def test_a_server_in_trouble_for_a_part(server: NotingServer) -> None:
    """Traces that were stored before the trouble began are not sent again."""
    batch = [finished(*whole(number, spans=1)) for number in range(1, 201)]
    sink = rest_sink(server.url, no_public)
    server.answers[SPANS] = [Answer(200, "", "application/x-protobuf"), *[Answer(503, "busy", "text/plain")] * 3]
    with pytest.raises(SinkUnavailable, match="the server answers HTTP 503: busy"):
        sink.write(batch)
    stored = sink.in_bulk
    rows = server.asked.count(TRACES)
    server.answers.clear()
    sink.write(batch)

    assert stored in {8, 64}  # the parts are sent at once, and any of them is first
    assert sink.in_bulk == 200
    assert server.asked.count(TRACES) == rows + 200 - stored


def test_the_client_again_later(server: NotingServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server whose endpoints were missing for a while is tried again after some minutes."""
    clock = [1_000.0]
    monkeypatch.setattr("langchain_autotrace.ship.rest.rest_sink.time.monotonic", lambda: clock[0])
    sink = rest_sink(server.url)
    server.answers[TRACES] = [Answer(404, "default backend - 404", "text/plain")]
    ways = []
    for number, seconds in enumerate((0.0, 1.0, 599.0), start=1):
        clock[0] += seconds
        sink.write(one(number))
        ways.append(sink.in_bulk)

    assert ways == [0, 0, 1]
    assert len(server.rows) == 3


PROGRAM = """
import sys
from pathlib import Path
from langchain_autotrace.journal.folder import DestinationFolder
from langchain_autotrace.ship.connect import open_sink
from langchain_autotrace.ship.shipper import Shipper
folder = DestinationFolder(Path(sys.argv[1]))
print(Shipper(folder, open_sink(folder)).drain(timeout=60))
print(sorted({"mlflow", "sqlalchemy", "pandas", "alembic"} & set(sys.modules)))
"""


def test_no_mlflow(server: NotingServer, tmp_path: Path) -> None:
    """A shipper that sends new traces imports nothing of MLflow, and the status says how many went without it."""
    folder = DestinationFolder(tmp_path / "home" / "destination")
    folder.create(server.url)
    journal = new_journal(folder)
    write(journal, *whole(1), *whole(2))
    journal.close()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder.path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.stdout, done.returncode) == ("True\n[]\n", 0), done.stderr
    assert server.spans == STORED * 2
    assert (status_of(folder)["delivered"], status_of(folder)["in_bulk"]) == (2, 2)


def knowing(uri: str) -> MlflowSink:
    """The sink for MLflow's API, which has logged a model."""
    sink = MlflowSink(uri)
    sink.known_models.ids["0", HASH] = "m-1"
    return sink


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        (Answer(200, "{}"), "m-1"),
        (Answer(404, '{"error_code": "RESOURCE_DOES_NOT_EXIST"}'), None),
        (Answer(404, "<html>", "text/html"), "m-1"),
        (Answer(403, '{"error_code": "PERMISSION_DENIED"}'), "m-1"),
        (Answer(503, "busy", "text/plain"), "m-1"),
    ],
)
def test_the_model_of_a_trace(server: NotingServer, answer: Answer, named: str | None) -> None:
    """A trace whose model is known names it at once, unless the model was deleted; asking costs no trace."""
    sink = rest_sink(server.url, lambda: knowing(server.url))
    assert sink._public.known_models.ids
    server.answers[f"{MODELS}/m-1"] = [answer]
    pending = sink.write([renumbered(finished(*of_chain()), number) for number in (1, 2)])

    names = [f"tr-{trace_id(number)}" for number in (1, 2)]
    assert [server.rows[name]["trace_metadata"].get("mlflow.modelId") for name in names] == [named] * 2
    assert [one.trace_ids for one in pending] == ([] if named else [names])
    assert (sink.in_bulk, server.asked.count(f"{MODELS}/m-1")) == (2, 1)


def test_a_model_that_cannot_be_looked_up(server: NotingServer) -> None:
    """Where the connection is lost while the server is asked for a model, the trace is stored all the same."""
    with fronted(server.url) as front:
        front.fail = lambda path: 0 if path.startswith(MODELS) else None
        sink = rest_sink(front.url, lambda: knowing(front.url))
        assert sink._public.known_models.ids
        assert sink.write([finished(*of_chain())]) == []

    assert server.rows[f"tr-{trace_id(1)}"]["trace_metadata"]["mlflow.modelId"] == "m-1"
    assert sink.in_bulk == 1
