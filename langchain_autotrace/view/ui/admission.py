"""Decides who may ask the server: only its own pages, opened by somebody who knows the token."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import socket
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from email.message import Message

TOKEN_BYTES: Final = 32
_LOOPBACK_NAMES: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_HTTP_PORT: Final = 80
_ASK_TERMINAL: Final = "open the address that the terminal printed."


class Refusal(NamedTuple):
    """Why a request is not answered."""

    status: HTTPStatus
    reason: str


class Guard:
    """Checks requests: their host, where they come from, and whether they know the secrets of this server.

    The host is checked because a page of another site can have its own name lead to 127.0.0.1 (DNS rebinding). Origin
    and ``Sec-Fetch-Site`` are checked because other servers of this machine are of the same site as this one, whatever
    their ports: their pages' requests have the cookie, too.

    Attributes:
        token: to be given once, in the address; it becomes a cookie.
        csrf: what requests that change something have in a header; only this server's pages know it.
        cookie: name of the cookie. It has the port because cookies do not know ports.
    """

    def __init__(self, host: str, port: int) -> None:
        """Guard the server at ``host`` and ``port``."""
        self.token = secrets.token_urlsafe(TOKEN_BYTES)
        self.csrf = secrets.token_urlsafe(TOKEN_BYTES)
        self.cookie = f"langchain-autotrace-{port}"
        self._port = port
        self._names = {*_LOOPBACK_NAMES, host.lower()}
        self._is_remote = not is_loopback(host)
        if self._is_remote:
            self._names |= {socket.gethostname().lower(), socket.getfqdn().lower()}

    def refusal(self, method: str, headers: Message) -> Refusal | None:
        """Return why a request is not from a page of this server; None if it may be. The secrets are not checked."""
        host = headers.get("Host", "")
        if not self._is_own_host(host):
            return Refusal(HTTPStatus.MISDIRECTED_REQUEST, "this server has another name.")
        origin = headers.get("Origin")
        if origin is not None and origin != f"http://{host}":
            return Refusal(HTTPStatus.FORBIDDEN, "the request comes from another site's page.")
        if headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"} and not _is_link(method, headers):
            return Refusal(HTTPStatus.FORBIDDEN, "the request comes from another site's page.")
        if method == "POST" and origin is None:
            return Refusal(HTTPStatus.FORBIDDEN, "the request does not say which page it comes from.")
        return None

    def unknown(self, method: str, headers: Message) -> Refusal | None:
        """Return why the sender of a request does not know this server's secrets; None if it does."""
        try:
            morsel = SimpleCookie(headers.get("Cookie", "")).get(self.cookie)
        except CookieError:
            morsel = None
        if not self.is_token("" if morsel is None else morsel.value):
            return Refusal(HTTPStatus.FORBIDDEN, _ASK_TERMINAL)
        if method == "POST" and not _same(headers.get("X-CSRF-Token", ""), self.csrf):
            return Refusal(HTTPStatus.FORBIDDEN, "the page is of an earlier start of the server: load it anew.")
        return None

    def is_token(self, text: str) -> bool:
        """Return whether a text is the token."""
        return _same(text, self.token)

    def set_cookie(self) -> str:
        """Return the header that makes the token a cookie of the browser until it is closed."""
        return f"{self.cookie}={self.token}; Path=/; HttpOnly; SameSite=Strict"

    def _is_own_host(self, host: str) -> bool:
        try:
            parts = urlsplit(f"//{host}")
            name, port = parts.hostname or "", parts.port or _HTTP_PORT
        except ValueError:
            return False
        if "@" in host or "/" in host or port != self._port:
            return False
        return name in self._names or (self._is_remote and _is_address(name))


def is_loopback(host: str) -> bool:
    """Return whether a host's name or address is of this machine alone."""
    return host.lower() == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_link(method: str, headers: Message) -> bool:
    """Return whether a request is a link that somebody has followed, to a page of its own."""
    return (
        method == "GET"
        and headers.get("Sec-Fetch-Mode") == "navigate"
        and headers.get("Sec-Fetch-Dest", "document") == "document"
    )


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())
