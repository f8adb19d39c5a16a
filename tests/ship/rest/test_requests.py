"""The requests to a tracking server: how many, how they are made, and by whom."""

from __future__ import annotations

import base64
import http.client
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Final

import pytest

from langchain_autotrace.errors import CredentialsRefused, PermissionRefused, SinkUnavailable
from langchain_autotrace.journal.folder import DestinationFolder
from langchain_autotrace.ship.connect import open_sink
from langchain_autotrace.ship.mlflow_sink import MlflowSink
from langchain_autotrace.ship.rest import request_settings
from langchain_autotrace.ship.rest.connection import CONNECTIONS
from langchain_autotrace.ship.rest.rest_sink import RestSink
from tests.journal.support import ROOT, new_journal
from tests.ship.bulk.support import no_public
from tests.ship.mlflow_support import in_experiment
from tests.ship.rest.support import MOVED, SPANS, TRACES, failing, fronted, rest_sink
from tests.ship.server import EXPERIMENTS, Answer, FakeServer, running
from tests.ship.support import end, finished, start, status_of, trace_id, whole, write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STORED: Final = [("0", "span 1"), ("0", "span 2")]


class NotingServer(FakeServer):
    """A server that notes the headers of requests."""

    def __init__(self, artifacts: str) -> None:
        super().__init__(artifacts)
        self.headers: list[tuple[str, Any]] = []

    def answer(self, path: str, body: bytes, headers: Any) -> Answer:
        """Note the headers, and answer."""
        self.headers.append((path, headers))
        return super().answer(path, body, headers)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NotingServer]:
    """A server, and a home folder without credentials."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    noting = NotingServer(str(tmp_path))
    with running(noting):
        yield noting


def one(number: int = 1) -> list[Any]:
    """A batch of one trace."""
    return [finished(*whole(number))]


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


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_PASSWORD": "pé"}, "Basic " + "YWRhOnDDqQ=="),
        ({"MLFLOW_TRACKING_TOKEN": "abc"}, "Bearer abc"),
        ({"MLFLOW_TRACKING_TOKEN": "abc", "MLFLOW_TRACKING_USERNAME": "ada"}, "Bearer abc"),
        (
            {"MLFLOW_TRACKING_TOKEN": "abc", "MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_PASSWORD": "b"},
            "Basic YWRhOmI=",
        ),
        ({}, None),
    ],
)
def test_credentials(
    server: NotingServer, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: str | None
) -> None:
    """The credentials of MLflow's variables are sent with each request, as by MLflow's client."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    rest_sink(server.url, no_public).write(one(1))
    ours = [headers["Authorization"] for _, headers in server.headers]
    MlflowSink(server.url).write(one(2))

    assert ours == [expected] * 3
    assert server.headers[-1][1]["Authorization"] == expected


def test_saved_credentials(server: NotingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The credentials in MLflow's file are sent; those of the environment win; a broken file is left to MLflow."""
    saved = tmp_path / ".mlflow" / "credentials"
    saved.parent.mkdir()
    saved.write_text("[mlflow]\nmlflow_tracking_username = ada\nmlflow_tracking_password = saved\n")
    sink = rest_sink(server.url, no_public)
    sink.write(one(1))
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "newer")
    sink.write(one(2))
    saved.write_text("no file of settings")

    found = [base64.b64decode(headers["Authorization"].split()[1]).decode() for _, headers in server.headers]
    assert found == ["ada:saved"] * 3 + ["ada:newer"] * 2
    with pytest.raises(AssertionError, match="not all was written"):
        sink.write(one(3))


@pytest.mark.parametrize(
    ("user", "expected"), [("ada:a%2Fb@", "ada:a/b"), ("", "grace:from netrc")], ids=["in the URI", "netrc"]
)
def test_credentials_from_elsewhere(
    server: NotingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: str, expected: str
) -> None:
    """Credentials in the URI and in the file of curl and others are sent, as by MLflow's client."""
    if not user:
        (tmp_path / ".netrc").write_text('machine 127.0.0.1 login grace password "from netrc"\n')
        (tmp_path / ".netrc").chmod(0o600)
    url = server.url.replace("http://", f"http://{user}")
    rest_sink(url, no_public).write(one(1))
    MlflowSink(url).write(one(2))

    sent = {headers["Authorization"] for path, headers in server.headers if path in {TRACES, SPANS}}
    assert sent == {"Basic " + base64.b64encode(expected.encode()).decode()}


@pytest.mark.parametrize(("status", "kind"), [(401, CredentialsRefused), (403, PermissionRefused)])
def test_a_refused_user(server: NotingServer, status: int, kind: type[Exception]) -> None:
    """A user whom the server refuses is told so, after few requests."""
    for path in (EXPERIMENTS, TRACES):
        server.answers[path] = [Answer(status, "no", "text/plain")] * 500
    sink = rest_sink(server.url)

    with pytest.raises(kind, match=f"HTTP {status}"):
        sink.write([finished(*whole(number)) for number in range(1, 101)])
    assert len(server.asked) < 10


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MLFLOW_TRACKING_AUTH", "a-plugin"),
        ("MLFLOW_TRACKING_AWS_SIGV4", "true"),
        ("MLFLOW_WORKSPACE", "team"),
        ("DATABRICKS_RUNTIME_VERSION", "15"),
    ],
)
def test_requests_that_only_the_client_makes(
    folder: DestinationFolder, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """Where a way to sign requests, a workspace or a plugin is in use, MLflow's client makes them all."""
    uri = "http://127.0.0.1:1"
    assert isinstance(open_sink(folder, uri), RestSink)
    monkeypatch.setenv(name, value)

    assert isinstance(open_sink(folder, uri), MlflowSink)


@pytest.mark.parametrize(
    "points", ["[mlflow.request_header_provider]\nmine = m:M", "[mlflow.tracking_store]\nhttp = m:M"]
)
def test_plugins(folder: DestinationFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, points: str) -> None:
    """Where a plugin adds headers, or has a client of its own, MLflow's client makes the requests."""
    package = tmp_path / "plugin-1.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Name: plugin\nVersion: 1\n")
    (package / "entry_points.txt").write_text(points)
    monkeypatch.syspath_prepend(tmp_path)

    assert isinstance(open_sink(folder, "https://host"), MlflowSink)


def test_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    """What to trust, the client's certificate, how long to wait and redirects are set by MLflow's variables."""
    found = [request_settings.request_settings()[1:]]
    monkeypatch.setenv("MLFLOW_TRACKING_INSECURE_TLS", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_CLIENT_CERT_PATH", "own.pem")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    monkeypatch.setenv("MLFLOW_ALLOW_HTTP_REDIRECTS", "false")
    found.append(request_settings.request_settings()[1:])
    monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", "all.pem")
    with pytest.raises(ValueError, match="both set"):
        request_settings.request_settings()
    monkeypatch.delenv("MLFLOW_TRACKING_INSECURE_TLS")
    found.append(request_settings.request_settings()[1:])

    assert found == [
        (True, None, (10.0, 120.0), True),
        (False, "own.pem", (5.0, 5.0), False),
        ("all.pem", "own.pem", (5.0, 5.0), False),
    ]


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of this machine that nobody trusts, in one file with its key."""
    if (openssl := shutil.which("openssl")) is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    path = tmp_path / "own.pem"
    options = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(
        [openssl, *options.split(), "-keyout", path, "-out", tmp_path / "crt"], check=True, capture_output=True
    )
    path.write_bytes(path.read_bytes() + (tmp_path / "crt").read_bytes())
    return path


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_a_certificate_of_ones_own(tmp_path: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server is trusted by its certificate, or without, as MLflow's variables say, and knows the client."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    tls.load_verify_locations(certificate)
    with running(FakeServer(str(tmp_path)), tls) as server:
        with pytest.raises(SinkUnavailable, match="cannot reach the server"):
            rest_sink(server.url, no_public).write(one(1))
        with monkeypatch.context() as patch:
            patch.setenv("MLFLOW_TRACKING_INSECURE_TLS", "true")
            rest_sink(server.url, no_public).write(one(2))
        with monkeypatch.context() as patch:
            patch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
            rest_sink(server.url, no_public).write(one(3))
        monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(certificate))
        tls.verify_mode = ssl.CERT_REQUIRED
        with pytest.raises(SinkUnavailable):
            rest_sink(server.url, no_public).write(one(4))
        monkeypatch.setenv("MLFLOW_TRACKING_CLIENT_CERT_PATH", str(certificate))
        rest_sink(server.url, no_public).write(one(5))

    assert sorted(server.rows) == [f"tr-{trace_id(number)}" for number in (2, 3, 5)]


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


def test_a_server_in_trouble_for_a_part(server: NotingServer) -> None:
    """Traces that were stored before the trouble began are not sent again."""
    batch = [finished(*whole(number, spans=1)) for number in range(1, 201)]
    sink = rest_sink(server.url, no_public)
    server.answers[SPANS] = [Answer(200, "", "application/x-protobuf"), *[Answer(503, "busy", "text/plain")] * 3]
    with pytest.raises(SinkUnavailable, match="the server answers HTTP 503: busy"):
        sink.write(batch)
    stored = sink.in_bulk
    rows = server.asked.count(TRACES)
    sink.write(batch)

    assert stored in {0, 64}  # the parts are sent at once, and any of them is first
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
