"""Whose credentials and certificates requests to a tracking server have, and whose client makes them."""

from __future__ import annotations

import base64
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from langchain_autotrace.errors import CredentialsRefused, PermissionRefused, SinkUnavailable
from langchain_autotrace.ship.connect import open_sink
from langchain_autotrace.ship.mlflow_sink import MlflowSink
from langchain_autotrace.ship.rest import request_settings
from langchain_autotrace.ship.rest.rest_sink import RestSink
from tests.ship.bulk.support import no_public
from tests.ship.rest.support import SPANS, TRACES, NotingServer, one, rest_sink
from tests.ship.server import EXPERIMENTS, Answer, FakeServer, running
from tests.ship.support import finished, trace_id, whole

if TYPE_CHECKING:
    from langchain_autotrace.journal.folder import DestinationFolder


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
