"""The HTTP server: checks each request, calls its route, and sets the headers that keep pages apart from others."""

from __future__ import annotations

import contextlib
import html
import socket
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from langchain_autotrace.view.ui.admission import Guard, Refusal
from langchain_autotrace.view.ui.http_messages import Request, Response, failed

if TYPE_CHECKING:
    from langchain_autotrace.view.ui.http_messages import Response as _Response

_MAX_BODY: Final = 1_000_000
_IDLE_SECONDS: Final = 60
_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_HTML: Final = "text/html; charset=utf-8"
_HOP: Final = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>Traces</title>'
    '<meta http-equiv="refresh" content="0;url={address}"><a href="{address}">Open the traces</a></html>'
)
"""A page that the browser goes on from: after a redirect it would not send the cookie if another site had the link."""
_REFUSED: Final = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>Not allowed</title>'
    '<p>{reason}</p><p>If this browser has opened it before: <a href="">try again</a>.</p></html>'
)

Answer = Callable[[str, Request], "_Response"]
"""(method, request) -> response."""


class WebServer(ThreadingHTTPServer):
    """A server on one address; each connection has its own thread."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, host: str, port: int, answer: Callable[[Guard], Answer]) -> None:
        """Listen on ``host`` and ``port``; 0 takes a free port.

        Args:
            host: address or name.
            port: the port.
            answer: makes what answers the requests that the guard lets through.

        Raises:
            OSError: the port is taken, or the address is not of this machine.
        """
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)
        self.guard = Guard(host, self.server_port)
        self.answer = answer(self.guard)
        self._host = host

    def server_bind(self) -> None:
        """Bind without the look-up of the host's full name that takes seconds on some machines."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def address(self, path: str = "/", **params: str) -> str:
        """Return the address of a page, with the token."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        name = {"0.0.0.0": socket.gethostname(), "[::]": socket.gethostname()}.get(host, host)  # noqa: S104 - compared
        query = urlencode({**params, "token": self.guard.token})
        return f"http://{name}:{self.server_port}{path}?{query}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a browser that closes its connection is no error."""


class _Handler(BaseHTTPRequestHandler):
    server: WebServer
    protocol_version = "HTTP/1.1"
    server_version = "langchain-autotrace"
    sys_version = ""
    timeout = _IDLE_SECONDS
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._respond("GET")

    def do_POST(self) -> None:
        self._respond("POST")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing: the terminal is the user's."""

    def _respond(self, method: str) -> None:
        guard = self.server.guard
        refusal = guard.refusal(method, self.headers)
        if refusal is not None:
            return self._refuse(refusal)
        parts = urlsplit("http://host" + "/" + self.path.lstrip("/"))
        params = parse_qs(parts.query, keep_blank_values=True)
        if method == "GET" and (token := params.pop("token", [""])[-1]):
            return self._let_in(token, parts.path, params)
        refusal = guard.unknown(method, self.headers)
        if refusal is not None:
            return self._refuse(refusal)
        body = self._body(method)
        if body is None:
            return self._refuse(Refusal(HTTPStatus.BAD_REQUEST, "the request has no JSON of a size that is taken."))
        return self._send(self.server.answer(method, Request(parts.path, params, body)))

    def _let_in(self, token: str, path: str, params: dict[str, list[str]]) -> None:
        """Make the token of an address a cookie, and go on to the address without it."""
        if not self.server.guard.is_token(token):
            return self._refuse(Refusal(HTTPStatus.FORBIDDEN, "the token is of another start of the server."))
        query = urlencode(params, doseq=True)
        address = html.escape("/" + quote(path.lstrip("/"), safe="/%:") + (f"?{query}" if query else ""))
        headers = {"Set-Cookie": self.server.guard.set_cookie()}
        return self._send(Response(_HOP.format(address=address).encode(), _HTML, headers=headers))

    def _refuse(self, refusal: Refusal) -> None:
        self.close_connection = True  # what it sent is not read
        text = html.escape(refusal.reason[0].upper() + refusal.reason[1:])
        if "text/html" in self.headers.get("Accept", ""):
            self._send(Response(_REFUSED.format(reason=text).encode(), _HTML, refusal.status))
        else:
            self._send(failed(refusal.status, refusal.reason))

    def _body(self, method: str) -> bytes | None:
        """Return the body of a request; None for one of a kind or size that is not taken."""
        if method == "GET":
            return b""
        size = self.headers.get("Content-Length", "")
        is_json = self.headers.get_content_type() == "application/json"
        return self.rfile.read(int(size)) if is_json and size.isdecimal() and int(size) <= _MAX_BODY else None

    def _send(self, response: Response) -> None:
        is_whole = isinstance(response.body, bytes)
        self.send_response(response.status)
        headers = {"Cache-Control": "no-store", **_HEADERS, **response.headers}
        headers |= {"Content-Type": response.type, "Content-Security-Policy": response.policy}
        headers |= {"Content-Length": str(len(response.body))} if isinstance(response.body, bytes) else {}
        headers |= {"Connection": "close"} if self.close_connection or not is_whole else {}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if isinstance(response.body, bytes):
            self.wfile.write(response.body)
            return
        self.close_connection = True
        with contextlib.closing(iter(response.body)) as parts:  # type: ignore[type-var] # generators
            for part in parts:
                self.wfile.write(part)
