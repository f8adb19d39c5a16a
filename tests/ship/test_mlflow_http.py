"""The sink and a tracking server: what each of its answers means."""

from __future__ import annotations

import itertools
import json
import time
from typing import TYPE_CHECKING

import pytest
from mlflow.entities.trace_data import TraceData

from langchain_autotrace.errors import SinkUnavailable, TraceRejected
from langchain_autotrace.ship.mlflow_sink import MlflowSink
from langchain_autotrace.ship.rest.rest_sink import RestSink
from tests.ship.server import EXPERIMENTS, HEALTH, SPANS, TRACES, VERSION, Answer, FakeServer, running
from tests.ship.support import end, finished, start, trace_id, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from langchain_autotrace.ship.sink import Sink

BATCH = [finished(*whole(1)), finished(*whole(2, spans=1))]
ROWS = [f"tr-{trace_id(1)}", f"tr-{trace_id(2)}"]
MANY = 9
"""More than anything is asked in one try."""
STORED = [("0", "span 1"), ("0", "span 2"), ("0", "span 1")]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    """A server, and no second tries on MLflow's own account."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with running(FakeServer(str(tmp_path))) as started:
        yield started


@pytest.fixture(params=["MLflow's client", "without it"])
def new_sink(request: pytest.FixtureRequest) -> Callable[[str], Sink]:
    """Makes a sink, of either way to a server."""
    if request.param == "without it":
        return lambda uri: RestSink(uri, lambda: MlflowSink(uri))
    return MlflowSink


def refusal(code: str) -> str:
    """An error as MLflow's server words it."""
    return json.dumps({"error_code": code, "message": "the reason"})


def test_a_server(server: FakeServer) -> None:
    """Each trace's row is written, then all spans of the batch in one request."""
    MlflowSink(server.url).write(BATCH)

    assert sorted(server.rows) == ROWS
    assert server.spans == STORED
    assert server.asked == [HEALTH, EXPERIMENTS, TRACES, TRACES, VERSION, SPANS]
    row = server.rows[ROWS[0]]
    assert (row["state"], row["request_preview"], row["tags"]["mlflow.traceName"]) == ("OK", '"inputs 1"', "span 1")


@pytest.mark.parametrize("path", [TRACES, SPANS])
@pytest.mark.parametrize(
    "answer",
    [
        Answer(400, refusal("INVALID_PARAMETER_VALUE")),
        Answer(400, refusal("BAD_REQUEST")),
        Answer(400, "no", "text/plain"),
        Answer(400, '{"detail":"Invalid OpenTelemetry format"}'),
        Answer(413, "<html>Request Entity Too Large</html>", "text/html"),
        Answer(413, '{"message":"Request Too Long"}'),
        Answer(422, '{"detail":"Cannot convert OpenTelemetry span to MLflow span"}'),
    ],
)
def test_a_refusal(server: FakeServer, new_sink: Callable[[str], Sink], path: str, answer: Answer) -> None:
    """What a server says of the content refuses the batch."""
    server.answers[path] = [answer] * MANY

    with pytest.raises(TraceRejected):
        new_sink(server.url).write(BATCH)


TROUBLE = [
    Answer(401, "You are not authenticated", "text/html"),
    Answer(403, "Permission denied", "text/html"),
    Answer(403, refusal("PERMISSION_DENIED")),
    Answer(404, refusal("RESOURCE_DOES_NOT_EXIST")),
    Answer(405, '{"detail":"Method Not Allowed"}'),
    Answer(408, ""),
    Answer(429, refusal("REQUEST_LIMIT_EXCEEDED")),
    Answer(500, refusal("INTERNAL_ERROR")),
    Answer(500, "oops", "text/plain"),
    Answer(502, "<html>Bad Gateway</html>", "text/html"),
    Answer(503, refusal("TEMPORARILY_UNAVAILABLE")),
    Answer(504, ""),
]
A_LOGIN_PAGE = Answer(200, "<html>Please log in</html>", "text/html")


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        *itertools.product([EXPERIMENTS, TRACES, SPANS], TROUBLE),
        # MLflow does not look at what is said of spans.
        *itertools.product([EXPERIMENTS, TRACES], [A_LOGIN_PAGE]),
    ],
)
def test_a_server_in_trouble(server: FakeServer, new_sink: Callable[[str], Sink], path: str, answer: Answer) -> None:
    """Any other trouble keeps the batch, which goes through when it is over."""
    server.answers[path] = [answer] * MANY
    sink = new_sink(server.url)

    with pytest.raises(SinkUnavailable, match=rf"^{server.url}: "):
        sink.write(BATCH)
    server.answers.clear()
    sink.write(BATCH)

    assert sorted(server.rows) == ROWS
    assert server.spans == STORED


def test_no_server(server: FakeServer, new_sink: Callable[[str], Sink], monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is not there is unavailable at once, however often MLflow would try; its password is not told."""
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES")
    url = server.url.replace("http://", "http://me:s3cret@").rpartition(":")[0] + ":1"
    before = time.monotonic()

    with pytest.raises(SinkUnavailable) as refused:
        new_sink(url).write(BATCH)

    assert str(refused.value).startswith("http://me:***@127.0.0.1:1: cannot reach the server (Connection refused).")
    assert "s3cret" not in str(refused.value)
    assert time.monotonic() - before < 100.0  # the pauses between MLflow's own attempts are 252 seconds


def test_a_server_behind_a_proxy(
    server: FakeServer, new_sink: Callable[[str], Sink], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that only a proxy reaches is not looked for without it."""
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.setenv("no_proxy", "")
    new_sink("http://mlflow.invalid:5000").write(BATCH)

    assert server.spans == STORED


@pytest.mark.parametrize("status", [401, 404, 500])
def test_a_server_that_refuses_to_say_how_it_is(server: FakeServer, status: int) -> None:
    """A server whose page of health is refused, as by a proxy before it, is there and gets the traces."""
    server.answers[HEALTH] = [Answer(status, "no", "text/plain")]
    MlflowSink(server.url).write(BATCH)

    assert server.spans == STORED


def test_a_server_that_does_not_say_its_version_at_first(server: FakeServer) -> None:
    """A server that was in trouble when MLflow asked for its version gets the spans later."""
    server.answers[VERSION] = [Answer(500, "")]
    sink = MlflowSink(server.url)

    with pytest.raises(SinkUnavailable, match="version"):
        sink.write(BATCH)
    sink.write(BATCH)

    assert server.spans == STORED


@pytest.mark.parametrize("kind", ["old", "files"])
def test_a_server_that_takes_no_spans(
    server: FakeServer, new_sink: Callable[[str], Sink], tmp_path: Path, kind: str
) -> None:
    """A server that is old, or has a file store, gets each trace's spans as a file, where MLflow looks for it."""
    server.answers[SPANS] = [Answer(501, '{"detail":"REST OTLP span logging is not supported by FileStore"}')] * MANY
    if kind == "old":
        server.version = "3.3.2"
        server.answers[SPANS] = [Answer(404, "<title>404 Not Found</title>", "text/html")] * MANY
    sink = new_sink(server.url)
    sink.write(BATCH)
    sink.write(BATCH)

    kept = [TraceData.from_dict(json.loads((tmp_path / row / "traces.json").read_text())) for row in ROWS]
    assert [[span.name for span in data.spans] for data in kept] == [["span 1", "span 2"], ["span 1"]]
    assert server.spans == []
    assert server.asked.count(SPANS) == (kind == "files") + isinstance(sink, RestSink)


def test_late_spans_and_a_server(server: FakeServer) -> None:
    """Late spans whose trace the server does not have are refused."""
    server.answers[f"{TRACES}/{ROWS[0]}"] = [Answer(404, refusal("RESOURCE_DOES_NOT_EXIST"))]
    late = finished(start(1, 2, 1), end(1, 2))

    with pytest.raises(TraceRejected):
        MlflowSink(server.url).write([late])


def test_late_spans_in_the_batch_of_their_trace(server: FakeServer) -> None:
    """A span that is open in one part of a batch and ended in a later one is sent once, as it ended."""
    first = finished(start(1, 1), start(1, 2, 1), *whole(1)[3:])
    late = finished(start(1, 2, 1), end(1, 2))
    MlflowSink(server.url).write([first, late])

    assert server.spans == [("0", "span 1"), ("0", "span 2")]
    assert server.asked == [HEALTH, EXPERIMENTS, TRACES, VERSION, SPANS]


def test_an_open_span_and_a_server(server: FakeServer) -> None:
    """A trace with a span that is still open goes through."""
    MlflowSink(server.url).write([finished(start(1, 1), start(1, 2, 1), *whole(1)[3:])])

    assert server.spans == [("0", "span 1"), ("0", "span 2")]
