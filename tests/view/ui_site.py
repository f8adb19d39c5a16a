"""Pages of the ``ui`` command over a store of the tests' own, and requests to them as a browser would not send them."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from langchain_autotrace.view.ui import serving
from langchain_autotrace.view.ui.web_server import WebServer
from tests.view.browser import Window

if TYPE_CHECKING:
    from playwright.sync_api import Browser


DRAWN: Final = ".content > :not(.filters, .chosen-bar, :empty), .row"
"""What a view has that is drawn."""


@dataclass(frozen=True)
class Answered:
    """A response of the server."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Site:
    """A server that runs."""

    uri: str
    server: WebServer

    @property
    def base(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server.server_port}"

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server.server_port}"

    def cookie(self) -> dict[str, str]:
        """What a browser sends that has opened the printed address."""
        return {"Cookie": f"{self.server.guard.cookie}={self.server.guard.token}"}

    def page_headers(self) -> dict[str, str]:
        """What a page of the server sends with a request that changes something."""
        csrf = self.server.guard.csrf
        origin = {"Origin": self.base, "Sec-Fetch-Site": "same-origin"}
        return {**self.cookie(), **origin, "X-CSRF-Token": csrf, "Content-Type": "application/json"}

    def ask(
        self, path: str, *, method: str = "GET", headers: dict[str, str] | None = None, body: bytes | None = None
    ) -> Answered:
        """Send a request just as given: by default with the cookie."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.server_port, timeout=60)
        try:
            connection.request(method, path, body=body, headers=self.cookie() if headers is None else headers)
            response = connection.getresponse()
            return Answered(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def open(self, browser: Browser, path: str = "/", **options: Any) -> Window:
        """Open a page as somebody does who has the printed address."""
        window = Window(browser, own=(self.base,), **options)
        parts = urlsplit(self.server.address(path.split("?", maxsplit=1)[0]))
        query = path.partition("?")[2]
        window.page.goto(f"{self.base}{parts.path}?{query + '&' if query else ''}token={self.server.guard.token}")
        window.page.wait_for_url(self.base + path)
        return window


@contextmanager
def served(uri: str) -> Iterator[Site]:
    """The pages over a store."""
    server = serving.open_server(uri, host="127.0.0.1", port=0, allow_remote=False)
    stop = threading.Event()
    thread = threading.Thread(
        target=serving.serve, args=(server, stop), kwargs={"open_at": None, "opener": lambda _: None}
    )
    thread.start()
    try:
        yield Site(uri, server)
    finally:
        stop.set()
        thread.join()
