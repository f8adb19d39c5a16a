"""Sinks for tracking servers, and a server in front of one, which fails as told."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from langchain_autotrace.ship.mlflow_sink import MlflowSink
from langchain_autotrace.ship.rest.rest_sink import RestSink
from tests.local_http import QuietHandler, serving
from tests.ship.bulk.support import Pair
from tests.ship.server import Answer, FakeServer
from tests.ship.support import finished, whole

if TYPE_CHECKING:
    from http.server import BaseHTTPRequestHandler

SPANS = "/v1/traces"
TRACES = "/api/3.0/mlflow/traces"
MOVED = 307


def rest_sink(uri: str, open_public: Callable[[], MlflowSink] | None = None) -> RestSink:
    """A sink that sends traces without MLflow's client."""
    return RestSink(uri, open_public or (lambda: MlflowSink(uri)))


class ServerPair(Pair):
    """Two servers that are to hold the same in their databases."""

    def __init__(self, servers: tuple[str, str], databases: tuple[str, str]) -> None:
        self.servers = servers
        self.uris = databases
        self.bulk, self.public = rest_sink(servers[0]), MlflowSink(servers[1])


class NotingServer(FakeServer):
    """A server that notes the headers of requests."""

    def __init__(self, artifacts: str) -> None:
        super().__init__(artifacts)
        self.headers: list[tuple[str, Any]] = []

    def answer(self, path: str, body: bytes, headers: Any) -> Answer:
        """Note the headers, and answer."""
        self.headers.append((path, headers))
        return super().answer(path, body, headers)


def one(number: int = 1) -> list[Any]:
    """A batch of one trace."""
    return [finished(*whole(number))]


class Front:
    """A web server in front of a tracking server.

    Attributes:
        url: where it is, with the path below which the tracking server is.
        asked: the path of each request that was passed on.
        clients: the other end of each request's connection.
        closes: a path; the connection is closed after its answer, without saying so.
        cookie: what it asks its clients to say.
        cookies: what they have said, with each request.
        fail: what becomes of a request to a path: its status, with that of a redirect one to the tracking server;
            0 to drop the connection after the tracking server has answered; None to pass on the answer.
    """

    def __init__(self, target: str, prefix: str = "") -> None:
        self.target = target
        self.prefix = prefix
        self.url = ""
        self.asked: list[str] = []
        self.clients: list[Any] = []
        self.closes = ""
        self.cookie = ""
        self.cookies: list[str | None] = []
        self.fail: Callable[[str], int | None] = lambda path: None
        self._lock = threading.Lock()

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        """Pass a request on, or fail."""
        body = request.rfile.read(int(request.headers["Content-Length"] or 0))
        path = request.path.removeprefix(self.prefix)
        with self._lock:
            status = self.fail(urlsplit(path).path) if request.path.startswith(self.prefix) else 404
        if status:
            self._answer(request, status, [("Location", self.target + path)] if status == MOVED else [], b"no")
            return
        with self._lock:
            self.asked.append(path)
            self.clients.append(request.client_address)
            self.cookies.append(request.headers["Cookie"])
        connection = http.client.HTTPConnection(urlsplit(self.target).netloc)
        connection.request(request.command, path, body, dict(request.headers.items()))
        with connection.getresponse() as response:
            content = response.read()
        connection.close()
        request.close_connection = status == 0 or path == self.closes
        if status == 0:
            return
        headers = [("Content-Type", response.headers["Content-Type"] or "")]
        self._answer(request, response.status, headers + [("Set-Cookie", self.cookie)] * bool(self.cookie), content)

    @staticmethod
    def _answer(request: BaseHTTPRequestHandler, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        request.send_response(status)
        for name, value in [*headers, ("Content-Length", str(len(content)))]:
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(content)


@contextmanager
def fronted(target: str, prefix: str = "") -> Iterator[Front]:
    """Run a web server in front of a tracking server in the block."""
    front = Front(target, prefix)

    class Handler(QuietHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:  # noqa: N802 - the base class's name
            front.handle(self)

        do_POST = do_PATCH = do_PUT = do_GET  # noqa: N815 - the base class's names

    with serving(Handler) as address:
        front.url = address + prefix
        yield front


def failing(path: str, *statuses: int | None) -> Callable[[str], int | None]:
    """Fail at a path, with each of the statuses in turn, then no more."""
    left = list(statuses)
    return lambda asked: left.pop(0) if asked == path and left else None
