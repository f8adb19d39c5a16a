"""Connections to a tracking server, which are kept from one batch to the next."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, Final

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection

from langchain_autotrace.ship.rest.request_settings import request_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

CONNECTIONS: Final = 4
"""Number of parallel requests, which mostly wait for the response."""


_IDLE_SECONDS, _PROBE_SECONDS, _PROBES = 30, 10, 3
"""When the system asks whether the other end of an unused connection is there, as MLflow has it."""


class _KeepAliveAdapter(HTTPAdapter):
    """Finds connections that a router has dropped without a word while nothing was sent."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - urllib3's
        super().init_poolmanager(*args, socket_options=_socket_options(), **options)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:  # noqa: ANN401 - urllib3's
        return super().proxy_manager_for(proxy, socket_options=_socket_options(), **options)


def _socket_options() -> list[tuple[int, int, int | bytes]]:
    values = {"TCP_KEEPIDLE": _IDLE_SECONDS, "TCP_KEEPINTVL": _PROBE_SECONDS, "TCP_KEEPCNT": _PROBES}
    known = {name: getattr(socket, name) for name in values if hasattr(socket, name)}  # not on all systems
    return [
        *HTTPConnection.default_socket_options,
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        *((socket.IPPROTO_TCP, option, values[name]) for name, option in known.items()),
    ]


class Connection:
    """The connections to one server, to be used by several threads.

    Attributes:
        timeout: seconds to wait for a connection.
    """

    def __init__(self, uri: str) -> None:
        """Connect to the tracking server at ``uri`` with the first request."""
        self._base = uri.removesuffix("/")
        self._session = requests.Session()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, _KeepAliveAdapter(pool_maxsize=CONNECTIONS))
        self.timeout = 0.0
        self._sending: dict[str, Any] = {}
        self._requests: dict[str, requests.PreparedRequest] = {}

    def renew(self) -> None:
        """Read credentials, proxies and certificates again: they may have changed since the last batch.

        Raises:
            ValueError: they contradict each other, or one of them is no value.
        """
        settings = request_settings()
        self._session.headers.clear()
        self._session.headers.update(requests.utils.default_headers())
        self._session.headers.update(settings.headers)
        self.timeout = settings.timeout[0]
        verify, cert = settings.verify, settings.cert
        found = self._session.merge_environment_settings(self._base, {}, stream=False, verify=verify, cert=cert)
        self._sending = {**found, "timeout": settings.timeout, "allow_redirects": settings.follows_redirects}
        self._requests.clear()

    def get(self, path: str, **query: str) -> requests.Response:
        """Return the answer to a question."""
        request = requests.Request("GET", self._base + path, params=query)
        return self._session.send(self._session.prepare_request(request), **self._sending)

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> requests.Response:
        """Send a body, and return the answer."""
        # Preparing a request costs as much as sending it, so it is done once a batch for each path.
        if path not in self._requests:
            self._requests[path] = self._session.prepare_request(requests.Request("POST", self._base + path))
        request = self._requests[path].copy()
        request.headers.update({**headers, "Content-Length": str(len(body))})
        request.body = body
        return self._session.send(request, **self._sending)
