"""Kept connections of the standard library, for servers that need nothing more than a connection.

``requests`` takes two to three times the CPU for a request, and delivery makes one for each trace.
"""

from __future__ import annotations

import socket
import ssl
import weakref
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import TYPE_CHECKING, Final

from requests.exceptions import ConnectTimeout
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.util import wait_for_read

from langchain_autotrace.ship.rest.answers import Answer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from urllib.parse import SplitResult

_KEEP_ALIVE: Final = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
"""When the system asks whether the other end of an unused connection is there, as MLflow has it: a router may have
dropped it without a word."""


class PlainConnections:
    """The connections to one server, to be used by several threads."""

    def __init__(
        self,
        url: SplitResult,
        verify: bool | str,  # noqa: FBT001 - as requests has it
        cert: str | None,
        timeout: tuple[float, float],
    ) -> None:
        """Connect with the first request.

        Args:
            url: the server's.
            verify: whether to check its certificate; a string is the file or folder of those to trust.
            cert: file of the client's own certificate.
            timeout: seconds to wait for the connection and for the answer.

        Raises:
            OSError: a certificate cannot be read.
        """
        self._url = url
        self._timeout = timeout
        self._tls = _tls(verify, cert) if url.scheme.lower() == "https" else None
        self._idle: list[HTTPConnection] = []
        weakref.finalize(self, _close, self._idle)

    def post(self, target: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send a body, and return the answer.

        Raises:
            OSError: of the connection.
            HTTPException: what came is no answer.
        """
        connection = self._connection()
        try:
            connection.request("POST", target, body, headers)
            with connection.getresponse() as response:
                answer = Answer(response.status, response.headers, response.read())
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)  # closed by now where the server wants it so, and opened with the next request
        return answer

    def _connection(self) -> HTTPConnection:
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._new()
        if connection.sock is not None and wait_for_read(connection.sock, timeout=0.0):
            connection.close()  # there is nothing to read but that the server has closed it
        if connection.sock is None:
            self._open(connection)
        return connection

    def _open(self, connection: HTTPConnection) -> None:
        connection.timeout = self._timeout[0]
        try:
            connection.connect()
        except TimeoutError as error:
            raise ConnectTimeout(str(error)) from error
        connection.sock.settimeout(self._timeout[1])
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEP_ALIVE.items():
            if hasattr(socket, name):  # not on all systems
                connection.sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def _new(self) -> HTTPConnection:
        host, port = self._url.hostname or "", self._url.port
        return HTTPConnection(host, port) if self._tls is None else HTTPSConnection(host, port, context=self._tls)


def _close(connections: list[HTTPConnection]) -> None:
    for connection in connections:
        connection.close()


def _tls(verify: bool | str, cert: str | None) -> ssl.SSLContext:  # noqa: FBT001 - as requests has it
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        trusted = DEFAULT_CA_BUNDLE_PATH if verify is True else verify
        context.load_verify_locations(**{"capath" if Path(trusted).is_dir() else "cafile": trusted})
    if cert:
        context.load_cert_chain(cert)
    return context
