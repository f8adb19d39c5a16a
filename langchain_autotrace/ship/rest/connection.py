"""Requests to a tracking server, over connections that are kept from one batch to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import select_proxy

from langchain_autotrace.ship.rest.answers import Answer
from langchain_autotrace.ship.rest.plain_http import PlainConnections
from langchain_autotrace.ship.rest.request_settings import request_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

CONNECTIONS: Final = 4
"""Number of parallel requests, which mostly wait for the response."""
_REDIRECTS: Final = range(300, 400)
_NO_ENCODING: Final = {"Accept-Encoding": "identity"}


class Connection:
    """The connections to one server, to be used by several threads.

    Attributes:
        timeout: seconds to wait for a connection, and for an answer.
    """

    def __init__(self, uri: str) -> None:
        """Connect to the tracking server at ``uri`` with the first request."""
        self.timeout = (0.0, 0.0)
        self._base = uri.removesuffix("/")
        self._session = requests.Session()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=CONNECTIONS))
        self._sending: dict[str, Any] = {}
        self._requests: dict[str, requests.PreparedRequest] = {}
        self._headers: dict[str, dict[str, str]] = {}
        self._plain: PlainConnections | None = None
        self._is_plain = True
        """Whether the server needs nothing but a connection: no proxy, cookies or redirects."""

    def renew(self) -> None:
        """Read credentials, proxies and certificates again: they may have changed since the last batch.

        Raises:
            ValueError: they contradict each other, or one of them is no value.
            OSError: a certificate cannot be read.
        """
        settings = request_settings()
        self._session.headers.clear()
        self._session.headers.update(requests.utils.default_headers())
        self._session.headers.update(settings.headers)
        verify, cert = settings.verify, settings.cert
        found: Any = self._session.merge_environment_settings(self._base, {}, stream=False, verify=verify, cert=cert)
        before = self._sending
        self._sending = {**found, "timeout": settings.timeout, "allow_redirects": settings.follows_redirects}
        self.timeout = settings.timeout
        self._requests.clear()
        if select_proxy(self._base, found["proxies"]) or not self._is_plain:
            self._plain = None
        elif self._plain is None or self._sending != before:
            self._plain = PlainConnections(urlsplit(self._base), found["verify"], found["cert"], settings.timeout)

    def get(self, path: str, **query: str) -> Answer:
        """Return the answer to a question."""
        request = requests.Request("GET", self._base + path, params=query)
        response = self._session.send(self._session.prepare_request(request), **self._sending)
        if response.history or self._session.cookies:
            self._plain, self._is_plain = None, False
        return _answer(response)

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send a body, and return the answer."""
        # Preparing a request costs as much as sending it, so it is done once a batch for each path.
        if path not in self._requests:
            prepared = self._session.prepare_request(requests.Request("POST", self._base + path))
            self._headers[path] = {**prepared.headers, **_NO_ENCODING}
            self._requests[path] = prepared
        prepared = self._requests[path]
        headers = {**headers, "Content-Length": str(len(body))}
        if (plain := self._plain) is not None:
            answer = plain.post(prepared.path_url, body, {**self._headers[path], **headers})
            if answer.status not in _REDIRECTS and "Set-Cookie" not in answer.headers:
                return answer
            self._plain, self._is_plain = None, False
        request = prepared.copy()
        request.headers.update(headers)
        request.body = body
        return _answer(self._session.send(request, **self._sending))


def _answer(response: requests.Response) -> Answer:
    return Answer(response.status_code, response.headers, response.content)
